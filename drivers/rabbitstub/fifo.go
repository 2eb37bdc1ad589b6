package rabbitstub

// fifo is a list of messages that grows at its end and shrinks at its front.
type fifo struct{ items []*message }

func (f *fifo) len() int        { return len(f.items) }
func (f *fifo) push(m *message) { f.items = append(f.items, m) }

func (f *fifo) pop() *message {
	m := f.items[0]
	f.items[0] = nil
	f.items = f.items[1:]
	return m
}

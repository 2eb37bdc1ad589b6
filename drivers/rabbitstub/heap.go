package rabbitstub

import stdheap "container/heap"

// heap is a min-heap of messages by their deadlines.
type heap struct {
	items byDue
	turns uint64
}

func (h *heap) push(m *message) {
	h.turns++
	m.turn = h.turns
	stdheap.Push(&h.items, m)
}

func (h *heap) min() *message     { return h.items[0] }
func (h *heap) remove(m *message) { stdheap.Remove(&h.items, m.slot) }
func (h *heap) fix(m *message)    { stdheap.Fix(&h.items, m.slot) }

type byDue []*message

func (s byDue) Len() int { return len(s) }

func (s byDue) Less(i, j int) bool {
	if s[i].due.Equal(s[j].due) {
		return s[i].turn < s[j].turn
	}
	return s[i].due.Before(s[j].due)
}

func (s byDue) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].slot, s[j].slot = i, j
}

func (s *byDue) Push(x any) {
	m := x.(*message)
	m.slot = len(*s)
	*s = append(*s, m)
}

func (s *byDue) Pop() any {
	last := len(*s) - 1
	m := (*s)[last]
	(*s)[last] = nil
	*s = (*s)[:last]
	return m
}

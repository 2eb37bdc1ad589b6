package mem

// readyHeap holds the visible messages of a group of which several may be leased, in the
// order of queue.ready.
type readyHeap struct {
	entries heap[*readyEntry]
	of      map[*message]*readyEntry
}

// readyEntry is a message's entry in one readyHeap. A message has one entry for each
// grouping with a limit.
type readyEntry struct {
	*message
	at int32
}

func (e *readyEntry) before(o *readyEntry) bool { return e.message.before(o.message) }

func (e *readyEntry) place() *int32 { return &e.at }

// moved updates the heap after m changed state from was.
func (r *readyHeap) moved(m *message, was state) {
	if was == visible {
		r.entries.remove(r.of[m])
		if delete(r.of, m); len(r.of) == 0 {
			r.of = nil // a map does not shrink
		}
	}
	if m.state != visible {
		return
	}
	if r.of == nil {
		r.of = make(map[*message]*readyEntry)
	}
	r.of[m] = &readyEntry{message: m}
	r.entries.push(r.of[m])
}

// first returns the message that is leased next, or nil.
func (r *readyHeap) first() *message {
	if r.entries.len() == 0 {
		return nil
	}
	return r.entries.min().message
}

package mem

import "iter"

// ready has the visible messages in the order in which they became so: in a list, and
// those with a head start, which come out of this order, in a heap.
type ready struct {
	head, tail *message
	ahead      heap[*message]
}

func (r *ready) push(m *message) {
	if m.ahead = r.tail != nil && m.due < r.tail.due; m.ahead {
		r.ahead.push(m)
		return
	}
	if m.prev = r.tail; m.prev == nil {
		r.head = m
	} else {
		m.prev.next = m
	}
	r.tail = m
}

func (r *ready) remove(m *message) {
	if m.ahead {
		r.ahead.remove(m)
		return
	}
	if m.prev == nil {
		r.head = m.next
	} else {
		m.prev.next = m.next
	}
	if m.next == nil {
		r.tail = m.prev
	} else {
		m.next.prev = m.prev
	}
	m.prev, m.next = nil, nil
}

// first returns the message that is received next, or nil.
func (r *ready) first() *message {
	if r.ahead.len() > 0 && (r.head == nil || r.ahead.min().before(r.head)) {
		return r.ahead.min()
	}
	return r.head
}

// all yields all messages, the one that is received next first.
func (r *ready) all() iter.Seq[*message] {
	return func(yield func(*message) bool) {
		first := r.first()
		if first == nil || !yield(first) {
			return
		}
		for m := r.head; m != nil; m = m.next {
			if m != first && !yield(m) {
				return
			}
		}
		for _, m := range r.ahead.items {
			if m != first && !yield(m) {
				return
			}
		}
	}
}

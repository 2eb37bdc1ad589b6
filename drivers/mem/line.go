package mem

// line is the visible messages of a group of which several may be leased, in the
// order of queue.ready.
type line struct {
	seats heap[*seat]
	of    map[*message]*seat
}

// seat is the place of a message in a line: it may stand in several.
type seat struct {
	*message
	at int32
}

func (s *seat) before(o *seat) bool { return s.message.before(o.message) }

func (s *seat) place() *int32 { return &s.at }

// moved follows m, which was in another state.
func (l *line) moved(m *message, was state) {
	if was == visible {
		l.seats.remove(l.of[m])
		if delete(l.of, m); len(l.of) == 0 {
			l.of = nil // a map does not shrink
		}
	}
	if m.state != visible {
		return
	}
	if l.of == nil {
		l.of = make(map[*message]*seat)
	}
	l.of[m] = &seat{message: m}
	l.seats.push(l.of[m])
}

// first returns the message that is leased next, or nil.
func (l *line) first() *message {
	if l.seats.len() == 0 {
		return nil
	}
	return l.seats.min().message
}

package judge

// Counts checks that the read count counts each lease, and nothing else. Attempts leave out the
// leases that were given back without being held against the message, and Unanswered
// counts those that nobody has answered.
//
// A lease that nobody has recorded must come from a receive whose answer was lost.
func Counts(h History, f *Facts) (found []Breach) {
	if !f.ExactReads {
		return nil
	}
	c := counter{h: h, f: f}
	for _, l := range leases(h, f) {
		if c.last == nil || c.last.id != l.id {
			c = counter{h: h, f: f, found: c.found}
		}
		c.next(l)
	}
	return c.found
}

// counter goes over the leases of one message.
type counter struct {
	h     History
	f     *Facts
	last  *lease
	gaps  int // leases that nobody has written down
	sure  int // leases that certainly do not count as attempts
	maybe int // leases that perhaps do not
	found []Breach
}

func (c *counter) add(rule, format string, args ...any) {
	c.found = append(c.found, breach(rule, c.h, format, args...)...)
}

func (c *counter) next(l *lease) {
	before, since := 0, c.h.Records[0].At
	if c.last != nil {
		before, since = c.last.read, c.last.from
	}
	gap := l.read - before - 1
	switch doubts := c.f.doubts(l.queue, since, l.at); {
	case gap < 0:
		c.add("read count", "%s has read count %d twice", l.id, l.read)
	case gap > doubts:
		c.add("read count", "%s has read count %d after %d, and %d receives in doubt between them", l.id, l.read, before, doubts)
	case c.last != nil && l.at < c.last.from:
		c.add("read count", "%s has read count %d before %d", l.id, l.read, c.last.read)
	}
	c.gaps += max(gap, 0)
	if c.f.Attempts {
		c.attempt(l, gap)
	}
	c.last = l
	c.uncounted(l)
}

// uncounted notes whether the lease counts as an attempt.
func (c *counter) uncounted(l *lease) {
	is := func(x call) bool { return x.op == uncounted }
	if s, ok := l.settled(); ok && is(s) {
		c.sure++
	} else if l.mayBe(is) {
		c.maybe++
	}
}

func (c *counter) attempt(l *lease, gap int) {
	most := max(l.read-c.sure, 1)
	least := max(most-c.maybe-c.gaps, 1)
	if l.attempt < least || l.attempt > most {
		c.add("attempts", "%s is attempt %d at read count %d, want %d to %d", l.id, l.attempt, l.read, least, most)
	}
	want, certain := c.unanswered(gap)
	if certain && l.unanswered != want {
		c.add("unanswered", "%s has %d unanswered attempts at read count %d, want %d", l.id, l.unanswered, l.read, want)
	}
}

// unanswered returns how many attempts before this one nobody has answered, and whether
// that is certain.
func (c *counter) unanswered(gap int) (n int, certain bool) {
	switch {
	case gap > 0:
		return 0, false
	case c.last == nil:
		return 0, true
	}
	s, answered := c.last.settled()
	switch {
	case answered && s.op == nack:
		return 0, true
	case answered && s.op == uncounted:
		return c.last.unanswered, true
	case len(c.last.settles) > 0: // it may have been answered
		return 0, false
	}
	return c.last.unanswered + 1, true
}

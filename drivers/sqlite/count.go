package sqlite

// counts is what a transaction has changed in the number of messages, by queue. The
// counters are written once, when it ends.
type counts map[int64]*change

type change struct {
	total, archived int64
	hidden          map[int64]*hidden // by bucket
}

type hidden struct{ leased, delayed int64 }

// bucketBits is the size of a bucket: 2^24 microseconds, about 17 seconds.
const bucketBits = 24

func bucket(t int64) int64 { return t >> bucketBits }

func (c counts) of(queue int64) *change {
	if c[queue] == nil {
		c[queue] = new(change)
	}
	return c[queue]
}

func (c *change) in(bucket int64) *hidden {
	if c.hidden == nil {
		c.hidden = make(map[int64]*hidden)
	}
	if c.hidden[bucket] == nil {
		c.hidden[bucket] = new(hidden)
	}
	return c.hidden[bucket]
}

// add adds what another transaction, which is part of this one, has changed.
func (c counts) add(o counts) {
	for queue, from := range o {
		to := c.of(queue)
		to.total += from.total
		to.archived += from.archived
		for b, h := range from.hidden {
			to.in(b).leased += h.leased
			to.in(b).delayed += h.delayed
		}
	}
}

// hide counts n more messages, or -n fewer, that are leased or delayed until due.
func (t *txn) hide(queue, due int64, leased bool, n int64) {
	if n == 0 || due <= t.now {
		return
	}
	if h := t.counts.of(queue).in(bucket(due)); leased {
		h.leased += n
	} else {
		h.delayed += n
	}
}

// flush writes the counters.
func (t *txn) flush() error {
	for queue, c := range t.counts {
		if c.total != 0 || c.archived != 0 {
			if _, err := t.exec(sqlCount, queue, c.total, c.archived); err != nil {
				return err
			}
		}
		for b, h := range c.hidden {
			if h.leased == 0 && h.delayed == 0 {
				continue
			}
			if _, err := t.exec(sqlHide, queue, b, h.leased, h.delayed); err != nil {
				return err
			}
		}
	}
	clear(t.counts)
	return nil
}

// sweep removes the counters of times that are past, now and then. If the clock was set
// back they may be needed again, so they are made anew, with what the
// calls have changed.
func (w *writer) sweep(t *txn) error {
	b := bucket(t.now)
	if b == w.swept {
		return nil
	}
	var touched int64
	var found bool
	if err := t.query(into(&found, &touched), sqlTouched); err != nil {
		return err
	}
	if b < bucket(touched) {
		if err := t.recount(); err != nil {
			return err
		}
	}
	if _, err := t.exec(sqlSweep, b); err != nil {
		return err
	}
	w.swept = b
	_, err := t.exec(sqlTouchAt, t.now)
	return err
}

// recount counts the rows that are leased or delayed.
func (t *txn) recount() error {
	for _, c := range t.counts {
		c.hidden = nil // they are in the rows
	}
	if _, err := t.exec(sqlUncount); err != nil {
		return err
	}
	_, err := t.exec(sqlRecount, t.now)
	return err
}

package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
)

// dedup are the flags for a message with a key.
type dedup struct {
	key  key
	held heldFor
}

func (d *dedup) flags(cmd *cobra.Command) {
	cmd.Flags().Var(&d.key, "dedup", "store the message only if this `key` is not held in the queue")
	cmd.Flags().Var(&d.held, "dedup-for", "how long the key is held: a `time` as in 12h or 30d (default 5m), or queued, while the message is")
}

// add gives the key to a message, which must be the only one.
func (d *dedup) add(m *mq.Message, only bool) error {
	switch {
	case !d.key.given && d.held != 0:
		return usagef("-dedup-for needs -dedup")
	case !d.key.given:
		return nil
	case d.key.text == "": // of a variable that is not set, perhaps
		return usagef("-dedup is empty")
	case !only:
		return usagef("-dedup is for one message: give one body, or -format raw")
	}
	m.DedupKey, m.DedupFor = d.key.text, time.Duration(d.held)
	return nil
}

// key is a flag that may not be empty if it is given.
type key struct {
	text  string
	given bool
}

func (k *key) Set(text string) error {
	k.text, k.given = text, true
	return nil
}

func (k *key) Type() string   { return "key" }
func (k *key) String() string { return k.text }

// heldFor is a flag for how long a key is held.
type heldFor time.Duration

func (h *heldFor) Set(text string) error {
	if text == "queued" {
		*h = heldFor(mq.WhileQueued)
		return nil
	}
	var d duration
	err := d.Set(text)
	*h = heldFor(d)
	return err
}

func (h *heldFor) Type() string { return "held" }

func (h *heldFor) String() string { return "" }

// sendOnce sends one message with a key, of the arguments or of r, and says whether it is
// a duplicate.
func (a *app) sendOnce(ctx context.Context, q *mq.Queue, msgs []*mq.Message, r *reader) error {
	if r != nil {
		m, _, err := r.next()
		if err != nil {
			return &usageError{err}
		}
		msgs = []*mq.Message{m}
	}
	id, first, err := q.SendOnce(ctx, msgs[0])
	if err != nil {
		return err
	}
	out, duplicate := newPrinter(a, "ID", "DUPLICATE"), "no"
	if !first {
		duplicate = "yes"
	}
	out.row(sentLine{Queue: q.Name(), ID: id, Duplicate: !first}, id, duplicate)
	return out.flush()
}

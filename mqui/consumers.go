package mqui

import (
	"context"
	"errors"
	"time"

	"github.com/portmq/mq"
)

const (
	// maxConsumers is how many consumers a page shows, and heldShown how many messages of
	// each.
	maxConsumers = 100
	heldShown    = 5
)

// consumers are who works on a queue.
type consumers struct {
	All  []consumer
	More int // that are left out
	Err  string
}

type consumer struct {
	mq.ConsumerReport
	Error   string
	Longest []held
}

// held is a message that a consumer has leased.
type held struct {
	ID, URL string
	For     time.Duration
}

func (u *UI) consumersOf(ctx context.Context, s *source, q *mq.Queue) *consumers {
	all, err := s.Client.Consumers(ctx, q.Name())
	switch {
	case errors.Is(s.can.learn(canConsumers, err), mq.ErrNotSupported):
		return nil
	case err != nil:
		return &consumers{Err: describe(err)}
	}
	cs := &consumers{More: max(0, len(all)-maxConsumers)}
	for _, r := range all[:min(len(all), maxConsumers)] {
		c := consumer{ConsumerReport: r, Error: u.redactError(q.Name(), r.LastError)}
		for _, h := range r.Longest[:min(len(r.Longest), heldShown)] {
			c.Longest = append(c.Longest, held{h.ID, messageURL(s.Name, q.Name(), h.ID, false), h.For + time.Since(r.At)})
		}
		cs.All = append(cs.All, c)
	}
	return cs
}

// holder returns the consumer that holds a message, if one has reported it.
func (u *UI) holder(ctx context.Context, s *source, q *mq.Queue, id string) *consumer {
	if !s.can.to(canConsumers) {
		return nil
	}
	all, err := s.Client.Consumers(ctx, q.Name())
	if s.can.learn(canConsumers, err) != nil {
		return nil // the message is shown all the same
	}
	for _, r := range all {
		for _, h := range r.Longest {
			if h.ID == id {
				return &consumer{ConsumerReport: r, Longest: []held{{ID: id, For: h.For + time.Since(r.At)}}}
			}
		}
	}
	return nil
}

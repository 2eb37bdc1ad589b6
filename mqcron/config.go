package mqcron

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

// DefaultQueue is the control queue unless Config.Queue names another.
const DefaultQueue = "mq_cron"

// Visibility bounds how long a crashed process delays the occurrence that it was firing.
const Visibility = 10 * time.Second

// ErrNotFound: there is no schedule of that name.
var ErrNotFound = errors.New("mqcron: no such schedule")

// Config configures the functions of this package. The zero value is the default.
type Config struct {
	// Queue is the control queue, which is created if it is not there. Schedules of
	// different control queues have nothing to do with each other, except that those of
	// one name and target share the keys of their occurrences. Defaults to DefaultQueue.
	Queue string
}

// book is the control queue: what is known of all schedules.
type book struct {
	client *mq.Client
	queue  *mq.Queue
}

// open checks, without I/O, that the provider can do what schedules need.
func open(c *mq.Client, cfg Config) (*book, error) {
	p, lacks := c.Provider(), ""
	if _, ok := p.(driver.Browser); !ok {
		lacks = "Peek"
	}
	if _, ok := p.(driver.Deduplicator); !ok {
		lacks = "Message.DedupKey"
	}
	if !c.Caps().Delay {
		lacks = "Message.Delay"
	}
	if lacks != "" {
		return nil, fmt.Errorf("mqcron: %w: %s has no %s (use mem, sqlite or pgmq)", mq.ErrNotSupported, p.Name(), lacks)
	}
	q := c.Queue(cmp.Or(cfg.Queue, DefaultQueue))
	return &book{c, q}, checkQueue(q)
}

// checkQueue returns what is wrong with the name of a queue: to send nothing needs no I/O.
func checkQueue(q *mq.Queue) error {
	_, err := q.SendAll(context.Background(), nil)
	return err
}

// ensure creates the control queue if it is not there.
func (b *book) ensure(ctx context.Context) error {
	_, err := b.client.EnsureQueue(ctx, b.queue.Name(), mq.QueueOptions{})
	return err
}

func invalid(name, format string, args ...any) error {
	return fmt.Errorf("mqcron: schedule %.140q: %w: "+format, append([]any{name, mq.ErrInvalid}, args...)...)
}

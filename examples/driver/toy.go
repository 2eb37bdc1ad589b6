// Package toy is a complete driver for package mq, as a third party would write
// it, and the model for those who write one. Its backend is the memory of the
// process. A program imports it and calls mq.Open("toy://").
package toy

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

func init() { mq.Register("toy", toyDriver{}) }

type toyDriver struct{}

// Open opens toy://, which has queues of its own. There are no parameters.
func (toyDriver) Open(dsn string, _ driver.Env) (driver.Provider, error) {
	u, err := driver.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	if u.User != nil || u.Opaque+u.Host+u.Path+u.Fragment != "" {
		return nil, errors.New("the DSN is toy://, with nothing behind it")
	}
	return &provider{client: rand.Text(), queues: make(map[string]*queue)}, nil
}

type provider struct {
	client string     // tells its receipts from those of other clients
	mu     sync.Mutex // guards what follows
	queues map[string]*queue
	closed bool
}

// queue has no index: it walks through its messages, oldest first.
type queue struct {
	name, client      string
	messages, archive []*message
	sent              int
}

type message struct {
	driver.Record
	receipt driver.Receipt // of the last lease, "" if it was given back
}

func (*provider) Name() string { return "toy" }

// Caps promises what drivertest finds kept. mq answers ErrNotSupported to the rest.
func (*provider) Caps() driver.Caps {
	return driver.Caps{
		Delay:          true,
		Headers:        true,
		LateSettle:     true,
		NackFences:     true,
		ExactBodies:    true,
		ExactReadCount: true,
		ExactStats:     true,
		AtomicSend:     true,
		AtomicArchive:  true,
		Order:          driver.OrderID,
	}
}

// do calls f under the lock, unless it is too late for that.
func (p *provider) do(ctx context.Context, f func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return driver.ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return f()
}

// with calls f with a queue.
func (p *provider) with(ctx context.Context, name string, f func(*queue) error) error {
	return p.do(ctx, func() error {
		if q := p.queues[name]; q != nil {
			return f(q)
		}
		return driver.ErrQueueNotFound
	})
}

func (p *provider) Ping(ctx context.Context) error { return p.do(ctx, func() error { return nil }) }

func (p *provider) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return nil
}

func (p *provider) EnsureQueue(ctx context.Context, name string, _ driver.QueueOptions) error {
	return p.do(ctx, func() error {
		if p.queues[name] == nil {
			p.queues[name] = &queue{name: name, client: p.client}
		}
		return nil
	})
}

func (p *provider) Send(ctx context.Context, name string, msgs []driver.Message) (ids []string, err error) {
	err = p.with(ctx, name, func(q *queue) error {
		for _, m := range msgs {
			q.sent++
			id, now := strconv.Itoa(q.sent), time.Now()
			ids = append(ids, id)
			q.messages = append(q.messages, &message{Record: driver.Record{
				Message: clone(m), ID: id, EnqueuedAt: now, VisibleAt: now.Add(m.Delay),
			}})
		}
		return nil
	})
	return ids, err
}

// clone keeps our messages apart from those of the callers.
func clone(m driver.Message) driver.Message {
	return driver.Message{Body: slices.Clone(m.Body), Headers: maps.Collect(maps.All(m.Headers))}
}

// Receive does not wait: mq polls. A backend that can wake a receiver should.
func (p *provider) Receive(ctx context.Context, name string, r driver.ReceiveRequest) (ds []driver.Delivery, err error) {
	err = p.with(ctx, name, func(q *queue) error {
		now := time.Now()
		for _, m := range q.messages {
			if len(ds) < r.Max && !m.VisibleAt.After(now) {
				ds = append(ds, q.lease(m, now.Add(r.Visibility)))
			}
		}
		return nil
	})
	return ds, err
}

// lease makes a receipt that differs from all before by the read count.
func (q *queue) lease(m *message, until time.Time) driver.Delivery {
	m.ReadCount++
	m.VisibleAt = until
	m.receipt = driver.Receipt(strings.Join([]string{q.client, m.ID, strconv.Itoa(m.ReadCount), q.name}, "/"))
	return driver.Delivery{
		Message: clone(m.Message), ID: m.ID, Receipt: m.receipt,
		ReadCount: m.ReadCount, EnqueuedAt: m.EnqueuedAt, VisibleAt: until,
	}
}

var receiptForm = regexp.MustCompile(`^([A-Z2-7]{26})/([1-9][0-9]*)/[1-9][0-9]*/(.*)$`)

// find returns the message that r has leased, unless it was leased again.
func (q *queue) find(r driver.Receipt) (*message, error) {
	part := receiptForm.FindStringSubmatch(string(r))
	if part == nil || part[3] != q.name {
		return nil, driver.ErrInvalidReceipt
	}
	i := slices.IndexFunc(q.messages, func(m *message) bool { return m.ID == part[2] })
	switch {
	case part[1] == q.client && i < 0:
		return nil, driver.ErrMessageNotFound
	case part[1] != q.client || q.messages[i].receipt != r:
		return nil, driver.ErrStaleReceipt
	}
	return q.messages[i], nil
}

// each calls f for each of n receipts.
func (p *provider) each(ctx context.Context, name string, n int, f func(q *queue, i int) error) error {
	return p.with(ctx, name, func(q *queue) error {
		errs := make([]error, n)
		for i := range errs {
			errs[i] = f(q, i)
		}
		return driver.Batch(errs)
	})
}

func (p *provider) Settle(ctx context.Context, name string, s []driver.Settlement) error {
	return p.each(ctx, name, len(s), func(q *queue, i int) error { return q.settle(s[i]) })
}

func (q *queue) settle(s driver.Settlement) error {
	m, err := q.find(s.Receipt)
	if err != nil {
		return err
	}
	switch s.Op {
	case driver.OpNack:
		if s.Delay != driver.AtTimeout {
			m.receipt, m.VisibleAt = "", time.Now().Add(s.Delay)
		}
		return nil
	case driver.OpArchive:
		if s.Reason != "" {
			m.Headers[driver.HeaderReason] = s.Reason
		}
		q.archive = append(q.archive, m)
	}
	q.messages = slices.DeleteFunc(q.messages, func(other *message) bool { return other == m })
	return nil
}

func (p *provider) Extend(ctx context.Context, name string, rs []driver.Receipt, d time.Duration) error {
	return p.each(ctx, name, len(rs), func(q *queue, i int) error { return q.extend(rs[i], d) })
}

func (q *queue) extend(r driver.Receipt, d time.Duration) error {
	m, err := q.find(r)
	if err == nil && !m.VisibleAt.After(time.Now()) {
		err = driver.ErrStaleReceipt
	}
	if err == nil {
		m.VisibleAt = time.Now().Add(d)
	}
	return err
}

func (p *provider) Stats(ctx context.Context, name string) (s driver.Stats, err error) {
	err = p.with(ctx, name, func(q *queue) error {
		now := time.Now()
		s = driver.Stats{TotalSent: int64(q.sent), Archived: int64(len(q.archive)), OldestAge: -1, NewestAge: -1, ScrapedAt: now}
		for _, m := range q.messages {
			s.Total++
			s.NewestAge = now.Sub(m.EnqueuedAt)
			s.OldestAge = max(s.OldestAge, s.NewestAge)
			switch {
			case !m.VisibleAt.After(now):
				s.Visible++
				s.Lag = max(s.Lag, now.Sub(m.VisibleAt))
			case m.receipt != "":
				s.Leased++
			default:
				s.Delayed++
			}
		}
		return nil
	})
	return s, err
}

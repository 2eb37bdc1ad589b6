package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/bench/internal/measure"
	"github.com/portmq/mq/driver"
)

// load is the traffic of a run.
type load struct {
	plan
	client         *mq.Client
	orders         *mq.Queue // all kinds of messages
	events         *mq.Queue // messages of groups, or nil
	delay, dedup   bool
	archives       bool // archived messages are not in a queue of their own
	begin          time.Time
	sends          latencies // from when a message was due to be sent until it was stored
	deliveries     latencies // from when a message was due until its handler has it, without those that wait for others of their group
	sent, done     atomic.Int64
	failed, lapsed atomic.Int64 // sends, and leases or settlements
	problem        atomic.Pointer[string]
}

const (
	senders  = 32                   // how many sends may be under way
	bodySize = 512                  // bytes
	workTime = 2 * time.Millisecond // of a handler
	groups   = 100
	keyTime  = 10 * time.Second
	keep     = time.Minute // for archived messages
)

// newLoad makes the queues.
func newLoad(ctx context.Context, p plan, c *mq.Client) (l *load, err error) {
	l = &load{plan: p, client: c, delay: c.Caps().Delay}
	_, l.dedup = c.Provider().(driver.Deduplicator)
	_, l.archives = c.Provider().(driver.Archivist)
	if l.orders, err = c.EnsureQueue(ctx, "soak_orders", mq.QueueOptions{}); err != nil {
		return nil, err
	}
	if c.Caps().Groups {
		l.events, err = c.EnsureQueue(ctx, "soak_events", mq.QueueOptions{})
	}
	return l, err
}

func (l *load) queues() []*mq.Queue {
	if l.events == nil {
		return []*mq.Queue{l.orders}
	}
	return []*mq.Queue{l.orders, l.events}
}

// body is what a message holds. Due is since the beginning of the run.
type body struct {
	N   int
	Due time.Duration
	Pad string
}

// What becomes of the messages, by their numbers.
func grouped(n int) bool { return n%5 == 0 }                 // one in 5 belongs to a group
func delayed(n int) bool { return n%20 == 1 }                // one in 20 is due one to three seconds later
func keyed(n int) bool   { return n%20 == 2 }                // one in 20 has a key, and is sent twice
func fails(n int) bool   { return n%100 == 3 || n%100 == 5 } // one in 50 is retried, half of them of groups
func rejects(n int) bool { return n%500 == 4 }               // one in 500 is archived

// message makes the message of a number.
func (l *load) message(n int, due time.Duration) (*mq.Queue, *mq.Message) {
	q, m := l.orders, new(mq.Message)
	switch {
	case grouped(n) && l.events != nil:
		q, m.Group = l.events, fmt.Sprint("customer ", n/5%groups)
	case delayed(n) && l.delay:
		m.Delay = time.Duration(1+n/20%3) * time.Second
	case keyed(n) && l.dedup:
		m.DedupKey, m.DedupFor = fmt.Sprint("order ", n), keyTime
	}
	m.Body, _ = json.Marshal(body{n, due + m.Delay, strings.Repeat("x", bodySize-48)}) // cannot fail
	return q, m
}

// produce sends messages at the rate until ctx ends, and returns when all have been sent.
// A send that is late delays those behind it, and their latencies say so.
func (l *load) produce(ctx context.Context) {
	type order struct {
		n   int
		due time.Duration
	}
	work := make(chan order)
	wait := measure.Start(senders, func() error {
		for o := range work {
			l.send(context.WithoutCancel(ctx), o.n, o.due)
		}
		return nil
	})
	for n := 0; ; n++ {
		due := time.Duration(n) * time.Second / time.Duration(l.rate)
		if !sleep(ctx, due-time.Since(l.begin)) {
			break
		}
		work <- order{n, due}
	}
	close(work)
	_ = wait() // there are none
}

// sleep reports whether the time is over, and not ctx.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return ctx.Err() == nil
	}
}

func (l *load) send(ctx context.Context, n int, due time.Duration) {
	q, m := l.message(n, due)
	_, err := q.Send(ctx, m)
	l.sends.add(time.Since(l.begin) - due)
	if err == nil {
		l.sent.Add(1)
		if m.DedupKey != "" {
			_, err = q.Send(ctx, m) // stores nothing
		}
	}
	if err != nil {
		l.failed.Add(1)
		l.note(err)
	}
}

// note keeps the last problem.
func (l *load) note(err error) {
	text := err.Error()
	l.problem.Store(&text)
}

// consume handles messages until ctx ends.
func (l *load) consume(ctx context.Context) error {
	var all sync.WaitGroup
	queues := l.queues()
	errs := make([]error, len(queues)+1)
	for i, q := range queues {
		cfg := mq.ConsumerConfig{OnEvent: l.event}
		if q == l.events {
			cfg.Groups = mq.ByGroup()
		}
		if l.archives {
			cfg.KeepArchive = keep
		}
		all.Go(func() { errs[i] = q.Consume(ctx, l.handle, cfg) })
	}
	if !l.archives {
		all.Go(func() { errs[len(queues)] = l.clear(ctx) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// clear reads the archive, where that is a queue.
func (l *load) clear(ctx context.Context) error {
	ack := func(context.Context, *mq.Delivery) error { return nil }
	return l.client.Queue(l.orders.Name()+".archive").Consume(ctx, ack, mq.ConsumerConfig{})
}

func (l *load) event(_ context.Context, e mq.Event) {
	if e.Kind == mq.EventLeaseLost || e.Kind == mq.EventNotSettled {
		l.lapsed.Add(1)
		l.note(fmt.Errorf("%v: %w", e.Kind, e.Cause))
	}
}

var errAgain = errors.New("it works the second time")

func (l *load) handle(ctx context.Context, d *mq.Delivery) error {
	var b body
	if err := json.Unmarshal(d.Body, &b); err != nil {
		return err
	}
	first := d.ReadCount <= 1
	if first && d.Group == "" {
		l.deliveries.add(time.Since(l.begin) - b.Due)
	}
	if l.broken == "goroutines" && b.N%5 == 0 {
		go func() { <-ctx.Done(); select {} }()
	}
	sleep(ctx, workTime)
	if fails(b.N) && first {
		return errAgain
	}
	l.done.Add(1)
	if rejects(b.N) {
		return mq.Reject(errors.New("it never works"))
	}
	return nil
}

// latencies are those since the last sample.
type latencies struct {
	mu  sync.Mutex
	all []float64 // milliseconds
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, float64(d)/1e6)
}

// take returns p50 and p99, NaN if there is nothing.
func (l *latencies) take() (p50, p99 float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.all
	l.all = l.all[:0]
	return quantile(all, 0.5), quantile(all, 0.99)
}

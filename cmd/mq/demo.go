package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/portmq/mq"
)

// demoQueue is a queue of mq ui -demo, and what happens on it.
type demoQueue struct {
	name    string
	every   time.Duration // between two sends
	takes   time.Duration // a handler, on average
	workers int           // handlers at once; 0 for a queue that nobody works on
	groups  int           // customers; 0 for messages without a group
	delay   time.Duration // of some of the messages
	fails   float64       // how many attempts fail, to be tried again
	bad     float64       // how many messages are rejected
	bind    string        // a pattern of topics
}

// demoQueues make a page on which there is something of everything.
var demoQueues = []demoQueue{
	{name: "orders", every: 60 * time.Millisecond, takes: 250 * time.Millisecond, workers: 5, groups: 20, fails: 0.04, bad: 0.01, bind: "shop.order.*"},
	{name: "mails", every: 150 * time.Millisecond, takes: 120 * time.Millisecond, workers: 2, delay: 40 * time.Second, fails: 0.02, bind: "shop.#"},
	{name: "payments", every: 250 * time.Millisecond, takes: 900 * time.Millisecond, workers: 3, groups: 8, fails: 0.15, bad: 0.05},
	{name: "reports", every: 4 * time.Second, takes: 12 * time.Second, workers: 1},
	{name: "images", every: 700 * time.Millisecond, takes: 2 * time.Second, workers: 1, bad: 0.02},
	{name: "night", every: 20 * time.Second},
}

// Why handlers of the demo fail.
var (
	demoFailures = []error{errors.New("bank: 500 Internal Server Error"), errors.New("connection reset by peer"), errors.New("timeout after 2s")}
	demoRejects  = []error{errors.New("card declined"), errors.New("no such product"), errors.New("payload does not decode into Order: unexpected end of JSON input")}
)

// makeDemo makes the queues, with what has been waiting in them.
func makeDemo(ctx context.Context, c *mq.Client) error {
	for _, d := range demoQueues {
		q, err := c.EnsureQueue(ctx, d.name, mq.QueueOptions{})
		if err == nil {
			err = d.prepare(ctx, q)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// runDemo fills the queues and works on them until ctx ends.
func runDemo(ctx context.Context, c *mq.Client) error {
	stopped := make(chan error, 2*len(demoQueues))
	running := 0
	for _, d := range demoQueues {
		q := c.Queue(d.name)
		running += 2
		go func() { stopped <- d.send(ctx, q) }()
		go func() { stopped <- d.work(ctx, q) }()
	}
	var errs []error
	for range running {
		if err := <-stopped; ctx.Err() == nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// prepare sends what has been waiting.
func (d *demoQueue) prepare(ctx context.Context, q *mq.Queue) error {
	if d.bind != "" {
		if err := q.Bind(ctx, d.bind); err != nil && !errors.Is(err, mq.ErrNotSupported) {
			return err
		}
	}
	s, err := q.Stats(ctx)
	if err != nil || s.TotalSent > 0 || d.workers > 0 {
		return err
	}
	for i := range 40 {
		if _, err := q.Send(ctx, d.message(q, i)); err != nil {
			return err
		}
	}
	return nil
}

// send sends messages until ctx ends.
func (d *demoQueue) send(ctx context.Context, q *mq.Queue) error {
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(demoTime(d.every)):
		}
		if _, err := q.Send(ctx, d.message(q, i)); err != nil {
			return err
		}
	}
}

func (d *demoQueue) message(q *mq.Queue, i int) *mq.Message {
	caps, customer := q.Client().Caps(), rand.IntN(max(1, d.groups))
	m := &mq.Message{Body: fmt.Appendf(nil, `{"id":%d,"customer":"c%d","cents":%d,"items":[{"sku":"A-%d","n":%d}]}`,
		1_000_000_000_000_000_000+i, customer, rand.IntN(100_000), rand.IntN(500), 1+rand.IntN(4))}
	if caps.Headers {
		m.Headers = mq.Headers{
			"type":        "shop." + d.name,
			"traceparent": fmt.Sprintf("00-%016x%016x-%016x-01", rand.Uint64(), rand.Uint64(), rand.Uint64()|1),
		}
	}
	if caps.Groups && d.groups > 0 {
		m.Group = fmt.Sprint("c", customer)
	}
	if caps.Delay && d.delay > 0 && rand.IntN(4) == 0 {
		m.Delay = demoTime(d.delay)
	}
	return m
}

// work handles messages until ctx ends.
func (d *demoQueue) work(ctx context.Context, q *mq.Queue) error {
	if d.workers == 0 {
		return nil
	}
	cfg := mq.ConsumerConfig{
		Concurrency: d.workers, MaxAttempts: 4, Backoff: mq.Exponential(2*time.Second, 20*time.Second),
		SoftStop: mq.AtOnce, HardStop: mq.AtOnce, Prefetch: mq.NoPrefetch,
	}
	if q.Client().Caps().Groups && d.groups > 0 {
		cfg.Groups = mq.ByGroup()
	}
	return q.Consume(ctx, d.handle, cfg)
}

func (d *demoQueue) handle(ctx context.Context, _ *mq.Delivery) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(demoTime(d.takes)):
	}
	switch x := rand.Float64(); {
	case x < d.bad:
		return mq.Reject(demoRejects[rand.IntN(len(demoRejects))])
	case x < d.bad+d.fails:
		return demoFailures[rand.IntN(len(demoFailures))]
	}
	return nil
}

// demoTime returns a time that is d on average.
func demoTime(d time.Duration) time.Duration {
	return time.Duration(rand.ExpFloat64() * float64(d))
}

// startDemo makes the demo's queues and starts the rest, which ends with ctx, and the page with it if it fails.
func startDemo(ctx context.Context, fail func(), all []origin) (stop func() error, err error) {
	if len(all) != 1 || all[0].client.Provider().Name() != "mem" {
		return nil, usagef("-demo sends messages: it is for one provider in memory (give -dsn mem://demo)")
	}
	if err := makeDemo(ctx, all[0].client); err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	go func() {
		done <- runDemo(ctx, all[0].client)
		fail()
	}()
	return func() error { return <-done }, nil
}

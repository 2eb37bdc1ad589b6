package faults

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/portmq/mq"
)

// load is senders and receivers that keep a ledger.
type load struct {
	q       *mq.Queue
	sending context.CancelFunc
	working context.CancelFunc
	senders sync.WaitGroup
	workers sync.WaitGroup

	mu      sync.Mutex
	sent    map[string]error // by body
	sure    int              // how many Send has returned nil for
	handled map[string]int
	ids     map[string]string // the message of a body
	acked   map[string]bool   // Ack has returned nil
	wrong   []string
}

// lease is short, so that what a broken connection held comes back.
const lease = 2 * time.Second

// load begins to send and to work: half of it by a Consumer, half by hand.
func (b *base) load(c *mq.Client, queue string) *load {
	b.Helper()
	l := &load{q: b.queue(c, queue), sent: make(map[string]error), handled: make(map[string]int), ids: make(map[string]string), acked: make(map[string]bool)}
	sending, stop := context.WithCancel(b.Context())
	working, end := context.WithCancel(b.Context())
	l.sending, l.working = stop, end
	for i := range 3 {
		l.senders.Go(func() { l.send(sending, i) })
	}
	l.workers.Go(func() { l.receive(working) })
	l.workers.Go(func() {
		_ = l.q.Consume(working, func(_ context.Context, d *mq.Delivery) error {
			l.handle(d)
			return nil
		}, mq.ConsumerConfig{Visibility: lease, MaxAttempts: mq.Unlimited, Concurrency: 4})
	})
	return l
}

func (l *load) send(ctx context.Context, sender int) {
	for i := 0; ctx.Err() == nil; i++ {
		body := fmt.Sprintf(`"%s %d %d"`, canary, sender, i)
		_, err := l.q.Send(context.WithoutCancel(ctx), &mq.Message{Body: []byte(body)})
		l.mu.Lock()
		if l.sent[body] = err; err == nil {
			l.sure++
		}
		l.mu.Unlock()
		time.Sleep(2 * time.Millisecond)
	}
}

// receive works by hand, so as to know of each ack.
func (l *load) receive(ctx context.Context) {
	for ctx.Err() == nil {
		ds, _ := l.q.Receive(ctx, mq.ReceiveOptions{Max: 5, Visibility: lease, Wait: time.Second})
		for _, d := range ds {
			l.handle(d)
			if d.Ack(context.WithoutCancel(ctx)) == nil {
				l.mu.Lock()
				l.acked[string(d.Body)] = true
				l.mu.Unlock()
			}
		}
	}
}

func (l *load) handle(d *mq.Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	body := string(d.Body)
	l.handled[body]++
	if id := l.ids[body]; id != "" && id != d.ID {
		l.wrong = append(l.wrong, "stored twice: "+body)
	}
	l.ids[body] = d.ID
	if l.acked[body] {
		l.wrong = append(l.wrong, "acknowledged, and it came back: "+body)
	}
}

// goesOn waits until n more messages are sent for sure.
func (l *load) goesOn(b *base, n int) {
	b.Helper()
	sure := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.sure
	}
	want := sure() + n
	b.eventually("messages are sent", func() bool { return sure() >= want })
}

// settle stops the senders, waits until the queue is empty and audits.
func (l *load) settle(b *base) {
	b.Helper()
	l.sending()
	l.senders.Wait()
	b.eventually("the queue is empty", func() bool {
		s, err := l.q.Stats(b.Context())
		return err == nil && s.Total == 0
	})
	l.working()
	l.workers.Wait()
	for _, w := range l.wrong {
		b.Error(w)
	}
	for body, err := range l.sent {
		n := l.handled[body]
		switch {
		case err == nil && n == 0:
			b.Errorf("Send returned nil, and it was not handled: %s", body)
		case err != nil && !outage(err):
			b.Errorf("Send: %v", err)
		case errors.Is(err, mq.ErrBadConn) && !errors.Is(err, mq.ErrUnavailable) && n > 0:
			b.Errorf("Send returned %v, and it was handled", err)
		}
	}
	b.Logf("%d sent, %d of them for sure", len(l.sent), l.sure)
}

package rabbitmq_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/integration/server"
)

var disconnects = flag.Int("disconnects", 6, "how often testDisconnects ends the connections")

// testDisconnects: whatever happens to connections under load, no confirmed
// message is lost, and one that came twice had not been acked.
func testDisconnects(t *testing.T) {
	b := server.OwnRabbitMQ(t)
	l := newLoad(t, b)
	ends := []func(){
		l.proxy.Cut,
		func() { // the broker closes them in order
			b.Ctl(t, "eval", `[rabbit_networking:close_connection(C, <<"test">>) || C <- rabbit_networking:connections()].`)
		},
		func() { // what is under way has arrived, or not
			resume := l.proxy.Silence()
			time.Sleep(100 * time.Millisecond)
			l.proxy.Cut()
			resume()
		},
	}
	l.run(t, func() {
		for i := range *disconnects {
			l.more(t)
			ends[i%len(ends)]()
		}
	})
	l.check(t, 0)
}

// testKilled is that for a broker that is killed. It then forgets acks that it
// had not written to disk: those under way to the queue.
func testKilled(t *testing.T) {
	b := server.OwnRabbitMQ(t)
	l := newLoad(t, b)
	writeDown(t, b)
	l.run(t, func() {
		l.more(t)
		b.Restart(t, server.Crash)
	})
	most := 32 // docs/rabbitmq.md, Acks
	if strings.HasPrefix(b.String(), "RabbitMQ 4") {
		most = receivers * batch
	}
	l.check(t, most)
}

// The load: how many send, how many receive and how much at once, and how much
// may wait for them.
const loadSenders, receivers, batch, backlog = 8, 4, 20, 1000

// load is what senders and receivers know of each message.
type load struct {
	q     *mq.Queue
	rig   *rig
	proxy *server.Proxy

	mu        sync.Mutex
	confirmed int
	due       map[string]bool // confirmed, and not delivered yet
	unsent    map[string]bool // certainly
	delivered map[string]int
	acked     map[string]int
	lost      map[string]int // leases whose ack did not return nil
	failures  int            // of calls
}

func newLoad(t *testing.T, b *server.Broker) *load {
	t.Helper()
	r := newRigOn(t, b)
	p, dsn := server.NewProxy(t, r.dsn)
	c := open(t, dsn)
	t.Cleanup(func() { ok(t, c.Close()) })
	return &load{
		q: c.Queue(queueName), rig: r, proxy: p,
		due: map[string]bool{}, unsent: map[string]bool{},
		delivered: map[string]int{}, acked: map[string]int{}, lost: map[string]int{},
	}
}

// more returns when a thousand more messages are acked.
func (l *load) more(t *testing.T) {
	t.Helper()
	acks := func() int { l.mu.Lock(); defer l.mu.Unlock(); return len(l.acked) }
	enough := acks() + 1000
	eventually(t, "a thousand more messages are acked", func() bool { return acks() >= enough })
}

// run runs senders and receivers while hurt runs and for a while behind it,
// and drains the queue.
func (l *load) run(t *testing.T, hurt func()) {
	t.Helper()
	sending, stop := context.WithCancel(t.Context())
	defer stop()
	receiving, end := context.WithCancel(t.Context())
	defer end()
	var sends, receives sync.WaitGroup
	for n := range loadSenders {
		sends.Go(func() { l.send(sending, n) })
	}
	for range receivers {
		receives.Go(func() { l.receive(receiving, t) })
	}
	hurt()
	l.more(t)
	stop()
	sends.Wait()
	eventually(t, "every confirmed message is delivered", func() bool { return l.waiting() == 0 })
	l.rig.send("last") // behind what was stored though it was not confirmed
	eventually(t, "the queue is empty", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.acked["last"] > 0 })
	end()
	receives.Wait()
	delete(l.delivered, "last")
}

func (l *load) send(ctx context.Context, sender int) {
	for n := 0; ctx.Err() == nil; n++ {
		for ctx.Err() == nil && l.waiting() > backlog {
			time.Sleep(10 * time.Millisecond)
		}
		body := fmt.Sprint(sender, "-", n)
		_, err := l.q.Send(context.WithoutCancel(ctx), &mq.Message{Body: []byte(body)})
		l.sent(body, err)
		time.Sleep(time.Millisecond)
	}
}

func (l *load) sent(body string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failures++
		if !errors.Is(err, mq.ErrUnavailable) {
			l.unsent[body] = true
		}
		return
	}
	l.confirmed++
	if l.delivered[body] == 0 {
		l.due[body] = true
	}
}

// receive acks what it receives.
func (l *load) receive(ctx context.Context, t *testing.T) {
	for ctx.Err() == nil {
		ds, err := l.q.Receive(ctx, mq.ReceiveOptions{Max: batch, Wait: time.Second})
		if err != nil && ctx.Err() == nil && !errors.Is(err, mq.ErrBadConn) && !errors.Is(err, mq.ErrUnavailable) {
			t.Errorf("Receive: %v", err)
		}
		for _, d := range ds {
			l.note(l.delivered, d)
			err := d.Ack(context.WithoutCancel(ctx))
			switch {
			case err == nil:
				l.note(l.acked, d)
			case errors.Is(err, mq.ErrStaleReceipt), errors.Is(err, mq.ErrUnavailable), errors.Is(err, mq.ErrBadConn):
				l.note(l.lost, d)
			default:
				t.Errorf("Ack: %v", err)
			}
		}
	}
}

func (l *load) note(what map[string]int, d *mq.Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	what[string(d.Body)]++
	delete(l.due, string(d.Body))
}

// waiting counts the confirmed messages that were not delivered yet.
func (l *load) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.due)
}

// check checks the books: at most so many acks may have been undone.
func (l *load) check(t *testing.T, most int) {
	t.Helper()
	twice, undone := 0, 0
	for body, n := range l.delivered {
		if n > 1 {
			twice++
		}
		undone += max(0, l.acked[body]-1, n-l.lost[body]-1)
		if l.unsent[body] {
			t.Errorf("message %s was delivered, and its Send said that it was not sent", body)
		}
	}
	t.Logf("%d confirmed, %d sends failed, %d of them certainly, %d delivered, %d of them more than once, %d leases lost, %d acks undone",
		l.confirmed, l.failures, len(l.unsent), len(l.delivered), twice, len(l.lost), undone)
	if undone > most {
		t.Errorf("%d messages came again whose acks had returned nil, want %d at most", undone, most)
	}
	if l.confirmed == 0 || l.failures+len(l.lost) == 0 {
		t.Error("nothing was sent, or nobody noticed what happened to the broker")
	}
}

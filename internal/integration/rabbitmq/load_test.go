package rabbitmq_test

import (
	"context"
	"errors"
	"flag"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/integration/server"
)

var (
	disconnects = flag.Int("disconnects", 3, "how often TestDisconnects closes all connections")
	pause       = flag.Duration("pause", 2*time.Second, "the time between two of them")
)

// TestDisconnects: whatever happens to connections under load, no confirmed
// message is lost, and who got one twice had lost its lease, or had acked it so
// shortly before that the broker had not written it down: AMQP confirms no acks.
func TestDisconnects(t *testing.T) {
	b := ours(t)
	underLoad(t, newRig(t), func(now func()) {
		for range *disconnects {
			time.Sleep(*pause)
			now()
			b.Ctl(t, "close_all_connections", "--global", "test")
		}
	})
}

// TestKilled is that for a broker that is killed.
func TestKilled(t *testing.T) {
	b := ours(t)
	r := newRig(t)
	underLoad(t, r, func(now func()) {
		time.Sleep(settled)
		now()
		b.Restart(t, server.Crash)
	})
}

// load is what senders and consumers know of each message.
type load struct {
	mu        sync.Mutex
	confirmed map[string]bool
	unsent    map[string]bool // certainly
	delivered map[string]int
	acked     map[string]int
	lost      map[string]int // leases
	failures  int            // of calls
	ackedAt   map[string][]time.Time
	hurt      []time.Time
}

// shortly is how long the broker may take to write an ack down, when it is
// busy.
const shortly = time.Second

// undone counts the acks of a message that may have been undone.
func (l *load) undone(body string) (n int) {
	for _, at := range l.ackedAt[body] {
		if slices.ContainsFunc(l.hurt, func(h time.Time) bool { return h.Sub(at).Abs() < shortly }) {
			n++
		}
	}
	return n
}

func (l *load) note(m map[string]int, key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m[key]++
}

func (l *load) noteTime(body string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ackedAt[body] = append(l.ackedAt[body], time.Now())
}

// underLoad runs senders and consumers while hurt runs, then drains the queue
// and checks the books.
func underLoad(t *testing.T, r *rig, hurt func(now func())) {
	l := &load{
		confirmed: map[string]bool{}, unsent: map[string]bool{},
		delivered: map[string]int{}, acked: map[string]int{}, lost: map[string]int{},
		ackedAt: map[string][]time.Time{},
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var senders, receivers sync.WaitGroup
	for n := range 8 {
		senders.Go(func() { l.send(ctx, r.Queue, n) })
	}
	drained, end := context.WithCancel(t.Context())
	defer end()
	for range 4 {
		receivers.Go(func() { l.receive(drained, t, r.Queue) })
	}
	hurt(func() { l.hurt = append(l.hurt, time.Now()) })
	time.Sleep(time.Second)
	stop()
	senders.Wait()
	eventually(t, "every confirmed message is acked", func() bool { return l.missing() == 0 })
	time.Sleep(2 * time.Second) // what was not confirmed may come as well
	end()
	receivers.Wait()
	l.check(t)
}

func (l *load) send(ctx context.Context, q *mq.Queue, sender int) {
	for n := 0; ctx.Err() == nil; n++ {
		body := strconv.Itoa(sender) + "-" + strconv.Itoa(n)
		_, err := q.Send(context.WithoutCancel(ctx), &mq.Message{Body: []byte(body)})
		l.mu.Lock()
		switch {
		case err == nil:
			l.confirmed[body] = true
		case !errors.Is(err, mq.ErrUnavailable):
			l.unsent[body] = true
			fallthrough
		default:
			l.failures++
		}
		l.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
}

// receive acks what it receives. An ack whose result is not known counts as a
// lost lease.
func (l *load) receive(ctx context.Context, t *testing.T, q *mq.Queue) {
	for ctx.Err() == nil {
		ds, err := q.Receive(ctx, mq.ReceiveOptions{Max: 20, Wait: time.Second})
		if err != nil && ctx.Err() == nil && !errors.Is(err, mq.ErrBadConn) && !errors.Is(err, mq.ErrUnavailable) {
			t.Errorf("Receive: %v", err)
		}
		for _, d := range ds {
			body := string(d.Body)
			l.note(l.delivered, body)
			err := d.Ack(context.WithoutCancel(ctx))
			switch {
			case err == nil:
				l.note(l.acked, body)
				l.noteTime(body)
			case errors.Is(err, mq.ErrStaleReceipt), errors.Is(err, mq.ErrUnavailable), errors.Is(err, mq.ErrBadConn):
				l.note(l.lost, body)
			default:
				t.Errorf("Ack: %v", err)
			}
		}
	}
}

func (l *load) missing() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for body := range l.confirmed {
		if l.delivered[body] == 0 {
			n++
		}
	}
	return n
}

func (l *load) check(t *testing.T) {
	twice, unexplained := 0, 0
	for body, n := range l.delivered {
		if n > 1 {
			twice++
		}
		if most := 1 + l.undone(body); l.acked[body] > most || n-l.lost[body] > most {
			unexplained++
		}
		if l.unsent[body] {
			t.Errorf("message %s was delivered, and its Send said that it was not sent", body)
		}
	}
	t.Logf("%d confirmed, %d sends failed, %d of them certainly, %d delivered, %d of them more than once, %d leases lost",
		len(l.confirmed), l.failures, len(l.unsent), len(l.delivered), twice, len(l.lost))
	if unexplained > 0 {
		t.Errorf("%d messages came twice although nobody had lost a lease of them", unexplained)
	}
	if len(l.confirmed) == 0 || l.failures+len(l.lost) == 0 {
		t.Error("nothing was sent, or nobody noticed what happened to the broker")
	}
}

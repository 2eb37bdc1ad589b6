package rabbitmq_test

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/integration/server"
)

// testAcksOfSlowQueue: an ack that returned nil is not undone when the client
// goes, though the queue answers nothing. The broker's end of the channel then
// holds back what is above 32 acks.
func testAcksOfSlowQueue(t *testing.T) {
	b := server.OwnRabbitMQ(t)
	for name, alter := range map[string]func([]byte){"as it is": nil, "as RabbitMQ 4": asRabbitMQ4} {
		for end, leave := range map[string]func(*server.Proxy, *mq.Client){
			"cut":   func(p *server.Proxy, _ *mq.Client) { p.Cut() },
			"close": func(_ *server.Proxy, c *mq.Client) { _ = c.Close() },
		} {
			t.Run(name+" "+end, func(t *testing.T) {
				r := newRigOn(t, b)
				p, dsn := server.NewProxy(t, r.dsn)
				p.Answer = server.Altered(alter)
				c := open(t, dsn)
				defer c.Close()
				r.send(numbers(slowAcks)...)
				ds := takeNumbers(t, c.Queue(queueName), slowAcks)
				r.send("another") // for a client that gets one to see how far the queue is
				r.wantGone(ackSlowly(t, b, ds, func() { leave(p, c) }))
			})
		}
	}
}

// testSettledOfSlowQueue is that for one settlement of all.
func testSettledOfSlowQueue(t *testing.T) {
	b := server.OwnRabbitMQ(t)
	r := newRigOn(t, b)
	c := open(t, r.dsn)
	r.send(numbers(slowAcks)...)
	var all []mq.Settlement
	for _, d := range takeNumbers(t, c.Queue(queueName), slowAcks) {
		all = append(all, mq.Settlement{Receipt: d.Receipt, Op: mq.OpAck})
	}
	resume := suspend(t, b)
	settled := make(chan error, 1)
	go func() { settled <- c.Queue(queueName).Settle(t.Context(), all...) }()
	select {
	case err := <-settled:
		t.Errorf("a queue that answers nothing has settled %d messages: %v", len(all), err)
		settled <- err
	case <-time.After(patience / 10):
	}
	ok(t, c.Close())
	gone := 0
	if <-settled == nil {
		gone = slowAcks
	}
	resume()
	r.wantGone(gone)
}

// slowAcks are many more than the broker's end of a channel sends to a queue
// that does not answer.
const slowAcks = 100

// suspend makes all quorum queues of a node stop to answer.
func suspend(t *testing.T, b *server.Broker) (resume func()) {
	t.Helper()
	b.Ctl(t, "eval", "sys:suspend(ra_log_wal).")
	resume = func() { b.Ctl(t, "eval", "sys:resume(ra_log_wal).") }
	t.Cleanup(resume) // resuming twice does no harm
	return resume
}

// ackSlowly acks messages one by one while their queue answers nothing, and
// leaves when all are acked or none can be. It returns how many acks returned
// nil.
func ackSlowly(t *testing.T, b *server.Broker, ds []*mq.Delivery, leave func()) int {
	t.Helper()
	resume := suspend(t, b)
	var acked atomic.Int64
	done := make(chan bool)
	go func() {
		defer close(done)
		for _, d := range ds {
			if d.Ack(t.Context()) != nil {
				return
			}
			acked.Add(1)
		}
	}()
	select {
	case <-done:
	case <-time.After(patience / 10): // one of them waits for the queue
	}
	leave()
	<-done
	resume()
	n := int(acked.Load())
	t.Logf("%d acks of a queue that answers nothing returned nil", n)
	if n == 0 {
		t.Error("the test cannot fail: there was no ack")
	}
	return n
}

// wantGone takes all there is, and checks that none of the first n numbers is
// among it. What has come back is in front of a message sent later.
func (r *rig) wantGone(n int) {
	r.Helper()
	r.send("last")
	var back []int
	for body := ""; body != "last"; {
		d := r.take()
		ok(r, d.Ack(r.Context()))
		body = string(d.Body)
		if number, err := strconv.Atoi(body); err == nil && number < n {
			back = append(back, number)
		}
	}
	if len(back) > 0 {
		r.Errorf("%d messages have come back whose acks had returned nil: %v", len(back), back)
	}
}

// asRabbitMQ4 makes a client take the broker for RabbitMQ 4.
func asRabbitMQ4(fromBroker []byte) {
	key := []byte("\aversionS\x00\x00\x00")
	if i := bytes.Index(fromBroker, key); i >= 0 {
		fromBroker[i+len(key)+1] = '4'
	}
}

// numbers are bodies.
func numbers(n int) (bodies []string) {
	for i := range n {
		bodies = append(bodies, fmt.Sprint(i))
	}
	return bodies
}

// takeNumbers waits for n messages, whose bodies are numbers, and sorts them.
func takeNumbers(t *testing.T, q *mq.Queue, n int) (ds []*mq.Delivery) {
	t.Helper()
	for len(ds) < n {
		more := must(q.Receive(t.Context(), mq.ReceiveOptions{Max: n - len(ds), Wait: patience, Visibility: 20 * time.Minute}))(t)
		if len(more) == 0 {
			t.Fatalf("received %d of %d messages", len(ds), n)
		}
		ds = append(ds, more...)
	}
	slices.SortFunc(ds, func(a, b *mq.Delivery) int {
		return must(strconv.Atoi(string(a.Body)))(t) - must(strconv.Atoi(string(b.Body)))(t)
	})
	return ds
}

// TestAckedAtTheEnd: what was acked stays acked, though the client is closed
// at once and the broker still has a queue of acks.
func TestAckedAtTheEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const n = 1000
	for range 3 {
		r.send(numbers(n)...)
		c := open(t, r.dsn)
		q := c.Queue(queueName)
		var all []mq.Settlement
		for _, d := range takeNumbers(t, q, n) {
			all = append(all, mq.Settlement{Receipt: d.Receipt, Op: mq.OpAck})
		}
		ok(t, q.Settle(t.Context(), all...))
		ok(t, c.Close())
		r.wantGone(n)
	}
}

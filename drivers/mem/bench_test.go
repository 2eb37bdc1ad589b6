package mem

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

// backlogs are the messages that may be present, and their states.
var backlogs = []struct {
	name string
	make func(c client, n int)
}{
	{"visible", func(c client, n int) { fill(c, n, driver.Message{}) }},
	{"delayed", func(c client, n int) { fill(c, n, driver.Message{Delay: 100 * time.Hour}) }},
	{"leased", func(c client, n int) {
		fill(c, n, driver.Message{})
		for n > 0 {
			n -= len(c.receive("q", driver.ReceiveRequest{Max: min(n, 1000), Visibility: 100 * time.Hour}))
		}
	}},
}

func fill(c client, n int, m driver.Message) {
	m.Body = make([]byte, 512)
	for ; n > 0; n -= 1000 {
		batch := make([]driver.Message, min(n, 1000))
		for i := range batch {
			batch[i] = m
		}
		c.send("q", batch...)
	}
}

// eachBacklog runs f with 1, 1,000 and 1,000,000 messages in each state.
func eachBacklog(b *testing.B, f func(b *testing.B, c client)) {
	for _, backlog := range backlogs {
		for _, n := range []int{1, 1000, 1_000_000} {
			b.Run(backlog.name+"="+strconv.Itoa(n), func(b *testing.B) {
				c := open(b)
				backlog.make(c, n)
				b.ReportAllocs()
				f(b, c)
			})
		}
	}
}

// BenchmarkSend sends one message and pops one, so that the backlog stays as
// it is.
func BenchmarkSend(b *testing.B) {
	eachBacklog(b, func(b *testing.B, c client) {
		msgs := []driver.Message{{Body: make([]byte, 512)}}
		q := c.store.queue("q")
		for b.Loop() {
			c.send("q", msgs...)
			q.lock()
			q.remove(q.ready.head)
			q.unlock()
		}
	})
}

// BenchmarkReceiveAck receives one message, acks it and sends another one.
func BenchmarkReceiveAck(b *testing.B) {
	eachBacklog(b, func(b *testing.B, c client) {
		msgs := []driver.Message{{Body: make([]byte, 512)}}
		r := driver.ReceiveRequest{Max: 1, Visibility: time.Minute}
		s := make([]driver.Settlement, 1)
		c.send("q", msgs...)
		for b.Loop() {
			s[0] = driver.Settlement{Receipt: c.receive("q", r)[0].Receipt, Op: driver.OpAck}
			c.must(c.Settle(b.Context(), "q", s))
			c.send("q", msgs...)
		}
	})
}

// BenchmarkBatch sends, receives and acks 100 messages at a time. The time is
// that of one message.
func BenchmarkBatch(b *testing.B) {
	c := open(b)
	msgs := make([]driver.Message, 100)
	for i := range msgs {
		msgs[i].Body = make([]byte, 512)
	}
	s := make([]driver.Settlement, len(msgs))
	b.ReportAllocs()
	for range b.N / len(msgs) {
		c.send("q", msgs...)
		for i, d := range c.receive("q", driver.ReceiveRequest{Max: len(msgs), Visibility: time.Minute}) {
			s[i] = driver.Settlement{Receipt: d.Receipt, Op: driver.OpAck}
		}
		c.must(c.Settle(b.Context(), "q", s))
	}
}

// BenchmarkReceiveHeads works on the heads of 1,000 groups of 1,000 messages.
func BenchmarkReceiveHeads(b *testing.B) {
	c := open(b)
	for i := range 1000 {
		msgs := make([]driver.Message, 1000)
		for j := range msgs {
			msgs[j].Group = strconv.Itoa((i + j) % 1000)
		}
		c.send("q", msgs...)
	}
	c.heads(byGroup, 0)
	b.ReportAllocs()
	for b.Loop() {
		d := c.heads(byGroup, 1)[0]
		c.ack(d)
		c.send("q", driver.Message{Group: d.Group})
	}
}

// BenchmarkWakeUp passes a message to a receiver that waits, of 1,000.
func BenchmarkWakeUp(b *testing.B) {
	c := open(b)
	var all sync.WaitGroup
	woken := make(chan bool)
	for range 1000 {
		all.Go(func() {
			for {
				ds, err := c.Receive(b.Context(), "q", driver.ReceiveRequest{Max: 1, Visibility: time.Hour, Wait: forever})
				if err != nil {
					return
				}
				_ = c.Settle(b.Context(), "q", []driver.Settlement{ack(ds[0])})
				woken <- true
			}
		})
	}
	b.ReportAllocs()
	for b.Loop() {
		c.send("q", text("a"))
		<-woken
	}
	c.must(c.Close())
	all.Wait()
}

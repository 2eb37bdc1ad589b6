package linear

import (
	"context"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
)

// script is a history written by hand. Times are milliseconds.
type script struct {
	*History
}

// at adds a call with one event, from begun to over, or without an end if over is 0.
func (s *script) at(begun, over int64, e event) {
	ms := int64(time.Millisecond)
	c := &call{of: s.History, n: len(s.calls) + 1, client: "hand", begun: begun * ms, over: over * ms, returned: over * ms}
	if over == 0 {
		c.returned, e.outcome = forever, unknown
	}
	s.end = max(s.end, over*ms)
	c.add(e)
	s.calls = append(s.calls, c)
}

func (s *script) send(begun, over int64) { s.at(begun, over, event{kind: sent}) }

func (s *script) receive(begun, over int64, lease, reads int, v time.Duration) {
	s.at(begun, over, event{kind: claimed, lease: lease, reads: reads, attempt: reads, span: v})
}

func (s *script) settle(begun, over int64, op driver.Op, lease int, o outcome) {
	s.at(begun, over, event{kind: settled, op: op, lease: lease, outcome: o})
}

const (
	ack  = driver.OpAck
	nack = driver.OpNack
)

// TestModel: histories that are right, and others that differ from them in one thing.
func TestModel(t *testing.T) {
	for _, tt := range []struct {
		name  string
		right bool
		write func(s *script)
	}{
		{"an ack", true, func(s *script) { s.receive(3, 4, 1, 1, long); s.settle(5, 6, ack, 1, done) }},
		{"received before the send", false, func(s *script) { s.receive(-2, -1, 1, 1, long) }},
		{"received during the send", true, func(s *script) { s.receive(0, 1, 1, 1, long) }},
		{"leased twice", false, func(s *script) { s.receive(3, 4, 1, 1, long); s.receive(5, 6, 2, 2, long) }},
		{"leased after a nack", true, func(s *script) {
			s.receive(3, 4, 1, 1, long)
			s.settle(5, 6, nack, 1, done)
			s.receive(7, 8, 2, 2, long)
		}},
		{"leased during a nack", true, func(s *script) {
			s.receive(3, 4, 1, 1, long)
			s.settle(5, 9, nack, 1, done)
			s.receive(7, 8, 2, 2, long)
		}},
		{"leased before a nack", false, func(s *script) {
			s.receive(3, 4, 1, 1, long)
			s.settle(9, 10, nack, 1, done)
			s.receive(7, 8, 2, 2, long)
		}},
		{"leased after the timeout", true, func(s *script) {
			s.receive(3, 4, 1, 1, 10*time.Millisecond)
			s.receive(13, 14, 2, 2, long)
		}},
		{"leased before the timeout", false, func(s *script) {
			s.receive(3, 4, 1, 1, 10*time.Millisecond)
			s.receive(8, 9, 2, 2, long)
		}},
		{"missed before the timeout", true, func(s *script) {
			s.receive(3, 4, 1, 1, 10*time.Millisecond)
			s.at(12, 13, event{kind: missed})
		}},
		{"missed after the timeout", false, func(s *script) {
			s.receive(3, 4, 1, 1, 10*time.Millisecond)
			s.at(16, 17, event{kind: missed})
		}},
		{"a stale ack that is done", false, func(s *script) {
			s.receive(3, 4, 1, 1, 10*time.Millisecond)
			s.receive(20, 21, 2, 2, long)
			s.settle(22, 23, ack, 1, done)
		}},
		{"a late ack", true, func(s *script) {
			s.receive(3, 4, 1, 1, 10*time.Millisecond)
			s.settle(22, 23, ack, 1, done)
		}},
		{"a late ack that is stale", false, func(s *script) {
			s.receive(3, 4, 1, 1, 10*time.Millisecond)
			s.settle(22, 23, ack, 1, stale)
		}},
		{"a lost ack that took effect", true, func(s *script) {
			s.receive(3, 4, 1, 1, long)
			s.settle(5, 0, ack, 1, unknown)
			s.at(9, 10, event{kind: unseen})
		}},
		{"a lost ack that did not", true, func(s *script) {
			s.receive(3, 4, 1, 1, 10*time.Millisecond)
			s.settle(5, 0, ack, 1, unknown)
			s.receive(20, 21, 2, 2, long)
		}},
		{"a lost ack that came late", true, func(s *script) {
			s.receive(3, 4, 1, 1, long)
			s.settle(5, 0, ack, 1, unknown)
			s.settle(7, 8, nack, 1, done)
			s.settle(9, 10, nack, 1, stale)
			s.receive(11, 12, 2, 2, long)
		}},
		{"an ack that was taken back", false, func(s *script) {
			s.receive(3, 4, 1, 1, 10*time.Millisecond)
			s.settle(5, 6, ack, 1, done)
			s.receive(20, 21, 2, 2, long)
		}},
		{"a lost receive that counts", true, func(s *script) {
			s.receive(3, 0, 0, 0, 10*time.Millisecond)
			s.receive(20, 21, 2, 2, long)
		}},
		{"a lost receive that does not", true, func(s *script) {
			s.receive(3, 0, 0, 0, 10*time.Millisecond)
			s.receive(20, 21, 2, 1, long)
		}},
		{"a lost receive that counts twice", false, func(s *script) {
			s.receive(3, 0, 0, 0, 10*time.Millisecond)
			s.receive(20, 21, 2, 3, long)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &script{History: NewHistory(mem.New().Caps())}
			s.send(0, 2)
			tt.write(s)
			for check, r := range map[string]Result{"message": s.Check(patience), "queue": s.CheckQueue(patience)} {
				if r.Undecided || (r.Fault == "") != tt.right {
					t.Errorf("%s: %+v", check, r)
				}
			}
		})
	}
}

// TestUndecided: a search without time is no proof.
func TestUndecided(t *testing.T) {
	w := Workload{Clients: 6, Steps: 8, Messages: 4, Apart: true}
	p := ensured(t, mem.New(), "q")
	var tally Tally
	h, err := w.Run(context.Background(), p.Caps(), Provider(p, "q"))
	if err != nil {
		t.Fatal(err)
	}
	r := h.Check(time.Nanosecond)
	if tally.Add(h, r); !r.Undecided || tally.Err() == nil {
		t.Errorf("%+v, %v", r, tally.Err())
	}
}

package main

import (
	"strconv"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

// A peer that lost messages would look fast: Drain must find every one.
func TestPeersDeliverAll(t *testing.T) {
	for _, o := range peers {
		t.Run(o.name, func(t *testing.T) {
			const n = 1000
			c, err := measure(t.Context(), o, 8, n)
			if err != nil {
				t.Fatal(err)
			}
			if c.send <= 0 || c.drain <= 0 || c.allocs == 0 {
				t.Errorf("cost %+v", c)
			}
		})
	}
}

func TestToyLeases(t *testing.T) {
	toy := &toy{items: map[int]*toyItem{}}
	body := []byte("a")
	if err := toy.Send(t.Context(), body); err != nil {
		t.Fatal(err)
	}
	body[0] = 'b'
	id, got, ok := toy.receive(0)
	if !ok || string(got) != "a" {
		t.Fatalf("receive = %q, %v; want a copy of the body", got, ok)
	}
	if again, _, ok := toy.receive(time.Hour); !ok || again != id {
		t.Errorf("after the visibility timeout: %d, %v, want %d", again, ok, id)
	}
	if _, _, ok := toy.receive(time.Hour); ok {
		t.Error("received a leased message")
	}
	toy.ack(id)
	if len(toy.items)+len(toy.due) != 0 {
		t.Errorf("after the ack: %d items, %d due", len(toy.items), len(toy.due))
	}
}

func TestGrowthKeepsCount(t *testing.T) {
	for _, state := range states {
		m, err := newMemQueue()
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if err := m.fill(t.Context(), state, 250); err != nil {
			t.Fatal(err)
		}
		s, err := m.queue.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]int64{"visible": s.Visible, "delayed": s.Delayed, "leased": s.Leased}
		if got[state] != 250 || s.Total != 250 {
			t.Errorf("%s: %+v", state, s)
		}
	}
}

func TestSlowCountsEachMessage(t *testing.T) {
	s := &slow{wait: func() {}}
	ids, err := s.Send(t.Context(), "orders", make([]driver.Message, 3))
	if err != nil || len(ids) != 3 || ids[2] != strconv.Itoa(3) {
		t.Errorf("ids %q, %v", ids, err)
	}
	if _, err := perSecond(t.Context(), throughMQ(s), 4, 100); err != nil || s.last != 103 {
		t.Errorf("stored %d messages, %v; want 103", s.last, err)
	}
}

func TestMedian(t *testing.T) {
	if got := median([]int{9, 1, 5}); got != 5 {
		t.Errorf("median = %d", got)
	}
	if got := atLeast(0.5, 0.4) + atLeast(0.3, 0.4) + atMost(6, 5) + atLeast(1, 0); got != ">= 0.4 ok>= 0.4 MISSED<= 5 MISSED" {
		t.Error(got)
	}
}

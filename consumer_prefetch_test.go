package mq

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

// hoard watches how much a Consumer holds that no handler has begun.
type hoard struct {
	mu          sync.Mutex
	bytes, most int
}

func (h *hoard) received(ds []driver.Delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range ds {
		h.bytes += len(d.Body)
	}
	h.most = max(h.most, h.bytes)
}

func (h *hoard) handled(d *Delivery) {
	h.mu.Lock()
	h.bytes -= len(d.Body)
	h.mu.Unlock()
}

// large makes n deliveries of a size.
func large(n, size int) []driver.Delivery {
	ds := numbered(n)
	body := make([]byte, size)
	for i := range ds {
		ds[i].Body = body
	}
	return ds
}

func TestPrefetchIsBoundedInBytes(t *testing.T) {
	const over = 5 * 512 << 10 // the message that fills the buffer, and those on their way to a worker
	for _, tt := range []struct {
		name        string
		size        int
		cc          ConsumerConfig
		copies      bool
		most, least int // bytes without a handler
	}{
		{"large", 512 << 10, ConsumerConfig{}, false, 16<<20 + over, 8 << 20},
		{"large, fixed prefetch", 512 << 10, ConsumerConfig{Prefetch: 900}, false, 16<<20 + over, 8 << 20},
		{"large, and kept twice", 512 << 10, ConsumerConfig{}, true, 8<<20 + over, 4 << 20},
		{"larger than the bound", 20 << 20, ConsumerConfig{}, false, 4 * 20 << 20, 0},
		{"a bound of its own", 512 << 10, ConsumerConfig{PrefetchBytes: 2 << 20}, false, 2<<20 + over, 1 << 20},
		{"no bound", 512 << 10, ConsumerConfig{Prefetch: 100, PrefetchBytes: Unlimited}, false, 60 << 20, 40 << 20},
		{"small", 10, ConsumerConfig{Prefetch: 900}, false, 9500, 8000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := new(hoard)
				hand := deliver(large(2000, tt.size)...)
				f := &fake{caps: driver.Caps{Delay: true}, receive: func(ctx context.Context, r driver.ReceiveRequest) ([]driver.Delivery, error) {
					ds, err := hand(ctx, r)
					h.received(ds)
					return ds, err
				}}
				tt.cc.Concurrency = 4
				r := run(t, f, Config{AllowDuplicateMoves: tt.copies}, tt.cc, func(_ context.Context, d *Delivery) error {
					h.handled(d)
					time.Sleep(time.Millisecond)
					return nil
				})
				time.Sleep(10 * time.Second)
				if s := r.stop(t); s.Acked != 2000 {
					t.Errorf("%+v", s)
				}
				if h.most > tt.most || h.most < tt.least {
					t.Errorf("%d bytes waited for a handler, want %d to %d", h.most, tt.least, tt.most)
				}
			})
		})
	}
}

// slowLine is a backend behind a line of so many bytes a second, and cuts a
// claim off that takes longer than limit: its leases are lost until they end.
type slowLine struct {
	*backend
	rate  int
	limit time.Duration
	mu    sync.Mutex
	cut   int
	most  int
}

func (s *slowLine) Receive(ctx context.Context, queue string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
	ds, err := s.backend.Receive(ctx, queue, r)
	total := 0
	for _, d := range ds {
		total += len(d.Body)
	}
	took := time.Duration(total) * time.Second / time.Duration(s.rate)
	s.mu.Lock()
	s.most = max(s.most, len(ds))
	if took > s.limit {
		s.cut++
	}
	s.mu.Unlock()
	if took > s.limit {
		time.Sleep(s.limit)
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, context.DeadlineExceeded)
	}
	time.Sleep(took)
	return ds, err
}

// A claim that was cut off makes the next one smaller, so that a slow line
// delivers something.
func TestClaimThatWasCutOffMakesTheNextSmaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(capable, 0)
		for range 200 {
			b.add("q", Message{Body: make([]byte, 1<<20)})
		}
		line := &slowLine{backend: b, rate: 2 << 20, limit: 10 * time.Second}
		r := run(t, line, Config{}, ConsumerConfig{Concurrency: 100, MaxAttempts: Unlimited, SoftStop: time.Hour}, nil2)
		time.Sleep(10 * time.Minute)
		if s := r.stop(t); s.Acked != 200 {
			t.Errorf("%+v, %d claims cut off", s, line.cut)
		}
		if line.cut == 0 || line.cut > 5 {
			t.Errorf("%d claims were cut off", line.cut)
		}
	})
}

func TestIntakeLimit(t *testing.T) {
	in := new(intake)
	cut := fmt.Errorf("%w: %w", ErrUnavailable, context.DeadlineExceeded)
	for _, want := range []int{400, 200, 100} {
		in.fetched(2*want, 1000, nil, cut)
		if in.limit != want || in.most(1<<30) != want {
			t.Errorf("limit %d, want %d", in.limit, want)
		}
	}
	full := func(n int) []*Delivery {
		ds := make([]*Delivery, n)
		for i := range ds {
			ds[i] = new(Delivery)
		}
		return ds
	}
	in.fetched(100, 1000, full(99), nil)
	if in.limit != 100 {
		t.Errorf("limit %d after a fetch that brought less", in.limit)
	}
	in.fetched(100, 1000, nil, ErrBadConn)
	in.fetched(100, 1000, nil, nil)
	if in.limit != 100 {
		t.Errorf("limit %d after a fetch that was not cut off", in.limit)
	}
	steps := 0
	for ; in.limit > 0 && steps < 100; steps++ {
		in.fetched(in.limit, 1000, full(in.limit), nil)
	}
	if steps < 15 || steps > 30 {
		t.Errorf("from 100 to 1000 in %d fetches", steps)
	}
	one := &intake{limit: 1}
	one.fetched(1, 1000, nil, cut)
	if one.limit != 1 {
		t.Errorf("limit %d", one.limit)
	}
}

// A Consumer does not end for an answer that is too large, and asks for less.
func TestAnswerTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hand := deliver(numbered(20)...)
		var asked []int
		f := &fake{caps: capable, receive: func(ctx context.Context, r driver.ReceiveRequest) ([]driver.Delivery, error) {
			if asked = append(asked, r.Max); r.Max > 2 {
				return nil, ErrTooLarge
			}
			return hand(ctx, r)
		}}
		r := run(t, f, Config{}, ConsumerConfig{}, nil2)
		time.Sleep(time.Minute)
		if s := r.stop(t); s.Acked != 20 {
			t.Errorf("%+v, asked for %v", s, asked)
		}
	})
}

// Messages whose reads run out although nobody failed them are not joined by
// prefetched ones, which a crash would cost a read too.
func TestNothingIsPrefetchedBesideSuspects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(capable, 51)
		seen := make(map[string]int)
		for range 15 { // restarts in the middle of the first message
			r := run(t, b, Config{}, ConsumerConfig{Concurrency: 1, Prefetch: 50, MaxAttempts: 10, SoftStop: AtOnce}, func(ctx context.Context, d *Delivery) error {
				seen[d.ID]++
				<-ctx.Done()
				return ctx.Err()
			})
			time.Sleep(time.Second)
			r.stop(t)
		}
		b.mu.Lock()
		archived, most := 0, 0
		for _, row := range b.queues["q"] {
			if row.archived {
				archived++
			} else {
				most = max(most, row.reads)
			}
		}
		b.mu.Unlock()
		if archived > len(seen) || most > 10 {
			t.Errorf("%d archived, %d were ever handled, the others were read up to %d times", archived, len(seen), most)
		}
	})
}

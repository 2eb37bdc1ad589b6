package mq

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

// refusing refuses any batch with one of the given messages as a whole.
func refusing(b *backend, op string, ids ...string) {
	b.refuse = func(o, id string) error {
		if strings.HasPrefix(o, op) && slices.Contains(ids, id) {
			return fmt.Errorf("%w: of %s", errBad, id)
		}
		return nil
	}
}

// failed returns the indices of the items that failed.
func failed(t *testing.T, err error, n int) (at []int) {
	t.Helper()
	batch := (*BatchError)(nil)
	if !errors.As(err, &batch) || len(batch.Errs) != n {
		t.Errorf("err = %v, want a *BatchError of %d", err, n)
		return nil
	}
	for i, err := range batch.Errs {
		if err != nil {
			at = append(at, i)
		}
	}
	return at
}

func TestOneSettlementDoesNotFailTheOthers(t *testing.T) {
	for _, tt := range []struct {
		n     int
		bad   []string
		calls int // at most
	}{
		{2, []string{"1"}, 3},
		{100, []string{"0"}, 15},
		{100, []string{"63"}, 15},
		{100, []string{"3", "50", "99"}, 45},
		{1000, []string{"17"}, 21},
	} {
		t.Run(fmt.Sprint(tt.n, tt.bad), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				caps := capable
				caps.MaxBatch = 1000
				b := newBackend(caps, tt.n)
				refusing(b, "ack", tt.bad...)
				c := New(b, Config{})
				defer c.Close()
				q := c.Queue("q")
				ds, err := q.Receive(t.Context(), ReceiveOptions{Max: tt.n})
				if err != nil || len(ds) != tt.n {
					t.Fatal(len(ds), err)
				}
				var all []Settlement
				var want []int
				for i, d := range ds {
					all = append(all, Settlement{Receipt: d.Receipt, Op: OpAck})
					if slices.Contains(tt.bad, d.ID) {
						want = append(want, i)
					}
				}
				err = q.Settle(t.Context(), all...)
				if got := failed(t, err, tt.n); !slices.Equal(got, want) || errors.Is(err, errBad) {
					t.Errorf("items %v failed, want %v, and no error for the batch as a whole: %v", got, want, err)
				}
				if _, left := b.state("q"); left != len(want) {
					t.Errorf("%d messages left", left)
				}
				if n := b.called("settle"); n > tt.calls {
					t.Errorf("%d calls", n)
				}
			})
		})
	}
}

// Settlements of many callers travel together, and one of them is bad.
func TestOneSettlementDoesNotFailOtherCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caps := capable
		b := newBackend(caps, 100)
		refusing(b, "ack", "40")
		b.fault = func(op string, n int) fault {
			if op == "settle" && n <= 2 {
				return fault{delay: time.Second}
			}
			return fault{}
		}
		c := New(b, Config{})
		defer c.Close()
		ds, _ := c.Queue("q").Receive(t.Context(), ReceiveOptions{Max: 100})
		errs := make([]error, 100)
		fleet(100, func(i int) { errs[i] = ds[i].Ack(t.Context()) }).Wait()
		for i, err := range errs {
			if errors.Is(err, errBad) != (i == 40) || err != nil && i != 40 {
				t.Errorf("caller %d: %v", i, err)
			}
		}
		if n := b.called("settle"); n > 3+2*7 {
			t.Errorf("%d calls", n)
		}
	})
}

// One row that a backend cannot extend does not cost the leases of the others.
func TestOneExtensionDoesNotFailTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(capable, 50)
		refusing(b, "extend", "7")
		r := run(t, b, Config{}, ConsumerConfig{Concurrency: 50, Prefetch: NoPrefetch, MaxAttempts: Unlimited, SoftStop: AtOnce}, working(2*time.Minute))
		time.Sleep(2*time.Minute + time.Second)
		if s := r.stop(t); s.Acked != 49 || s.Lost == 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestOneMessageDoesNotFailTheOthers(t *testing.T) {
	for _, atomic := range []bool{false, true} {
		t.Run(fmt.Sprint("atomic ", atomic), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(driver.Caps{MaxBatch: 100, AtomicSend: atomic}, 0)
				refusing(b, "send", "bad")
				c := New(b, Config{})
				defer c.Close()
				msgs := make([]*Message, 20)
				for i := range msgs {
					msgs[i] = &Message{Body: []byte("good")}
				}
				msgs[11] = &Message{Body: []byte("bad")}
				ids, err := c.Queue("q").SendAll(t.Context(), msgs)
				_, stored := b.state("q")
				if atomic {
					// The caller relies on all or nothing.
					if stored != 0 || b.called("send") != 1 || !errors.Is(err, errBad) {
						t.Errorf("%d stored in %d calls, %v", stored, b.called("send"), err)
					}
					return
				}
				if got := failed(t, err, 20); !slices.Equal(got, []int{11}) || stored != 19 {
					t.Errorf("%v failed, %d stored, %v", got, stored, err)
				}
				for i, id := range ids {
					if (id == "") != (i == 11) {
						t.Errorf("message %d has id %q", i, id)
					}
				}
				var order []string
				for _, r := range b.queues["q"] {
					order = append(order, r.id)
				}
				if !slices.Equal(order, slices.DeleteFunc(slices.Clone(ids), func(s string) bool { return s == "" })) {
					t.Errorf("stored in the order %v, ids %v", order, ids)
				}
			})
		})
	}
}

// Where everything is refused the backend is not asked about each item.
func TestGeneralRefusalIsNotAskedOverAndOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caps := capable
		caps.MaxBatch = 1000
		b := newBackend(caps, 1000)
		b.fault = answers(errBad, "settle", 1, 1<<30)
		c := New(b, Config{})
		defer c.Close()
		q := c.Queue("q")
		ds, _ := q.Receive(t.Context(), ReceiveOptions{Max: 1000})
		all := make([]Settlement, len(ds))
		for i, d := range ds {
			all[i] = Settlement{Receipt: d.Receipt, Op: OpAck}
		}
		if got := failed(t, q.Settle(t.Context(), all...), 1000); len(got) != 1000 {
			t.Errorf("%d failed", len(got))
		}
		if n := b.called("settle"); n > 100 {
			t.Errorf("%d calls", n)
		}
	})
}

// A search that loses its connection says what was not tried.
func TestSearchStopsWithTheConnection(t *testing.T) {
	for _, end := range []error{ErrUnavailable, ErrBadConn, ErrQueueNotFound} {
		t.Run(end.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(capable, 8)
				refusing(b, "ack", "0")
				b.fault = func(op string, n int) fault {
					if op == "settle" && n > 1 {
						return fault{err: end}
					}
					return fault{}
				}
				c := New(b, Config{})
				defer c.Close()
				q := c.Queue("q")
				ds, _ := q.Receive(t.Context(), ReceiveOptions{Max: 8})
				all := make([]Settlement, len(ds))
				for i, d := range ds {
					all[i] = Settlement{Receipt: d.Receipt, Op: OpAck}
				}
				batch := (*BatchError)(nil)
				if err := q.Settle(t.Context(), all...); !errors.As(err, &batch) {
					t.Fatalf("Settle = %v", err)
				}
				for i, err := range batch.Errs {
					want := end
					if i >= 4 && end == ErrUnavailable {
						want = ErrBadConn // certainly not applied
					}
					if !errors.Is(err, want) {
						t.Errorf("item %d: %v, want %v", i, err, want)
					}
				}
				if n := b.called("settle"); n > 1+len(retryPauses)+1 {
					t.Errorf("%d calls", n)
				}
			})
		})
	}
}

// Extensions by different times do not share a call.
func TestExtensionsOfOneCallAreByOneTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(capable, 6)
		b.fault = func(op string, n int) fault {
			if op == "extend" && n <= 2 {
				return fault{delay: time.Second}
			}
			return fault{}
		}
		c := New(b, Config{})
		defer c.Close()
		ds, _ := c.Queue("q").Receive(t.Context(), ReceiveOptions{Max: 6})
		fleet(6, func(i int) {
			if err := ds[i].Extend(context.Background(), time.Duration(1+i/4)*time.Minute); err != nil {
				t.Error(err)
			}
		}).Wait()
		// 0 and 1 alone, 2 and 3 by a minute, 4 and 5 by two.
		if n := b.called("extend"); n != 4 {
			t.Errorf("%d calls", n)
		}
		for i, d := range ds {
			want := time.Duration(1+i/4) * time.Minute
			if got := d.lease.left(now()); got < want-2*time.Second || got > want {
				t.Errorf("lease %d has %v left, want %v", i, got, want)
			}
		}
	})
}

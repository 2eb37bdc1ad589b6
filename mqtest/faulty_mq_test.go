package mqtest_test

// How package mq reacts to what a Faulty provider does.

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/mqtest"
)

func TestBadConnIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var plan []mqtest.Fault
		ops := []string{"send", "receive", "extend", "settle", "stats", "pop", "purge", "browse", "redrive", "purge archive"}
		for _, op := range ops {
			plan = append(plan, mqtest.Fault{Op: op, When: mqtest.First(2), Err: driver.ErrBadConn})
		}
		p, q := faulty(t, plan...)
		send(t, q, "a")
		d := receive(t, q, 1)[0]
		ok(t, d.Extend(t.Context(), time.Minute))
		ok(t, d.Ack(t.Context()))
		equal(t, "messages ever sent", stats(t, q).TotalSent, 1)
		equal(t, "messages left", stats(t, q).Total, 0)
		_, err := q.Pop(t.Context(), 1)
		ok(t, err)
		_, err = q.Purge(t.Context())
		ok(t, err)
		_, err = q.Peek(t.Context(), mq.BrowseOptions{})
		ok(t, err)
		_, err = q.Redrive(t.Context(), mq.RedriveOptions{})
		ok(t, err)
		_, err = q.PurgeArchive(t.Context(), mq.AnyAge)
		ok(t, err)
		for _, op := range ops {
			equal(t, op+" applied", p.Applied(op), p.Calls(op)-2)
		}
	})
}

func TestBadConnForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, q := faulty(t, mqtest.Fault{Op: "send", Err: driver.ErrBadConn})
		_, err := q.Send(t.Context(), &mq.Message{})
		fails(t, err, mq.ErrBadConn)
		equal(t, "calls", p.Calls("send"), 3)
		equal(t, "messages", stats(t, q).Total, 0)
	})
}

func TestUnavailableIsNotRetried(t *testing.T) {
	for _, applied := range []bool{false, true} {
		t.Run(fmt.Sprintf("applied=%v", applied), func(t *testing.T) {
			plan := []mqtest.Fault{}
			for _, op := range []string{"send", "settle", "pop"} {
				plan = append(plan, mqtest.Fault{Op: op, When: mqtest.First(1), Err: driver.ErrUnavailable, Applied: applied})
			}
			p, q := faulty(t, plan...)
			_, err := q.Send(t.Context(), &mq.Message{})
			fails(t, err, mq.ErrUnavailable)
			stored := stats(t, q).Total
			equal(t, "stored", stored == 1, applied)
			send(t, q, "a", "b")

			d := receive(t, q, 1)[0]
			fails(t, d.Ack(t.Context()), mq.ErrUnavailable)
			equal(t, "acked", stats(t, q).Total == stored+1, applied)

			_, err = q.Pop(t.Context(), 1)
			fails(t, err, mq.ErrUnavailable)
			for _, op := range []string{"settle", "pop"} {
				equal(t, op+" calls", p.Calls(op), 1)
			}
			equal(t, "send calls", p.Calls("send"), 3)
		})
	}
}

// A settlement whose answer was lost may be repeated: if it did arrive the
// message is gone, and the caller is told so.
func TestAckAgainAfterLostAnswer(t *testing.T) {
	_, q := faulty(t, mqtest.Fault{Op: "settle", When: mqtest.First(1), Err: driver.ErrUnavailable, Applied: true})
	send(t, q, "a")
	d := receive(t, q, 1)[0]
	fails(t, d.Ack(t.Context()), mq.ErrUnavailable)
	fails(t, d.Ack(t.Context()), mq.ErrMessageNotFound)
	equal(t, "messages", stats(t, q).Total, 0)
}

// consume runs a consumer until the given time has passed.
func consume(t *testing.T, q *mq.Queue, d time.Duration, cfg mq.ConsumerConfig, h mq.HandlerFunc) mq.ConsumerStats {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	c, err := mq.NewConsumer(q, h, cfg)
	ok(t, err)
	ok(t, c.Run(ctx))
	return c.Stats()
}

func TestConsumerLosesSettleAnswers(t *testing.T) {
	outcomes := map[string]struct {
		err   error
		count func(mq.ConsumerStats) int64
	}{
		"ack":     {nil, func(s mq.ConsumerStats) int64 { return s.Acked }},
		"archive": {mq.Reject(errRefused), func(s mq.ConsumerStats) int64 { return s.DeadLettered }},
	}
	for name, o := range outcomes {
		for _, applied := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s applied=%v", name, applied), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					_, q := faulty(t, mqtest.Fault{Op: "settle", When: mqtest.Every(2), Err: driver.ErrUnavailable, Applied: applied})
					const n = 50
					for i := range n {
						send(t, q, fmt.Sprint(i))
					}
					s := consume(t, q, time.Hour, mq.ConsumerConfig{}, func(_ context.Context, d *mq.Delivery) error {
						time.Sleep(time.Duration(len(d.Body)) * time.Second)
						return o.err
					})
					equal(t, "received", s.Received, n)
					equal(t, "settled", o.count(s), n)
					equal(t, "lost and failed", s.Lost+s.Failed, 0)
					equal(t, "messages left", stats(t, q).Total, 0)
				})
			})
		}
	}
}

// A settlement that hangs is cut off, and sent again while the lease lasts.
func TestConsumerSettlesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := mqtest.Faulty(mem.New(), mqtest.Fault{Op: "settle", When: mqtest.First(2), Delay: mq.Forever})
		c := mq.New(p, mq.Config{Logger: discard, CallTimeout: 5 * time.Second})
		defer func() { ok(t, c.Close()) }()
		q, err := c.EnsureQueue(t.Context(), "orders", mq.QueueOptions{})
		ok(t, err)
		send(t, q, "a")
		s := consume(t, q, time.Hour, mq.ConsumerConfig{}, nothing)
		equal(t, "received", s.Received, 1)
		equal(t, "acked", s.Acked, 1)
		equal(t, "settle calls", p.Calls("settle"), 3)
	})
}

// What a receive has leased and not returned comes back, and was read once.
func TestConsumerLosesDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, q := faulty(t, mqtest.Fault{Op: "receive", When: mqtest.First(1), Applied: true, Err: driver.ErrUnavailable})
		send(t, q, "a")
		reads := 0
		s := consume(t, q, time.Minute, mq.ConsumerConfig{}, func(_ context.Context, d *mq.Delivery) error {
			reads = d.ReadCount
			return nil
		})
		equal(t, "acked", s.Acked, 1)
		equal(t, "read count", reads, 2)
	})
}

// While no settlement arrives the messages come back, and only then.
func TestConsumerCannotSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, q := faulty(t, mqtest.Fault{Op: "settle", Err: driver.ErrUnavailable})
		send(t, q, "a")
		var handled []time.Time
		s := consume(t, q, 65*time.Second, mq.ConsumerConfig{MaxAttempts: mq.Unlimited}, func(context.Context, *mq.Delivery) error {
			handled = append(handled, time.Now())
			if len(handled) == 2 {
				p.Heal()
			}
			return nil
		})
		equal(t, "handled", len(handled), 2)
		equal(t, "pause", handled[1].Sub(handled[0]), 30*time.Second)
		equal(t, "acked", s.Acked, 1)
		equal(t, "failed", s.Failed, 1)
	})
}

func TestConsumerFetchesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, q := faulty(t, mqtest.Fault{Op: "receive", Err: driver.ErrUnavailable})
		send(t, q, "a")
		time.AfterFunc(10*time.Minute, p.Heal)
		failed := 0
		s := consume(t, q, 11*time.Minute, mq.ConsumerConfig{}, func(context.Context, *mq.Delivery) error {
			failed = p.Calls("receive")
			return nil
		})
		equal(t, "acked", s.Acked, 1)
		// Ten minutes in pauses of ten seconds, after a few shorter ones.
		if failed < 50 || failed > 100 {
			t.Errorf("%d fetches in ten minutes", failed)
		}
	})
}

func TestConsumerEndsWithoutHope(t *testing.T) {
	for _, err := range []error{driver.ErrQueueNotFound, driver.ErrNotSupported, driver.ErrInvalid} {
		_, q := faulty(t, mqtest.Fault{Op: "receive", Err: err})
		fails(t, q.Consume(t.Context(), nothing, mq.ConsumerConfig{}), err)
	}
}

func nothing(context.Context, *mq.Delivery) error { return nil }

func TestHeartbeatFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, q := faulty(t, mqtest.Fault{Op: "extend", When: mqtest.First(1), Err: driver.ErrUnavailable})
		send(t, q, "a")
		s := consume(t, q, 10*time.Minute, mq.ConsumerConfig{}, func(ctx context.Context, _ *mq.Delivery) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(5 * time.Minute):
				return nil
			}
		})
		equal(t, "acked", s.Acked, 1)
		equal(t, "lost", s.Lost, 0)
		equal(t, "received", s.Received, 1)
		if p.Calls("extend") < 10 {
			t.Errorf("%d heartbeats", p.Calls("extend"))
		}
	})
}

func TestHeartbeatsFailForGood(t *testing.T) {
	for name, f := range map[string]mqtest.Fault{
		"unavailable": {Op: "extend", Err: driver.ErrUnavailable},
		"no conn":     {Op: "extend", Err: driver.ErrBadConn},
		"cut off":     {Op: "extend", Delay: mq.Forever},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, q := faulty(t, f)
				send(t, q, "a")
				var held time.Duration
				var cause error
				consume(t, q, time.Second, mq.ConsumerConfig{SoftStop: time.Hour, Prefetch: mq.NoPrefetch}, func(ctx context.Context, _ *mq.Delivery) error {
					start := time.Now()
					<-ctx.Done()
					held, cause = time.Since(start), context.Cause(ctx)
					return nil
				})
				fails(t, cause, mq.ErrStaleReceipt)
				if held < 30*time.Second || held > 45*time.Second {
					t.Errorf("the lease of 30s was given up after %v", held)
				}
			})
		})
	}
}

// held returns a queue whose next two flights of an operation take a second,
// so that what is begun meanwhile is merged into the third.
func held(t *testing.T, op string, plan ...mqtest.Fault) (*mqtest.FaultyProvider, *mq.Queue) {
	t.Helper()
	p, q := faulty(t)
	p.Plan(mqtest.Fault{Op: op, When: mqtest.First(2), Delay: time.Second})
	p.Plan(plan...)
	return p, q
}

// atOnce calls f n times, the first two before the others, and returns their
// errors.
func atOnce(n int, f func(i int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
		if i == 1 {
			synctest.Wait()
		}
	}
	wg.Wait()
	return errs
}

func TestMergedFlight(t *testing.T) {
	poison := func(n int) bool { return n >= 3 }
	for name, c := range map[string]struct {
		fault  mqtest.Fault
		calls  int
		stored int64
		want   error // of those that were merged
	}{
		"rejected once":        {mqtest.Fault{When: mqtest.Nth(3), Err: errRefused}, 2 + 1 + 5, 7, nil},
		"rejected each":        {mqtest.Fault{When: poison, Err: errRefused}, 2 + 1 + 5, 2, errRefused},
		"answer lost":          {mqtest.Fault{When: mqtest.Nth(3), Err: driver.ErrUnavailable, Applied: true}, 2 + 1, 7, mq.ErrUnavailable},
		"queue gone":           {mqtest.Fault{When: mqtest.Nth(3), Err: driver.ErrQueueNotFound}, 2 + 1, 2, mq.ErrQueueNotFound},
		"no connection, once":  {mqtest.Fault{When: mqtest.Nth(3), Err: driver.ErrBadConn}, 2 + 2, 7, nil},
		"no connection at all": {mqtest.Fault{When: poison, Err: driver.ErrBadConn}, 2 + 3, 2, mq.ErrBadConn},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.fault.Op = "send"
				p, q := held(t, "send", c.fault)
				errs := atOnce(7, func(i int) error {
					_, err := q.Send(t.Context(), &mq.Message{Body: fmt.Append(nil, i)})
					return err
				})
				for i, err := range errs {
					if want := c.want; i < 2 {
						ok(t, err)
					} else if !errors.Is(err, want) {
						t.Errorf("sender %d: got %v, want %v", i, err, want)
					}
				}
				equal(t, "calls", p.Calls("send"), c.calls)
				equal(t, "stored", stats(t, q).Total, c.stored)
			})
		})
	}
}

func TestBatchErrorGoesToItsCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, q := held(t, "settle")
		send(t, q, "0", "1", "2", "3", "4", "5")
		ds := receive(t, q, 6)
		stale := driver.Settlement{Receipt: ds[4].Receipt, Op: mq.OpAck}
		ok(t, p.Settle(t.Context(), "orders", []driver.Settlement{stale})) // behind mq's back
		p.Plan(mqtest.Fault{Op: "settle", When: mqtest.First(2), Delay: time.Second})
		errs := atOnce(6, func(i int) error { return ds[i].Ack(t.Context()) })
		for i, err := range errs {
			if i == 4 {
				fails(t, err, mq.ErrMessageNotFound)
			} else {
				ok(t, err)
			}
		}
		equal(t, "calls", p.Calls("settle"), 4)
	})
}

// picky stores every second message.
type picky struct{ driver.Provider }

func (p picky) Caps() driver.Caps {
	c := p.Provider.Caps()
	c.AtomicSend = false
	return c
}

func (p picky) Send(ctx context.Context, queue string, msgs []driver.Message) ([]string, error) {
	ids, errs := make([]string, len(msgs)), make([]error, len(msgs))
	for i := range msgs {
		if errs[i] = errRefused; string(msgs[i].Body) != "bad" {
			var id []string
			id, errs[i] = p.Provider.Send(ctx, queue, msgs[i:i+1])
			ids[i] = id[0]
		}
	}
	return ids, driver.Batch(errs)
}

func TestBatchErrorOfSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := mqtest.Faulty(picky{mem.New()}, mqtest.Fault{Op: "send", When: mqtest.First(2), Delay: time.Second})
		c := mq.New(p, mq.Config{Logger: discard})
		defer func() { ok(t, c.Close()) }()
		q, err := c.EnsureQueue(t.Context(), "orders", mq.QueueOptions{})
		ok(t, err)
		good, bad := &mq.Message{Body: []byte("good")}, &mq.Message{Body: []byte("bad")}
		all := [][]*mq.Message{{good}, {good}, {good, good}, {bad}, {good, bad}}
		errs := atOnce(len(all), func(i int) error {
			ids, err := q.SendAll(t.Context(), all[i])
			if i == 4 && (len(ids) != 2 || ids[0] == "" || ids[1] != "") {
				t.Errorf("ids of a half-stored batch: %q", ids)
			}
			return err
		})
		for i, err := range errs {
			switch batch := (*mq.BatchError)(nil); {
			case i < 3:
				ok(t, err)
			case errors.As(err, &batch):
				fails(t, errors.Join(batch.Errs...), errRefused)
			default:
				fails(t, err, errRefused)
			}
		}
		equal(t, "calls", p.Calls("send"), 3)
		equal(t, "stored", stats(t, q).Total, 5)
	})
}

func TestCallerLeavesMergedFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, q := held(t, "send", mqtest.Fault{Op: "send", When: mqtest.Nth(3), Delay: 20 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		errs := atOnce(4, func(i int) error {
			if i == 3 {
				_, err := q.Send(ctx, &mq.Message{})
				return err
			}
			_, err := q.Send(t.Context(), &mq.Message{})
			return err
		})
		fails(t, errs[3], mq.ErrUnavailable)
		for _, err := range errs[:3] {
			ok(t, err)
		}
		equal(t, "calls", p.Calls("send"), 3)
	})
}

func TestNackAnswerLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, q := faulty(t, mqtest.Fault{Op: "settle", When: mqtest.First(1), Err: driver.ErrUnavailable, Applied: true})
		send(t, q, "a")
		s := consume(t, q, 10*time.Second, mq.ConsumerConfig{}, func(context.Context, *mq.Delivery) error { return mq.Retry(time.Hour, nil) })
		equal(t, "retried", s.Retried, 1)
		equal(t, "lost", s.Lost, 0)
	})
}

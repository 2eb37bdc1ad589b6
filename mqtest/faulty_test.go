package mqtest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/mqtest"
)

var (
	errRefused = errors.New("refused")
	discard    = slog.New(slog.DiscardHandler)
)

// faulty returns a client of a faulty provider, and its queue.
func faulty(t *testing.T, plan ...mqtest.Fault) (*mqtest.FaultyProvider, *mq.Queue) {
	t.Helper()
	p := mqtest.Faulty(mem.New(), plan...)
	c := mq.New(p, mq.Config{Logger: discard})
	t.Cleanup(func() { ok(t, c.Close()) })
	q, err := c.EnsureQueue(t.Context(), "orders", mq.QueueOptions{})
	ok(t, err)
	return p, q
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func fails(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

func send(t *testing.T, q *mq.Queue, bodies ...string) {
	t.Helper()
	for _, b := range bodies {
		_, err := q.Send(t.Context(), &mq.Message{Body: []byte(b)})
		ok(t, err)
	}
}

func receive(t *testing.T, q *mq.Queue, n int) []*mq.Delivery {
	t.Helper()
	ds, err := q.Receive(t.Context(), mq.ReceiveOptions{Max: n})
	ok(t, err)
	if len(ds) != n {
		t.Fatalf("received %d messages, want %d", len(ds), n)
	}
	return ds
}

func stats(t *testing.T, q *mq.Queue) mq.Stats {
	t.Helper()
	s, err := q.Stats(t.Context())
	ok(t, err)
	return s
}

func TestFaultyPlan(t *testing.T) {
	p, q := faulty(t,
		mqtest.Fault{Op: "stats", When: mqtest.Nth(2), Err: errRefused},
		mqtest.Fault{Op: "stats", When: mqtest.Every(3), Err: mq.ErrUnavailable, Applied: true},
	)
	want := []error{nil, errRefused, mq.ErrUnavailable, nil, nil, mq.ErrUnavailable}
	for i, want := range want {
		_, err := q.Stats(t.Context())
		if !errors.Is(err, want) {
			t.Errorf("call %d: got %v, want %v", i+1, err, want)
		}
	}
	equal(t, "calls", p.Calls("stats"), 6)
	equal(t, "applied", p.Applied("stats"), 5)

	p.Plan(mqtest.Fault{Op: "stats", When: mqtest.First(1), Err: errRefused})
	_, err := q.Stats(t.Context())
	fails(t, err, errRefused)
	p.Heal()
	for range 6 {
		stats(t, q)
	}
}

func TestFaultyUnknownOp(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	mqtest.Faulty(mem.New(), mqtest.Fault{Op: "sned"})
}

func TestFaultyDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, q := faulty(t,
			mqtest.Fault{Op: "send", When: mqtest.Nth(1), Delay: time.Second},
			mqtest.Fault{Op: "send", When: mqtest.Nth(2), Delay: mq.Forever},
			mqtest.Fault{Op: "send", When: mqtest.Nth(3), Delay: mq.Forever, Applied: true},
		)
		start := time.Now()
		send(t, q, "late")
		equal(t, "delay", time.Since(start), time.Second)

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := q.Send(ctx, &mq.Message{})
		fails(t, err, mq.ErrUnavailable)
		fails(t, err, context.DeadlineExceeded)
		equal(t, "stored", stats(t, q).Total, 1)

		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = q.Send(ctx, &mq.Message{})
		fails(t, err, mq.ErrUnavailable)
		equal(t, "stored", stats(t, q).Total, 2)
	})
}

func TestFaultyCloseEndsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, q := faulty(t, mqtest.Fault{Op: "ping", Delay: mq.Forever})
		var err error
		go func() { err = q.Client().Ping(context.Background()) }()
		synctest.Wait()
		ok(t, q.Client().Close())
		synctest.Wait()
		fails(t, err, mq.ErrClosed)
	})
}

// bare hides the optional interfaces of a provider.
type bare struct{ driver.Provider }

func TestFaultyForwards(t *testing.T) {
	for _, inner := range []driver.Provider{mem.New(), bare{mem.New()}} {
		_, full := inner.(*mem.Provider)
		t.Run(fmt.Sprintf("full=%v", full), func(t *testing.T) {
			p := mqtest.Faulty(inner)
			defer func() { ok(t, p.Close()) }()
			ok(t, p.EnsureQueue(t.Context(), "q", driver.QueueOptions{}))
			for name, err := range optionalCalls(t.Context(), p) {
				if full && err != nil || !full && !errors.Is(err, driver.ErrNotSupported) {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

func optionalCalls(ctx context.Context, p *mqtest.FaultyProvider) map[string]error {
	r := driver.ReceiveRequest{Max: 1, Visibility: time.Second}
	errs := make(map[string]error)
	_, errs["name"] = p.QueueName("q")
	_, errs["list"] = p.ListQueues(ctx)
	_, errs["purge"] = p.PurgeQueue(ctx, "q")
	_, errs["pop"] = p.Pop(ctx, "q", 1)
	_, errs["browse"] = p.Browse(ctx, "q", driver.BrowseRequest{Limit: 1})
	_, errs["redrive"] = p.Redrive(ctx, "q", nil, 1)
	_, errs["purge archive"] = p.PurgeArchive(ctx, "q", 0)
	_, errs["receive heads"] = p.ReceiveHeads(ctx, "q", driver.GroupRequest{ReceiveRequest: r})
	_, errs["receive group"] = p.ReceiveGroup(ctx, "q", driver.GroupDrainRequest{ReceiveRequest: r})
	_, errs["send unique"] = p.SendUnique(ctx, "q", make([]driver.Message, 1))
	errs["bind"] = p.Bind(ctx, "q", "a.*")
	errs["unbind"] = p.Unbind(ctx, "q", "a.#")
	_, errs["bindings"] = p.Bindings(ctx, "")
	_, errs["publish"] = p.Publish(ctx, "a.b", make([]driver.Message, 1))
	errs["drop"] = p.DropQueue(ctx, "q")
	return errs
}

// A client takes ErrNotSupported of any of them for the interface's absence.
func TestFaultyBare(t *testing.T) {
	c := mq.New(mqtest.Faulty(bare{mem.New()}), mq.Config{Logger: discard})
	defer func() { ok(t, c.Close()) }()
	q, err := c.EnsureQueue(t.Context(), "Orders", mq.QueueOptions{})
	ok(t, err)
	equal(t, "name", q.Name(), "Orders")
	send(t, q, "a")
	ok(t, receive(t, q, 1)[0].Ack(t.Context()))
	_, err = q.Pop(t.Context(), 1)
	fails(t, err, mq.ErrNotSupported)
}

func TestFaultyTx(t *testing.T) {
	inner := mem.New()
	p := mqtest.Faulty(inner,
		mqtest.Fault{Op: "tx send", When: mqtest.Nth(2), Err: errRefused},
		mqtest.Fault{Op: "tx settle", Err: errRefused},
		mqtest.Fault{Op: "tx publish", When: mqtest.Nth(2), Err: errRefused},
	)
	defer func() { ok(t, p.Close()) }()
	ok(t, p.EnsureQueue(t.Context(), "q", driver.QueueOptions{}))
	tx, err := p.Tx(inner.Begin())
	ok(t, err)
	_, err = tx.Send(t.Context(), "q", make([]driver.Message, 1))
	ok(t, err)
	_, err = tx.Send(t.Context(), "q", make([]driver.Message, 1))
	fails(t, err, errRefused)
	publish := tx.(driver.TxPublisher).Publish
	_, err = publish(t.Context(), "a", make([]driver.Message, 1))
	ok(t, err)
	_, err = publish(t.Context(), "a", make([]driver.Message, 1))
	fails(t, err, errRefused)
	fails(t, tx.Settle(t.Context(), "q", make([]driver.Settlement, 1)), errRefused)
	_, err = p.Tx(mem.New().Begin())
	fails(t, err, driver.ErrInvalid)
	_, err = mqtest.Faulty(bare{inner}).Tx(inner.Begin())
	fails(t, err, driver.ErrNotSupported)
}

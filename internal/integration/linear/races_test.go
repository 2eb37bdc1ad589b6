package linear

import (
	"context"
	"errors"
	"flag"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/portmq/mq"
	_ "github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/internal/integration/checks"
	"github.com/portmq/mq/internal/integration/server"
)

var races = flag.Int("races", 2000, "how many stale acks race with the next lease")

// TestStaleAcks: acks whose leases have just ended race with receives that lease the same
// messages. Either the ack takes effect, or the message has a new holder, whose ack does:
// a message is never deleted under its holder.
func TestStaleAcks(t *testing.T) {
	for name, dsn := range map[string]func(*testing.T) string{
		"mem":    func(*testing.T) string { return "mem://staleacks" },
		"sqlite": func(t *testing.T) string { return "sqlite://" + filepath.Join(t.TempDir(), "q.db") },
		"pgx":    func(t *testing.T) string { return pgmqDSN(t, server.Postgres(t).Database(t), "driver=pgx") },
		"pq":     func(t *testing.T) string { return pgmqDSN(t, server.Postgres(t).Database(t), "driver=pq") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := dsn(t)
			slow := ensuredQueue(t, openClient(t, dsn), 1)
			fast := openClient(t, dsn).Queue(slow.Name())
			late, taken := 0, 0
			for late+taken < *races {
				a, b := race(t, slow, fast)
				late, taken = late+a, taken+b
			}
			if n := checks.Must(fast.Stats(t.Context()))(t).Total; n != 0 {
				t.Errorf("%d messages are left", n)
			}
			t.Logf("%d acks that came too late took effect, %d messages had a new holder", late, taken)
		})
	}
}

// race has messages acked whose leases have ended, while another client leases them.
func race(t *testing.T, slow, fast *mq.Queue) (late, taken int) {
	t.Helper()
	const n = 200
	msgs := make([]*mq.Message, n)
	for i := range msgs {
		msgs[i] = &mq.Message{Body: []byte("contended")}
	}
	checks.Must(slow.SendAll(t.Context(), msgs))(t)
	var first, second []*mq.Delivery
	for len(first) < n { // those of a slow machine come again
		first = append(first, checks.Must(slow.Receive(t.Context(), mq.ReceiveOptions{Max: n - len(first), Visibility: time.Millisecond, Wait: mq.Forever}))(t)...)
	}
	time.Sleep(time.Millisecond)
	acked := make(map[string]bool)
	var both sync.WaitGroup
	both.Go(func() {
		for some := range slices.Chunk(first, 7) {
			for i, err := range answers(t, slow, some) {
				switch {
				case err == nil:
					acked[some[i].ID] = true
				case !errors.Is(err, mq.ErrStaleReceipt):
					t.Errorf("ack: %v", err)
				}
			}
		}
	})
	both.Go(func() {
		for range n / 7 {
			ds, err := fast.Receive(t.Context(), mq.ReceiveOptions{Max: 7, Visibility: time.Hour})
			checks.OK(t, err)
			second = append(second, ds...)
		}
	})
	both.Wait()
	// What the acks had locked is still to come.
	second = append(second, checks.Must(fast.Receive(t.Context(), mq.ReceiveOptions{Max: n, Visibility: time.Hour}))(t)...)
	for i, err := range answers(t, fast, second) {
		if id := second[i].ID; err != nil || acked[id] {
			t.Errorf("message %s was deleted under its holder: %v, acked by the first one: %v", id, err, acked[id])
		}
	}
	if len(acked)+len(second) != n {
		t.Errorf("%d messages were acked late, %d leased again, of %d", len(acked), len(second), n)
	}
	return len(acked), len(second)
}

// answers acks deliveries in one batch, and returns the error of each.
func answers(t *testing.T, q *mq.Queue, ds []*mq.Delivery) []error {
	t.Helper()
	s := make([]mq.Settlement, len(ds))
	for i, d := range ds {
		s[i] = mq.Settlement{Receipt: d.Receipt, Op: mq.OpAck}
	}
	errs := make([]error, len(ds))
	batch := (*mq.BatchError)(nil)
	if err := q.Settle(context.WithoutCancel(t.Context()), s...); errors.As(err, &batch) {
		copy(errs, batch.Errs)
	} else if err != nil {
		t.Errorf("settle: %v", err)
	}
	return errs
}

package faults

import (
	"context"
	"flag"
	"sync"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/integration/server"
)

var (
	offline = flag.Duration("outage", 2*time.Second, "how long the server cannot be reached")
	leases  = flag.Int("leases", 1000, "how many messages are leased meanwhile")
)

// TestOutage: a Consumer with 64 workers holds many leases while the server cannot be
// reached, and goes on when it can. Nothing is lost, and nothing comes again.
func TestOutage(t *testing.T) {
	b := newBase(t)
	eachLibrary(t, func(t *testing.T, library string) {
		b := b.of(t)
		proxy, through := server.NewProxy(t, b.dsn)
		q := b.queue(b.client(), "jobs"+library)
		b.post(q, *leases)
		var (
			mu      sync.Mutex
			handled = make(map[string]int)
			healed  time.Time
			resumed time.Duration
		)
		down := make(chan struct{})
		ctx, stop := context.WithCancel(t.Context())
		c, err := mq.NewConsumer(b.open(with(through, "driver="+library)).Queue(q.Name()), mq.HandlerFunc(func(_ context.Context, d *mq.Delivery) error {
			<-down
			mu.Lock()
			defer mu.Unlock()
			handled[d.ID]++
			return nil
		}), mq.ConsumerConfig{Concurrency: 64, Prefetch: *leases, Visibility: max(time.Minute, 3**offline)})
		b.ok(err)
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		b.eventually("all are leased", func() bool { return c.Stats().Received >= int64(*leases) })

		resume := proxy.Silence()
		close(down) // handlers end, and their acks do not get through
		time.Sleep(*offline)
		proxy.Cut()
		healed = time.Now()
		resume()
		b.eventually("acks get through again", func() bool { return c.Stats().Acked > 64 })
		resumed = time.Since(healed)
		b.eventually("all are acked", func() bool { return c.Stats().Acked >= int64(*leases) })
		t.Logf("%d leases, %v without the server: acks go on after %v, all are acked after %v", *leases, *offline, resumed, time.Since(healed))
		stop()
		b.ok(<-done)
		s, err := q.Stats(t.Context())
		b.ok(err)
		again := 0
		for _, n := range handled {
			again += n - 1
		}
		if s.Total != 0 || len(handled) != *leases || again != 0 {
			t.Errorf("%d messages of %d were handled, %d again, and %d are left", len(handled), *leases, again, s.Total)
		}
	})
}

package groups

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/integration/checks"
	"github.com/portmq/mq/internal/integration/server"
)

// leaseCounter counts the leases of each group and records any excess. It adds a lease
// after the claim returned and removes it before the call that ends it, so every lease
// that it counts is real.
type leaseCounter struct {
	by     mq.GroupBy
	total  int
	queues []*mq.Queue

	mu       sync.Mutex
	out      map[string]int
	excesses []string
	sent     int
	acked    int
	most     int
}

func (c *leaseCounter) begin(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out[key]++
	if n := c.out[key]; n > c.by.Limit {
		c.excesses = append(c.excesses, fmt.Sprintf("%d messages of group %s are leased", n, key))
	}
	c.most = max(c.most, c.out[key])
}

func (c *leaseCounter) end(key string, acked bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out[key]--; acked {
		c.acked++
	}
}

// enough reports whether all is acked or, with find, an excess was found.
func (c *leaseCounter) enough(find bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.acked >= c.total || find && len(c.excesses) > 0
}

// next reports whether to send another message and whether all are sent. It keeps the
// queue short so that claims collide.
func (c *leaseCounter) next() (send, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	send = c.sent < c.total && c.sent-c.acked < 4*groupCount
	if send {
		c.sent++
	}
	return send, c.sent >= c.total
}

func (c *leaseCounter) send(ctx context.Context, q *mq.Queue) error {
	for ctx.Err() == nil {
		send, over := c.next()
		switch {
		case !send && over:
			return nil
		case !send:
			time.Sleep(time.Millisecond)
			continue
		}
		key := "k" + strconv.Itoa(rand.N(groupCount))
		if _, err := q.Send(ctx, &mq.Message{Body: []byte(`{"key":"` + key + `"}`), Group: key}); err != nil {
			return err
		}
	}
	return nil
}

func (c *leaseCounter) consume(ctx context.Context, q *mq.Queue, find bool) error {
	for ctx.Err() == nil && !c.enough(find) {
		ds, err := q.ReceiveHeads(ctx, &c.by, mq.ReceiveOptions{Max: 1 + rand.N(4), Visibility: long})
		if err != nil {
			return err
		}
		for _, d := range ds {
			c.begin(d.GroupKey)
		}
		for _, d := range ds {
			time.Sleep(rand.N(4 * time.Millisecond))
			switch n := rand.N(10); n {
			case 0:
				c.end(d.GroupKey, false)
				err = d.Nack(ctx, time.Duration(rand.N(3))*time.Millisecond)
			case 1:
				err = d.Extend(ctx, 2*long)
				fallthrough
			default:
				c.end(d.GroupKey, true)
				if err == nil {
					err = d.Ack(ctx)
				}
			}
			if err != nil {
				return err
			}
		}
		if len(ds) == 0 {
			time.Sleep(rand.N(4 * time.Millisecond))
		}
	}
	return nil
}

func newLeaseCounter(t testing.TB, dsn string, by mq.GroupBy, indexed bool, total int, clients ...*mq.Client) *leaseCounter {
	t.Helper()
	c := &leaseCounter{by: by, total: total, out: make(map[string]int)}
	o := silent()
	if indexed {
		o = silent(by)
	}
	for _, client := range clients {
		q, err := client.EnsureQueue(t.Context(), "stress", o)
		if err != nil {
			t.Fatal(err)
		}
		c.queues = append(c.queues, q)
	}
	exec(t, pool(t, dsn), slowly...)
	return c
}

// run returns when all is acked or, with find, when an excess was found.
func (c *leaseCounter) run(t testing.TB, find bool) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Minute)
	defer stop()
	var all sync.WaitGroup
	start := func(f func() error) {
		all.Go(func() {
			if err := f(); err != nil && !c.enough(find) {
				t.Error(err)
				stop()
			}
		})
	}
	for i := range 4 {
		start(func() error { return c.send(ctx, c.queues[i%len(c.queues)]) })
	}
	for i := range consumers {
		start(func() error {
			defer stop() // the senders
			return c.consume(ctx, c.queues[i%len(c.queues)], find)
		})
	}
	all.Wait()
}

// TestLimit: among many claims at once no group has more leases than the limit, and
// some have as many.
func TestLimit(t *testing.T) {
	server := server.Postgres(t)
	total := *deliveries / 8
	if testing.Short() {
		total /= 3
	}
	for name, test := range map[string]struct {
		by      mq.GroupBy
		indexed bool
	}{
		"group":              {mq.GroupBy{Limit: 2}, true},
		"path":               {mq.GroupBy{Path: []string{"key"}, Limit: 3}, true},
		"path without index": {mq.GroupBy{Path: []string{"key"}, Limit: 2}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := server.Database(t)
			c := newLeaseCounter(t, dsn, test.by, test.indexed, total, open(t, dsn, "driver=pgx"), open(t, dsn, "driver=pq"), borrow(t, checks.Rewriting(t, dsn, slow)))
			c.run(t, false)
			for _, excess := range c.excesses {
				t.Error(excess)
			}
			if c.acked != total || c.most < test.by.Limit {
				t.Errorf("%d of %d messages were acked, %d of a group were leased at most", c.acked, total, c.most)
			}
		})
	}
}

// A claim that does not recount under the lock must fail the same test. Dropping the
// lock itself is no test: two claims mostly choose the same rows, and one gets none.
func TestLimitFindsFaults(t *testing.T) {
	skipProof(t)
	dsn := server.Postgres(t).Database(t)
	uncounted := func(text string) string {
		if claims(text) {
			return strings.ReplaceAll(text, "l.held + l.recent + f.turn", "f.turn")
		}
		return slow(text)
	}
	c := newLeaseCounter(t, dsn, mq.GroupBy{Limit: 2}, true, *deliveries, borrow(t, checks.Rewriting(t, dsn, uncounted)))
	c.run(t, true)
	if len(c.excesses) == 0 {
		t.Error("found no fault")
	}
}

// TestFullInFront: one call finds the group with room among very many that have none,
// and the backlog of one that is full does not keep it from those that are not.
func TestFullInFront(t *testing.T) {
	const groups, backlog = 30_000, 100_000
	dsn := server.Postgres(t).Database(t)
	db := pool(t, dsn)
	var statements atomic.Int64
	c := borrow(t, checks.Rewriting(t, dsn, func(text string) string {
		if chooses(text) {
			statements.Add(1)
		}
		return text
	}))
	by := mq.GroupBy{Limit: 2}
	q, err := c.EnsureQueue(t.Context(), "full", silent(by))
	if err != nil {
		t.Fatal(err)
	}
	const insert = `INSERT INTO pgmq.q_full (vt, message, headers) SELECT now() - $2 * interval '1 second', '1', jsonb_build_object('x-pgmq-group', $3 || mod(i, $4)) FROM generate_series(1, $1) i`
	for _, fill := range [][]any{{3 * groups, 60, "k", groups}, {backlog, 3600, "big", 1}, {2, 30, "room", 1}} {
		if _, err := db.Exec(insert, fill...); err != nil {
			t.Fatal(err)
		}
	}
	exec(t, db, `UPDATE pgmq.q_full SET read_ct = 1, last_read_at = now(), vt = now() + interval '1 hour' WHERE msg_id IN (
		SELECT msg_id FROM (SELECT msg_id, headers, row_number() OVER (PARTITION BY headers ORDER BY msg_id) AS n FROM pgmq.q_full) q WHERE n <= 2 AND headers ->> 'x-pgmq-group' <> 'room0')`,
		"VACUUM ANALYZE pgmq.q_full")
	ds, err := q.ReceiveHeads(t.Context(), &by, mq.ReceiveOptions{Max: 10, Visibility: time.Hour, Wait: 5 * time.Minute})
	if err != nil || len(ds) != 2 || ds[0].GroupKey != "room0" || ds[1].GroupKey != "room0" {
		t.Errorf("it receives %d messages, want 2 of the group with room: %v", len(ds), err)
	}
	if n := statements.Load(); n > 40 {
		t.Errorf("it takes %d statements", n)
	}
	ds, err = q.ReceiveHeads(t.Context(), &by, mq.ReceiveOptions{Max: 10})
	if err != nil || len(ds) != 0 {
		t.Errorf("it receives %d messages of groups without room: %v", len(ds), err)
	}
}

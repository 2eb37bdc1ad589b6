package faults

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
)

// small are pools of one connection.
var small = map[string]func(b *base) *mq.Client{
	"pgx":         func(b *base) *mq.Client { return b.client("driver=pgx", "pool_max_conns=1") },
	"pq":          func(b *base) *mq.Client { return b.client("driver=pq", "pool_max_conns=1") },
	"borrowed":    func(b *base) *mq.Client { return b.borrowed(b.single("pgx"), pgmq.Config{}) },
	"borrowed pq": func(b *base) *mq.Client { return b.borrowed(b.single("pq"), pgmq.Config{}) },
}

// single returns a pool of one connection, none of which may be in use in the
// end.
func (b *base) single(library string) *sql.DB {
	db := b.pool(library, b.dsn)
	db.SetMaxOpenConns(1)
	b.Cleanup(func() {
		if n := db.Stats().InUse; n != 0 {
			b.Errorf("%d connections are still in use", n)
		}
	})
	return db
}

// TestPoolOfOne: calls that fail give their connection back, waiting receivers
// hold none, and group receives need no second one.
func TestPoolOfOne(t *testing.T) {
	b := newBase(t)
	for name, open := range small {
		t.Run(name, func(t *testing.T) {
			b := b.of(t)
			c := open(b)
			q := b.queue(c, "jobs")
			for i := range 100 {
				op := operations[i%len(operations)]
				b.is(op.run(t.Context(), b, c.Queue("never")), mq.ErrQueueNotFound, op.name)
			}
			b.is(settle(t.Context(), q, mq.OpAck, "4711", "4712"), mq.ErrMessageNotFound, "ack")
			b.unreadable(c)
			got := b.waiting(q)
			b.post(q, 1)
			arrives(b, got)
			b.groupsTogether(c, "groups")
		})
	}
}

// unreadable receives what no int32 holds.
func (b *base) unreadable(c *mq.Client) {
	b.Helper()
	q := b.queue(c, "unreadable")
	b.exec("ALTER TABLE pgmq.q_unreadable ALTER read_ct TYPE bigint")
	b.insert(q, "read_ct", "-4711471147114711")
	for _, op := range operations {
		_ = op.run(b.Context(), b, q)
	}
	b.ok(c.DropQueue(b.Context(), "unreadable"))
}

// groupsTogether receives by group in eight goroutines.
func (b *base) groupsTogether(c *mq.Client, name string) {
	b.Helper()
	q := b.queue(c, name)
	for i := range 40 {
		_, err := q.Send(b.Context(), &mq.Message{Group: fmt.Sprint(i % 10), Body: []byte("1")})
		b.ok(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				ds, err := q.ReceiveHeads(b.Context(), mq.ByGroup(), mq.ReceiveOptions{Max: 3})
				if err != nil {
					b.Error(err)
					return
				}
				for _, d := range ds {
					if err := d.Ack(b.Context()); err != nil {
						b.Error(err)
					}
				}
				if s, err := q.Stats(b.Context()); err != nil || s.Total == 0 {
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestTxOnPoolOfOne: a transaction that holds the only connection needs no
// other.
func TestTxOnPoolOfOne(t *testing.T) {
	b := newBase(t)
	b.stage(b.client(), "jobs")
	eachLibrary(t, func(t *testing.T, library string) {
		b := b.of(t)
		db := b.single(library)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		d := b.take(b.borrowed(db, pgmq.Config{}).Queue("jobs"), 1)[0]
		fresh := b.borrowed(db, pgmq.Config{}).Queue("jobs") // it has looked nothing up
		tx, err := db.BeginTx(ctx, nil)
		b.ok(err)
		inside := fresh.Tx(tx)
		_, err = inside.Send(ctx, message())
		b.ok(err)
		b.ok(d.AckTx(ctx, tx))
		b.ok(tx.Commit())
		b.is(b.inTxOf(db, fresh, func(x *mq.TxQueue) error { return x.Ack(ctx, d) }), mq.ErrStaleReceipt, "ack again")
		b.is(b.inTxOf(db, b.borrowed(db, pgmq.Config{}).Queue("never"), func(x *mq.TxQueue) error {
			_, err := x.Send(ctx, message())
			return err
		}), mq.ErrQueueNotFound, "send")
	})
}

// inTxOf is inTx on another pool.
func (b *base) inTxOf(db *sql.DB, q *mq.Queue, f func(*mq.TxQueue) error) error {
	b.Helper()
	return (&base{T: b.T, server: b.server, dsn: b.dsn, db: db}).inTx(b.Context(), q, f)
}

// drainTogether sends and drains in sixteen goroutines; each message comes
// once.
func (b *base) drainTogether(q *mq.Queue, total int) {
	b.Helper()
	b.post(q, total)
	var mu sync.Mutex
	seen := make(map[string]int)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for {
				ds, err := q.Receive(b.Context(), mq.ReceiveOptions{Max: 7, Visibility: time.Hour})
				if outage(err) {
					continue // one more try: nothing was leased
				}
				if err != nil {
					b.Error(err)
				}
				if len(ds) == 0 {
					return
				}
				for _, d := range ds {
					mu.Lock()
					seen[d.ID]++
					mu.Unlock()
					for err = d.Ack(b.Context()); outage(err); {
						err = d.Ack(b.Context())
					}
					if err != nil {
						b.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	for id, n := range seen {
		if n > 1 {
			b.Errorf("message %s came %d times", id, n)
		}
	}
	if s, err := q.Stats(b.Context()); err != nil || s.Total != 0 || len(seen) != total {
		b.Errorf("%d of %d came, stats %+v, %v", len(seen), total, s, err)
	}
}

package faults

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

// lock locks a message in a transaction of its own, as does a program that
// works while it holds a message.
func (b *base) lock(q *mq.Queue, id string) *sql.Tx {
	b.Helper()
	tx, err := b.db.Begin()
	b.ok(err)
	b.Cleanup(func() { _ = tx.Rollback() })
	_, err = tx.Exec("SELECT FROM pgmq.q_"+q.Name()+" WHERE msg_id = $1 FOR UPDATE", id)
	b.ok(err)
	return tx
}

// TestLocked: a message that another transaction has locked keeps no other of
// the same call from being settled or extended. It is named as such.
func TestLocked(t *testing.T) {
	b := newBase(t)
	eachLibrary(t, func(t *testing.T, library string) {
		c := b.of(t).client("driver=" + library)
		for name, settle := range map[string]func(context.Context, *mq.Queue, ...mq.Receipt) error{
			"extend": func(ctx context.Context, q *mq.Queue, rs ...mq.Receipt) error {
				return q.Extend(ctx, 2*time.Hour, rs...)
			},
			"ack": all(mq.OpAck), "nack": all(mq.OpNack), "archive": all(mq.OpArchive), "move": all(mq.OpMove),
		} {
			t.Run(name, func(t *testing.T) {
				b := b.of(t)
				q := b.queue(c, library+name)
				b.post(q, 3)
				ds := b.take(q, 3)
				tx := b.lock(q, ds[1].ID)
				err := settle(t.Context(), q, ds[0].Receipt, ds[1].Receipt, ds[2].Receipt)
				batch := b.partly(err)
				if batch.Errs[0] != nil || batch.Errs[2] != nil || !errors.Is(batch.Errs[1], mq.ErrBadConn) {
					t.Errorf("%v, want that only the second was not done", batch.Errs)
				}
				b.ok(tx.Rollback())
				b.ok(settle(t.Context(), q, ds[1].Receipt))
			})
		}
		t.Run("ack one", func(t *testing.T) {
			b := b.of(t)
			q := b.queue(c, library+"one")
			b.post(q, 1)
			d := b.one(q)
			tx := b.lock(q, d.ID)
			b.is(q.Settle(t.Context(), mq.Settlement{Receipt: d.Receipt, Op: mq.OpAck}), mq.ErrBadConn, "ack")
			b.ok(tx.Rollback())
			b.ok(d.Ack(t.Context()))
		})
	})
}

func all(op driver.Op) func(context.Context, *mq.Queue, ...mq.Receipt) error {
	return func(ctx context.Context, q *mq.Queue, rs ...mq.Receipt) error {
		var s []mq.Settlement
		for _, r := range rs {
			s = append(s, mq.Settlement{Receipt: r, Op: op, To: to(op, q)})
		}
		return q.Settle(ctx, s...)
	}
}

// TestSettleBesideHeartbeats: what settles a message while its lease is
// extended does not find it locked.
func TestSettleBesideHeartbeats(t *testing.T) {
	b := newBase(t)
	q := b.queue(b.client(), "jobs")
	b.post(q, 50)
	ds := b.take(q, 50)
	ctx, stop := context.WithCancel(t.Context())
	var beats sync.WaitGroup
	for range 2 {
		beats.Go(func() {
			for ctx.Err() == nil {
				for _, d := range ds {
					_ = q.Extend(ctx, time.Hour, d.Receipt)
				}
			}
		})
	}
	for _, d := range ds[:25] {
		b.ok(d.Ack(t.Context()))
	}
	for _, d := range ds[25:] {
		b.ok(b.ackTx(d))
	}
	stop()
	beats.Wait()
}

func (b *base) ackTx(d *mq.Delivery) error {
	b.Helper()
	tx, err := b.db.Begin()
	b.ok(err)
	defer func() { _ = tx.Rollback() }()
	if err := d.AckTx(b.Context(), tx); err != nil {
		return err
	}
	return tx.Commit()
}

package faults

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq"
)

// TestIsolation: a settlement in a transaction that does not see the extension
// of its lease says why it fails, and what to do. Settled before the work it
// succeeds.
func TestIsolation(t *testing.T) {
	b := newBase(t)
	eachLibrary(t, func(t *testing.T, library string) {
		b := b.of(t)
		q, db := b.queue(b.client("driver="+library), library), b.pool(library, b.dsn)
		for level, works := range map[sql.IsolationLevel]bool{sql.LevelReadCommitted: true, sql.LevelRepeatableRead: false, sql.LevelSerializable: false} {
			for name, settle := range map[string]func(*mq.Delivery, context.Context, *sql.Tx) error{
				"ack": func(d *mq.Delivery, ctx context.Context, tx *sql.Tx) error { return d.AckTx(ctx, tx) },
				"nack": func(d *mq.Delivery, ctx context.Context, tx *sql.Tx) error {
					x := q.Tx(tx)
					return x.Nack(ctx, d, time.Hour)
				},
				"archive": func(d *mq.Delivery, ctx context.Context, tx *sql.Tx) error {
					x := q.Tx(tx)
					return x.Archive(ctx, d, "")
				},
			} {
				for _, first := range []bool{false, true} {
					b.post(q, 1)
					d := b.one(q)
					tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: level})
					b.ok(err)
					_, err = tx.Exec("SELECT") // the work
					b.ok(err)
					if !first {
						b.ok(d.Extend(t.Context(), time.Hour))
					}
					err = settle(d, t.Context(), tx)
					switch {
					case works || first:
						b.ok(err)
						b.ok(tx.Commit())
						continue
					case err == nil || !strings.Contains(err.Error(), "use READ COMMITTED") || !strings.Contains(err.Error(), "40001"):
						t.Errorf("%s at %v: %v", name, level, err)
					}
					_ = tx.Rollback()
					b.ok(d.Ack(t.Context()))
				}
			}
		}
	})
}

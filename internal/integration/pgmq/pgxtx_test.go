package pgmq_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/pgmq"
	"github.com/portmq/mq/mqtest"
)

// TestPGXTx: transactions of pgx, in each way to run a statement that can be set,
// and inside of what hides that they are pgx's.
func TestPGXTx(t *testing.T) {
	for mode, wrap := range map[string]func(driver.SQLTx) driver.SQLTx{
		"cache_statement": bare,
		"exec":            bare,
		"simple_protocol": wrapped,
		"cache_describe":  wrapped,
	} {
		t.Run(mode, func(t *testing.T) {
			h := harness(t, withPGX)
			h.Begin = func(t testing.TB, c *mq.Client) mqtest.Tx {
				t.Helper()
				ctx := context.WithoutCancel(t.Context())
				conn := must(pgx.Connect(ctx, and(sessionOf(c).through, "default_query_exec_mode="+mode)))(t)
				t.Cleanup(func() { _ = conn.Close(ctx) })
				tx := must(conn.Begin(ctx))(t)
				return mqtest.Tx{
					SQLTx:    wrap(pgmq.Tx(tx)),
					Commit:   func() error { return tx.Commit(ctx) },
					Rollback: func() error { return tx.Rollback(ctx) },
				}
			}
			suite(t, h, []string{"tx", "drain", "hang"})
		})
	}
}

func bare(tx driver.SQLTx) driver.SQLTx { return tx }

func wrapped(tx driver.SQLTx) driver.SQLTx { return struct{ driver.SQLTx }{tx} }

package pgmq_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/pgmq"
	"github.com/portmq/mq/internal/integration/server"
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

// TestPGXTxElsewhere: a transaction of pgx in another database is refused before
// anything is run in it, whichever way the client was opened.
func TestPGXTxElsewhere(t *testing.T) {
	c := server.Postgres(t)
	here, elsewhere := c.Database(t), c.Database(t)
	conn := must(pgx.Connect(t.Context(), elsewhere))(t)
	defer func() { _ = conn.Close(t.Context()) }()
	tx := must(conn.Begin(t.Context()))(t)
	for name, open := range map[string]opener{"Open": withPGX, "FromPool": fromPool} {
		client := open(t, here)
		t.Cleanup(func() { _ = client.Close() })
		_, err := client.Queue("jobs").Tx(pgmq.Tx(tx)).Send(t.Context(), &mq.Message{})
		if !errors.Is(err, mq.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if status := conn.PgConn().TxStatus(); status != 'T' {
		t.Errorf("the transaction has the state %c", status)
	}
}

// TestPGXTxNested: a savepoint that is rolled back takes with it what was done
// inside, an error too, and nothing else.
func TestPGXTxNested(t *testing.T) {
	ctx := t.Context()
	dsn := server.Postgres(t).Database(t)
	c := fromPool(t, dsn)
	t.Cleanup(func() { _ = c.Close() })
	q := must(c.EnsureQueue(ctx, "jobs", mq.QueueOptions{}))(t)
	must(q.Send(ctx, &mq.Message{Body: []byte("input")}))(t)
	ds := must(q.Receive(ctx, mq.ReceiveOptions{Visibility: time.Hour}))(t)
	conn := must(pgx.Connect(ctx, dsn))(t)
	defer func() { _ = conn.Close(ctx) }()
	outer := must(conn.Begin(ctx))(t)
	for _, body := range []string{"gone", "stays"} {
		inner := must(outer.Begin(ctx))(t)
		in := q.Tx(pgmq.Tx(inner))
		must(in.Send(ctx, &mq.Message{Body: []byte(body)}))(t)
		if body == "gone" {
			if _, err := c.Queue("missing").Tx(pgmq.Tx(inner)).Send(ctx, &mq.Message{}); !errors.Is(err, mq.ErrQueueNotFound) {
				t.Errorf("sending to a missing queue: %v", err)
			}
			ok(t, inner.Rollback(ctx))
			continue
		}
		ok(t, inner.Commit(ctx))
	}
	ok(t, ds[0].AckTx(ctx, pgmq.Tx(outer)))
	ok(t, outer.Commit(ctx))
	got := must(q.Receive(ctx, mq.ReceiveOptions{Max: 10}))(t)
	if len(got) != 1 || string(got[0].Body) != "stays" {
		t.Errorf("received %d messages: %v", len(got), got)
	}
}

func bare(tx driver.SQLTx) driver.SQLTx { return tx }

func wrapped(tx driver.SQLTx) driver.SQLTx { return struct{ driver.SQLTx }{tx} }

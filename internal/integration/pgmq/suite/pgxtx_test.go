package suite_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/pgmq"
	"github.com/portmq/mq/internal/integration/server"
	"github.com/portmq/mq/mqtest/drivertest"
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
			h.Begin = func(t testing.TB, c *mq.Client) drivertest.Tx {
				t.Helper()
				ctx := context.WithoutCancel(t.Context())
				conn := must(pgx.Connect(ctx, and(sessionOf(c).through, "default_query_exec_mode="+mode)))(t)
				t.Cleanup(func() { _ = conn.Close(ctx) })
				tx := must(conn.Begin(ctx))(t)
				return drivertest.Tx{
					SQLTx:    wrap(pgmq.Tx(tx)),
					Commit:   func() error { return tx.Commit(ctx) },
					Rollback: func() error { return tx.Rollback(ctx) },
				}
			}
			suite(t, h, []string{"tx", "topic", "drain", "hang"})
		})
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

// TestPGXTxBusy: who has not closed the rows of a query is told so, and can go on.
func TestPGXTxBusy(t *testing.T) {
	ctx := t.Context()
	dsn := server.Postgres(t).Database(t)
	c := fromPool(t, dsn)
	t.Cleanup(func() { _ = c.Close() })
	q := must(c.EnsureQueue(ctx, "jobs", mq.QueueOptions{}))(t)
	conn := must(pgx.Connect(ctx, dsn))(t)
	defer func() { _ = conn.Close(ctx) }()
	tx := must(conn.Begin(ctx))(t)
	rows := must(tx.Query(ctx, "SELECT 1"))(t)
	if _, err := q.Tx(pgmq.Tx(tx)).Send(ctx, new(mq.Message)); !errors.Is(err, mq.ErrInvalid) || !strings.Contains(err.Error(), "close the rows") {
		t.Errorf("Send beside open rows: %v", err)
	}
	rows.Close()
	must(q.Tx(pgmq.Tx(tx)).Send(ctx, new(mq.Message)))(t)
	ok(t, tx.Commit(ctx))
	if s := must(q.Stats(ctx))(t); s.Total != 1 {
		t.Errorf("%d messages", s.Total)
	}
}

// TestFromPoolHooks: the reserve does what the pool does to a connection before
// it is used, and what a hook says is told.
func TestFromPoolHooks(t *testing.T) {
	ctx := t.Context()
	cfg := must(pgxpool.ParseConfig(server.Postgres(t).Database(t)))(t)
	cfg.MaxConns = 1
	var down atomic.Bool
	cfg.PrepareConn = func(ctx context.Context, c *pgx.Conn) (bool, error) {
		_, err := c.Exec(ctx, "SET application_name = 'prepared'")
		return true, err
	}
	cfg.BeforeConnect = func(context.Context, *pgx.ConnConfig) error {
		if down.Load() {
			return errors.New("the vault is down")
		}
		return nil
	}
	pool := must(pgxpool.NewWithConfig(context.WithoutCancel(ctx), cfg))(t)
	t.Cleanup(pool.Close)
	c := mq.New(pgmq.FromPool(pool, pgmq.Config{Logger: quiet.Logger, PollOnly: true}), quiet)
	t.Cleanup(func() { _ = c.Close() })
	q := must(c.EnsureQueue(ctx, "jobs", mq.QueueOptions{}))(t)
	must(q.Send(ctx, new(mq.Message)))(t)
	ds := must(q.Receive(ctx, mq.ReceiveOptions{Visibility: time.Hour}))(t)

	held := must(pool.Acquire(ctx))(t)
	ok(t, ds[0].Extend(ctx, time.Hour)) // by the reserve
	var n int
	ok(t, held.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'prepared' AND pid <> pg_backend_pid()").Scan(&n))
	held.Release()
	if n != 1 {
		t.Errorf("%d connections beside the pool's were prepared, want the reserve", n)
	}

	down.Store(true)
	pool.Reset()
	if err := c.Ping(ctx); !errors.Is(err, mq.ErrBadConn) || !strings.Contains(err.Error(), "cannot connect: the vault is down") {
		t.Errorf("a hook that fails: %v", err)
	}
}

func bare(tx driver.SQLTx) driver.SQLTx { return tx }

func wrapped(tx driver.SQLTx) driver.SQLTx { return struct{ driver.SQLTx }{tx} }

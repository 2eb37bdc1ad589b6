package pgmq

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/portmq/mq/driver"
)

// checkFull checks the error of a call that got no connection of an exhausted pool.
func checkFull(t *testing.T, what string, err, end error) {
	t.Helper()
	var batch *driver.BatchError
	if errors.As(err, &batch) {
		err = batch.Errs[0]
	}
	if !errors.Is(err, driver.ErrBadConn) || errors.Is(err, driver.ErrUnavailable) || !errors.Is(err, end) ||
		!strings.Contains(err.Error(), "all connections of the pool are in use") || !strings.Contains(err.Error(), "SetMaxOpenConns") {
		t.Errorf("%s = %v: %s", what, err, chain(err))
	}
}

// TestPoolExhausted: a call that gets no connection has certainly not been applied,
// and names the remedy.
func TestPoolExhausted(t *testing.T) {
	for _, c := range calls() {
		if c.tx || c.name == "Install" {
			continue
		}
		for _, known := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, c)
				if known && !c.missing {
					r.known("jobs")
					r.known("other")
				}
				held := make([]*sql.Conn, max(1, c.conns))
				for i := range held {
					conn, err := r.db.Conn(t.Context())
					r.must(err)
					held[i] = conn
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				r.ctx = ctx
				checkFull(t, c.name, c.run(r), context.DeadlineExceeded)
				if len(r.ran) > 0 {
					t.Errorf("%s runs %v", c.name, r.ran)
				}
				for _, conn := range held {
					r.must(conn.Close())
				}
				r.log.take() // of heartbeats that wait
			})
		}
	}
}

// exhaustible opens providers on pools of one connection.
var exhaustible = map[string]func(t *testing.T, addr string) *Provider{
	"driver=pgx": opensOne, "driver=pq": opensOne,
	"FromDB pgx": borrowsOne, "FromDB postgres": borrowsOne,
	"FromPool": func(t *testing.T, addr string) *Provider {
		pool, err := pgxpool.New(t.Context(), "postgres://app@"+addr+"?sslmode=disable&pool_max_conns=1")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		return FromPool(pool, Config{PollOnly: true})
	},
}

func opensOne(t *testing.T, addr string) *Provider {
	t.Helper()
	_, client, _ := strings.Cut(t.Name(), "/")
	p, err := pgmqDriver{}.Open("pgmq://app@"+addr+"?sslmode=disable&pool_max_conns=1&"+client, driver.Env{})
	if err != nil {
		t.Fatal(err)
	}
	return p.(*Provider)
}

func borrowsOne(t *testing.T, addr string) *Provider {
	t.Helper()
	_, name, _ := strings.Cut(t.Name(), "FromDB_")
	db, err := sql.Open(name, "postgres://app@"+addr+"?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	return FromDB(db, Config{})
}

// hold takes the only connection.
func hold(t *testing.T, p *Provider) (release func()) {
	t.Helper()
	if p.shared != nil {
		c, err := p.shared.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return c.Release
	}
	held, err := p.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return func() { _ = held.Close() }
}

// TestPoolExhaustedOfEachLibrary: so it is whatever the library, and whatever has
// ended the wait. Connections that hold a queue's statements up are not blamed.
func TestPoolExhaustedOfEachLibrary(t *testing.T) {
	noEnvironment(t)
	addr := serve(t, func(_ map[string]string, b *pgproto3.Backend) {
		welcome(b)
		follow(b)
	})
	for name, open := range exhaustible {
		t.Run(name, func(t *testing.T) {
			p := open(t, addr)
			defer func() { _ = p.Close() }()
			defer hold(t, p)()
			for end, within := range map[error]func(context.Context) (context.Context, context.CancelFunc){
				context.DeadlineExceeded: func(ctx context.Context) (context.Context, context.CancelFunc) {
					return context.WithTimeout(ctx, 20*time.Millisecond)
				},
				context.Canceled: func(ctx context.Context) (context.Context, context.CancelFunc) {
					ctx, cancel := context.WithCancel(ctx)
					time.AfterFunc(20*time.Millisecond, cancel)
					return ctx, cancel
				},
			} {
				for what, call := range map[string]func(context.Context) error{
					"Send":      func(ctx context.Context) error { return second(p.Send(ctx, "jobs", []driver.Message{body("1")})) },
					"Stats":     func(ctx context.Context) error { return second(p.Stats(ctx, "jobs")) },
					"Ping":      p.Ping,
					"DropQueue": func(ctx context.Context) error { return p.DropQueue(ctx, "jobs") },
					"transact":  func(ctx context.Context) error { return p.transact(ctx, "jobs", step{"insert", nil, ignore}) },
				} {
					ctx, cancel := within(t.Context())
					checkFull(t, what, call(ctx), end)
					cancel()
				}
			}
		})
	}
}

// TestPoolExhaustedAccusesNobody: a call that waited for a connection has not met a
// connection that is silent, nor a message that cannot be read.
func TestPoolExhaustedAccusesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := noneFree(canceled(), context.Canceled, exhausted(t))
		links := newLinks()
		time.Sleep(time.Minute)
		ctx, cancel := context.WithDeadline(t.Context(), time.Now())
		defer cancel()
		links.checkSilence(ctx, time.Now().Add(-10*time.Second), full)
		if n := links.suspect.Load(); n != 0 {
			t.Errorf("what was silent for %v is closed", time.Duration(n))
		}
		in := new(intake)
		in.claimed(10, 0, time.Minute, mapError(full))
		if in.limit != 0 || in.doubts {
			t.Errorf("claims are limited to %d, and messages in doubt: %v", in.limit, in.doubts)
		}
	})
}

// exhausted returns a pool whose only connection is in use.
func exhausted(t *testing.T) *sql.DB {
	t.Helper()
	db := sql.OpenDB(new(fake))
	db.SetMaxOpenConns(1)
	held, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(held.Close(), db.Close()) })
	return db
}

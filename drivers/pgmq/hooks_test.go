package pgmq

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/portmq/mq/driver"
)

// hooks are those of a pool of pgx that may hang, until their ctx ends.
var hooks = map[string]func(cfg *pgxpool.Config, hang func(context.Context) error){
	"BeforeConnect": func(cfg *pgxpool.Config, hang func(context.Context) error) {
		cfg.BeforeConnect = func(ctx context.Context, _ *pgx.ConnConfig) error { return hang(ctx) }
	},
	"AfterConnect": func(cfg *pgxpool.Config, hang func(context.Context) error) {
		cfg.AfterConnect = func(ctx context.Context, _ *pgx.Conn) error { return hang(ctx) }
	},
	"PrepareConn": func(cfg *pgxpool.Config, hang func(context.Context) error) {
		cfg.PrepareConn = func(ctx context.Context, _ *pgx.Conn) (bool, error) { return true, hang(ctx) }
	},
}

// TestFromPoolHookHangs: calls end with their ctx, and were certainly not applied;
// the listener ends with Close.
func TestFromPoolHookHangs(t *testing.T) {
	noEnvironment(t)
	addr := serve(t, func(_ map[string]string, b *pgproto3.Backend) {
		welcome(b)
		follow(b)
	})
	for name, set := range hooks {
		t.Run(name, func(t *testing.T) {
			cfg, err := pgxpool.ParseConfig("postgres://app@" + addr + "?sslmode=disable&pool_max_conns=2")
			if err != nil {
				t.Fatal(err)
			}
			hung := make(chan bool, 1)
			set(cfg, func(ctx context.Context) error {
				select {
				case hung <- true:
				default:
				}
				<-ctx.Done()
				return ctx.Err()
			})
			pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(pool.Close)
			p := FromPool(pool, Config{})
			for what, call := range map[string]func(context.Context) error{
				"Ping":      p.Ping,
				"Send":      func(ctx context.Context) error { return second(p.Send(ctx, "jobs", []driver.Message{body("1")})) },
				"DropQueue": func(ctx context.Context) error { return p.DropQueue(ctx, "jobs") },
				"heartbeat": func(ctx context.Context) error { return mapError(query(ctx, p.reserve.pool, "insert", nil, ignore)) },
			} {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				err := call(ctx)
				cancel()
				if !errors.Is(err, driver.ErrBadConn) || errors.Is(err, driver.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s = %v: %s", what, err, chain(err))
				}
			}
			select {
			case <-hung:
			default:
				t.Fatal("the hook was not called")
			}
			p.enter()
			p.listener = newListener(p)
			go p.listener.run()
			if name == "BeforeConnect" {
				<-hung // by the listener, and until Close
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

package faults

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portmq/mq"
)

// TestConnect: what keeps a client from its database is told at the first
// call, without the password, and is an outage only if it may pass by itself.
func TestConnect(t *testing.T) {
	b := newBase(t)
	at, err := url.Parse(b.dsn)
	b.ok(err)
	who := b.server.Role(t)
	b.server.Exec(t, "ALTER ROLE "+who.Username()+" PASSWORD '"+canary+"' CONNECTION LIMIT 0")
	admin := at.User
	password := url.UserPassword(admin.Username(), canary)
	for _, trouble := range []struct {
		name, dsn, says string
		passes          bool
	}{
		{"database", with(strings.Replace(b.dsn, at.Path, "/nope", 1)), "nope", false},
		{"role", as(b.dsn, url.UserPassword("nobody_here", canary)), "nobody_here", false},
		{"too many connections", as(b.dsn, url.UserPassword(who.Username(), canary)), "too many connections", true},
		{"down", strings.Replace(as(b.dsn, password), at.Host, "127.0.0.1:1", 1), "refused", true},
		{"no such host", strings.Replace(as(b.dsn, password), at.Host, "nope.invalid", 1), "nope.invalid", true},
		{"setting", with(b.dsn, "options=-c%20work_mem="+canary), "setting", false},
	} {
		eachLibrary(t, func(t *testing.T, library string) {
			t.Run(trouble.name, func(t *testing.T) {
				b := b.of(t)
				c := b.open(with(trouble.dsn, "driver="+library, "connect_timeout=60"))
				for _, err := range []error{c.Ping(t.Context()), run("send")(t.Context(), b, c.Queue("jobs"))} {
					if err == nil || !strings.Contains(err.Error(), trouble.says) || errors.Is(err, mq.ErrBadConn) != trouble.passes || errors.Is(err, mq.ErrUnavailable) || errors.Is(err, mq.ErrQueueNotFound) {
						t.Errorf("%v, want it to say %q and to be ErrBadConn: %v", err, trouble.says, trouble.passes)
					}
				}
			})
		})
	}
}

// TestWrongPassword needs a server that asks for one.
func TestWrongPassword(t *testing.T) {
	b := newBase(t)
	who := b.server.Role(t)
	wrong := as(b.dsn, url.UserPassword(who.Username(), canary))
	if b.pool("pgx", wrong).PingContext(t.Context()) == nil {
		t.Skip("the server takes any password")
	}
	eachLibrary(t, func(t *testing.T, library string) {
		b := b.of(t)
		err := b.open(with(wrong, "driver="+library)).Ping(t.Context())
		if err == nil || !strings.Contains(err.Error(), "password") || outage(err) {
			t.Errorf("%v, want it to say that the password is wrong", err)
		}
	})
}

// TestDownLater: a consumer that gets no connection for a while asks on, and
// goes on.
func TestDownLater(t *testing.T) {
	b, who := newBaseWithRole(t)
	eachLibrary(t, func(t *testing.T, library string) {
		b := b.of(t)
		q := b.queue(b.client(), "jobs")
		b.grant(who, usage, selects, updates, insert, deletes)
		var failed atomic.Int32
		cfg := b.config()
		cfg.Interceptors = append(cfg.Interceptors, func(ctx context.Context, _ *mq.Call, next func(context.Context) error) error {
			err := next(ctx)
			if err != nil {
				failed.Add(1)
			}
			return err
		})
		mine := b.openConfig(with(as(b.dsn, who), "driver="+library), cfg).Queue("jobs")
		got := make(chan string, 100)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			ended <- mine.Consume(ctx, func(_ context.Context, d *mq.Delivery) error {
				got <- d.ID
				return nil
			}, mq.ConsumerConfig{})
		}()
		b.post(q, 1)
		arrives(b, got)
		b.exec("ALTER ROLE " + who.Username() + " CONNECTION LIMIT 0")
		b.eventually("it has no connection", func() bool {
			b.kill("usename = $1", who.Username())
			return b.sessions("usename = $1", who.Username()) == 0
		})
		b.post(q, 1)
		vain := failed.Load() + 3
		b.eventually("it tries in vain", func() bool { return failed.Load() >= vain })
		if len(got) > 0 {
			t.Error("received without a connection")
		}
		b.exec("ALTER ROLE " + who.Username() + " CONNECTION LIMIT -1")
		select {
		case <-got:
		case err := <-ended:
			t.Fatalf("the consumer ended: %v", err)
		case <-time.After(patience):
			t.Fatal("the consumer does not go on")
		}
		stop()
		b.ok(<-ended)
	})
}

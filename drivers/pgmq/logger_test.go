package pgmq

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/portmq/mq/driver"
)

// badLog is the handler of a logger that does not return.
type badLog struct{ end func() }

func (l badLog) Handle(context.Context, slog.Record) error {
	l.end()
	return nil
}

func (badLog) Enabled(context.Context, slog.Level) bool { return true }
func (l badLog) WithAttrs([]slog.Attr) slog.Handler     { return l }
func (l badLog) WithGroup(string) slog.Handler          { return l }

// TestLoggerDoesNotReturn: the handler of Config.Logger neither ends the process nor
// holds up Close.
func TestLoggerDoesNotReturn(t *testing.T) {
	noServer := func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("refused") }
	config, err := pgx.ParseConfig("host=127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	config.DialFunc = noServer
	poolConfig, err := pgxpool.ParseConfig("host=127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	poolConfig.ConnConfig.DialFunc = noServer
	open := map[string]func(*testing.T, Config) *Provider{
		"FromDB": func(t *testing.T, cfg Config) *Provider {
			db := sql.OpenDB(new(fake))
			t.Cleanup(func() { _ = db.Close() })
			return FromDB(db, cfg)
		},
		"FromPool": func(t *testing.T, cfg Config) *Provider {
			pool, err := pgxpool.NewWithConfig(t.Context(), poolConfig)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(pool.Close)
			return FromPool(pool, cfg)
		},
	}
	for name, open := range open {
		for how, end := range map[string]func(leave chan bool){
			"panics": func(chan bool) { panic("mine") },
			"hangs":  func(leave chan bool) { <-leave },
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					leave := make(chan bool)
					defer close(leave)
					p := open(t, Config{Listen: config, Logger: slog.New(badLog{func() { end(leave) }})})
					p.listener = newListener(p)
					p.enter()
					go p.listener.run() // which logs that it cannot connect
					time.Sleep(100 * time.Millisecond)
					begun := time.Now()
					if err := p.Close(); err != nil {
						t.Error(err)
					}
					if took := time.Since(begun); took > 2*time.Second {
						t.Errorf("Close took %v", took)
					}
					if err := p.Ping(t.Context()); err != driver.ErrClosed {
						t.Errorf("Ping = %v", err)
					}
				})
			})
		}
	}
}

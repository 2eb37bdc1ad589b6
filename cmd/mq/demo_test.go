package main

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/drivers/rabbitstub"
)

// The demo runs on providers that can do everything, and on those that cannot. After a
// while there is something of everything.
func TestDemo(t *testing.T) {
	for name, open := range map[string]func() mq.Provider{
		"mem":        func() mq.Provider { return mem.New() },
		"rabbitstub": func() mq.Provider { return rabbitstub.New() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := mq.New(open(), mq.Config{Logger: slog.New(slog.DiscardHandler)})
				defer c.Close()
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan error, 1)
				if err := makeDemo(ctx, c); err != nil {
					t.Fatal(err)
				}
				go func() { done <- runDemo(ctx, c) }()
				time.Sleep(10 * time.Minute)
				for _, d := range demoQueues {
					s, err := c.Queue(d.name).Stats(ctx)
					if err != nil {
						t.Fatal(err)
					}
					if d.workers == 0 && s.Visible < 40 || d.bad > 0.01 && s.Archived == 0 || s.Visible > 1000 {
						t.Errorf("%s: %+v", d.name, s)
					}
				}
				stop()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

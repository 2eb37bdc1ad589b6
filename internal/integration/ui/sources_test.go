package ui

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portmq/mq"
	_ "github.com/portmq/mq/drivers/mem"
	_ "github.com/portmq/mq/drivers/pgmq"
	_ "github.com/portmq/mq/drivers/rabbitmq"
	_ "github.com/portmq/mq/drivers/sqlite"
	"github.com/portmq/mq/internal/integration/checks"
	"github.com/portmq/mq/internal/integration/server"
	"github.com/portmq/mq/mqui"
)

var update = flag.Bool("update", false, "write the screenshots and the figures of the documentation")

// images is where the screenshots are.
const images = "../../../docs/images"

// big is the queue with many messages.
const big = "big"

// rows is how many messages are in it: a million for the figures of the documentation.
func rows() int {
	switch {
	case *update:
		return 1_000_000
	case testing.Short():
		return 10_000
	}
	return 100_000
}

// house is a page on all providers.
type house struct {
	*testing.T
	url     string
	clients map[string]*mq.Client
	names   []string     // of the sources
	streams atomic.Int32 // event streams that are open
}

// newHouse fills a queue of each provider, and shows all of them. Acts are allowed.
func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{T: t, clients: make(map[string]*mq.Client), names: []string{"postgres", "sqlite", "memory", "rabbitmq"}}
	postgres := server.Postgres(t).Database(t)
	dsns := map[string]string{
		"postgres": "pgmq" + strings.TrimPrefix(postgres, "postgres"),
		"sqlite":   "sqlite://" + filepath.Join(t.TempDir(), "queue.db"),
		"memory":   "mem://ui-" + strings.ToLower(t.Name()),
		"rabbitmq": server.RabbitMQ(t).Vhost(t),
	}
	var sources []mqui.Source
	for _, name := range h.names {
		c, err := mq.OpenConfig(dsns[name], mq.Config{Logger: slog.New(slog.DiscardHandler), Name: "worker-7f9/12"})
		checks.OK(t, err)
		t.Cleanup(func() { _ = c.Close() })
		h.clients[name] = c
		fill(t, name, c, postgres)
		sources = append(sources, mqui.Source{Name: name, Client: c, Queues: []string{big, "orders"}})
	}
	ui, err := mqui.New(sources, mqui.Options{
		Authorize: func(*http.Request) mqui.Role { return mqui.RoleOperate },
		Logger:    slog.New(slog.DiscardHandler), Interval: time.Second,
	})
	checks.OK(t, err)
	t.Cleanup(func() { _ = ui.Close() })
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/events") {
			h.streams.Add(1)
			defer h.streams.Add(-1)
		}
		ui.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	h.url = srv.URL
	h.counted()
	return h
}

// counted waits until the page has figures of all sources.
func (h *house) counted() {
	h.Helper()
	checks.Eventually(h, "all sources are counted", func() bool {
		_, body := h.get("/")
		return strings.Count(body, "queue="+big) >= len(h.names)
	})
}

// fill makes queue big with many messages, and queue orders with something of everything.
func fill(t *testing.T, name string, c *mq.Client, postgres string) {
	t.Helper()
	ctx := t.Context()
	q, err := c.EnsureQueue(ctx, big, mq.QueueOptions{})
	checks.OK(t, err)
	if name == "postgres" {
		_, err = checks.DB(t, "pgx", postgres).ExecContext(ctx, `INSERT INTO pgmq.q_big (vt, message, headers)
			SELECT now(), jsonb_build_object('id', n, 'note', 'row ' || n), jsonb_build_object('type', 'bulk')
			FROM generate_series(1, $1) n`, rows())
		checks.OK(t, err)
	} else {
		bulk(t, q)
	}
	orders(t, c)
}

// bulk sends many messages.
func bulk(t *testing.T, q *mq.Queue) {
	t.Helper()
	batch := make([]*mq.Message, 1000)
	for sent := 0; sent < rows(); sent += len(batch) {
		for i := range batch {
			batch[i] = &mq.Message{Body: fmt.Appendf(nil, `{"id":%d,"note":"row %d"}`, sent+i, sent+i), Headers: mq.Headers{"type": "bulk"}}
		}
		_, err := q.SendAll(t.Context(), batch)
		checks.OK(t, err)
	}
}

// evil is markup that must not be run.
const evil = `<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>`

// orders makes a queue with dead letters for several reasons, messages that are leased,
// delayed and waiting, and a consumer.
func orders(t *testing.T, c *mq.Client) {
	t.Helper()
	ctx := t.Context()
	q, err := c.EnsureQueue(ctx, "orders", mq.QueueOptions{})
	checks.OK(t, err)
	var msgs []*mq.Message
	for i := range 40 {
		m := &mq.Message{
			Body:    fmt.Appendf(nil, `{"id":%d,"customer":"c%d","cents":%d,"note":"%s"}`, 1_000_000_000_000_000_000+i, i%7, 100*i, "for the door"),
			Headers: mq.Headers{"type": "order.placed", "note": evil},
		}
		if c.Caps().Groups {
			m.Group = fmt.Sprint("c", i%7)
		}
		msgs = append(msgs, m)
	}
	_, err = q.SendAll(ctx, msgs)
	checks.OK(t, err)
	_, err = q.Send(ctx, &mq.Message{Body: []byte(evil), Delay: time.Hour})
	checks.OK(t, err)
	ds, err := q.Receive(ctx, mq.ReceiveOptions{Max: 24, Visibility: 20 * time.Minute})
	checks.OK(t, err)
	for i, d := range ds[:min(20, len(ds))] {
		checks.OK(t, d.Archive(ctx, []string{"card declined", "bank: 500 Internal Server Error", "card declined", "no such product " + evil}[i%4]))
	}
	if c.Caps().Groups {
		work(t, q)
	}
	if err := q.Bind(ctx, "shop.order.*"); err != nil {
		t.Fatal(err)
	}
}

// work runs a consumer that holds a few messages until the end of the test.
func work(t *testing.T, q *mq.Queue) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() {
		done <- q.Consume(ctx, func(ctx context.Context, _ *mq.Delivery) error {
			<-ctx.Done()
			return ctx.Err()
		}, mq.ConsumerConfig{Concurrency: 3, Prefetch: mq.NoPrefetch, SoftStop: mq.AtOnce})
	}()
	t.Cleanup(func() {
		stop()
		checks.OK(t, <-done)
	})
	checks.Eventually(t, "the consumer reports", func() bool {
		all, err := q.Client().Consumers(t.Context(), q.Name())
		checks.OK(t, err)
		return len(all) == 1 && all[0].Held == 3
	})
}

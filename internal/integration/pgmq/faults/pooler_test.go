package faults

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
	"github.com/portmq/mq/internal/integration/server"
)

// logged opens a client with a log.
func (b *base) logged(dsn string) (*mq.Client, *lines) {
	b.Helper()
	log, cfg := new(lines), b.config()
	cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	return b.openConfig(dsn, cfg), log
}

// TestListenThroughPooler: behind a pooler of transactions a LISTEN succeeds and
// nothing is heard. It is told once, and receivers poll.
func TestListenThroughPooler(t *testing.T) {
	b := newBase(t)
	dsn := server.PgBouncer(t, b.server, "transaction").DSN(b.dsn)
	eachLibrary(t, func(t *testing.T, library string) {
		b := b.of(t)
		b.queue(b.client(), library)
		c, log := b.logged(with(dsn, "prepare=false", "driver="+library))
		got := b.waiting(c.Queue(library))
		b.eventually("it is told", func() bool { return strings.Contains(log.String(), "LISTEN does not work") })
		b.promptly(func() (took time.Duration) {
			b.execf("INSERT INTO pgmq.q_%s (vt, message) VALUES (clock_timestamp(), '1')", library)
			return arrives(b, got)
		})
		if n := strings.Count(log.String(), "LISTEN does not work"); n != 1 {
			t.Errorf("it is told %d times", n)
		}
	})
}

// TestListenElsewhere: so it is where Config.Listen leads to another database.
func TestListenElsewhere(t *testing.T) {
	b := newBase(t)
	q := b.queue(b.client(), "jobs")
	log := new(lines)
	p := pgmq.FromDB(b.pool("pgx", b.dsn), pgmq.Config{Listen: b.listenBy(b.server.Database(t)), Logger: slog.New(slog.NewTextHandler(log, nil))})
	c := mq.New(p, b.config())
	b.closing(c)
	got := b.waiting(c.Queue(q.Name()))
	b.eventually("it is told", func() bool { return strings.Contains(log.String(), "LISTEN does not work") })
	b.exec(insertPlain)
	arrives(b, got)
}

// TestSettingsIgnored: a pooler may ignore the settings that the driver makes.
// It is noticed.
func TestSettingsIgnored(t *testing.T) {
	b := newBase(t)
	b.queue(b.client(), "jobs")
	dsn := server.PgBouncer(t, b.server, "session",
		"ignore_startup_parameters = extra_float_digits, enable_seqscan, jit, plan_cache_mode, mq.notify, default_transaction_isolation").DSN(b.dsn)
	eachLibrary(t, func(t *testing.T, library string) {
		for dsn, ignored := range map[string]bool{dsn: true, b.dsn: false} {
			b := b.of(t)
			c, log := b.logged(with(dsn, "driver="+library))
			_, err := c.Queue("jobs").Stats(t.Context())
			b.ok(err)
			if got := strings.Contains(log.String(), "settings of our sessions are not in effect"); got != ignored {
				t.Errorf("ignored: %v, noticed: %v: %s", ignored, got, log)
			}
		}
	})
}

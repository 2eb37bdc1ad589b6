package faults

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
	"github.com/portmq/mq/internal/integration/checks"
	"github.com/portmq/mq/internal/integration/pgmq/layouts"
	"github.com/portmq/mq/internal/integration/server"
)

// libraries are the client libraries, as the parameter of a DSN and as the
// names that they have in database/sql.
var libraries = map[string]string{"pgx": "pgx", "pq": "postgres"}

// eachLibrary runs a test with both.
func eachLibrary(t *testing.T, f func(t *testing.T, library string)) {
	for library := range libraries {
		t.Run(library, func(t *testing.T) { f(t, library) })
	}
}

// base is a database of one test, and plain SQL on it: what other programs do.
type base struct {
	*testing.T
	server *server.Cluster
	dsn    string
	db     *sql.DB
}

// newBase is for a test that runs beside others: most of the time it waits.
func newBase(t *testing.T) *base {
	t.Helper()
	t.Parallel()
	return newBaseOn(t, server.Postgres(t))
}

// newBaseOn is for a test that runs alone, or on a server of its own.
func newBaseOn(t *testing.T, s *server.Cluster) *base {
	t.Helper()
	b := &base{T: t, server: s, dsn: s.Database(t)}
	b.db = b.pool("pgx", b.dsn)
	return b
}

// of returns the same database for a subtest.
func (b *base) of(t *testing.T) *base {
	return &base{T: t, server: b.server, dsn: b.dsn, db: b.db}
}

// pool returns a pool that is the caller's own.
func (b *base) pool(library, dsn string) *sql.DB {
	b.Helper()
	return checks.DB(b, libraries[library], dsn)
}

func (b *base) exec(query string, args ...any) {
	b.Helper()
	checks.Exec(b, b.db, query, args...)
}

func (b *base) execf(format string, args ...any) {
	b.Helper()
	b.exec(fmt.Sprintf(format, args...))
}

// value returns what a query of one value answers.
func value[T any](b *base, query string, args ...any) (v T) {
	b.Helper()
	return checks.Value[T](b, b.db, query, args...)
}

// client opens a client of the database by a DSN with more parameters.
func (b *base) client(params ...string) *mq.Client {
	b.Helper()
	return b.open(b.dsn + "&" + strings.Join(params, "&"))
}

func (b *base) open(dsn string) *mq.Client {
	b.Helper()
	return b.openConfig(dsn, b.config())
}

func (b *base) openConfig(dsn string, cfg mq.Config) *mq.Client {
	b.Helper()
	_, rest, _ := strings.Cut(dsn, "://")
	c, err := mq.OpenConfig("pgmq://"+rest, cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.closing(c)
	return c
}

// listenBy returns what Config.Listen is by a DSN.
func (b *base) listenBy(dsn string) *pgx.ConnConfig {
	b.Helper()
	cfg, err := pgx.ParseConfig(dsn)
	b.ok(err)
	return cfg
}

// pooled returns a client on a pool of pgx that has n connections.
func (b *base) pooled(n int32) *mq.Client {
	b.Helper()
	cfg, err := pgxpool.ParseConfig(b.dsn)
	b.ok(err)
	cfg.MaxConns = n
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(b.Context()), cfg)
	b.ok(err)
	b.Cleanup(pool.Close)
	c := mq.New(pgmq.FromPool(pool, pgmq.Config{Logger: b.config().Logger}), b.config())
	b.closing(c)
	return c
}

// borrowed returns a client on a pool of the caller's.
func (b *base) borrowed(db *sql.DB, cfg pgmq.Config) *mq.Client {
	b.Helper()
	cfg.Logger = b.config().Logger
	p := pgmq.FromDB(db, cfg)
	c := mq.New(p, b.config())
	b.closing(c)
	return c
}

func (b *base) closing(c *mq.Client) {
	b.Cleanup(func() {
		if err := c.Close(); err != nil {
			b.Error(err)
		}
	})
}

// canary stands in all payloads and passwords that must not be told.
const canary = server.Canary

// secrets must be neither in an error nor in the log: data, and SQL.
var secrets = []string{canary, "INSERT INTO", "UPDATE pgmq", "DELETE FROM", "SELECT msg_id", "statement_timestamp", "unnest("}

func secret(text string) bool {
	for _, s := range secrets {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}

// config lets no error and no line of the log pass that tells a secret.
func (b *base) config() mq.Config {
	return mq.Config{
		Logger: slog.New(slog.NewTextHandler(confidential{b}, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Interceptors: []mq.Interceptor{func(ctx context.Context, c *mq.Call, next func(context.Context) error) error {
			err := next(ctx)
			if err != nil && secret(err.Error()) {
				b.Errorf("%s: the error tells a secret: %v", c.Op, err)
			}
			return err
		}},
	}
}

// confidential is where the log goes.
type confidential struct{ *base }

func (c confidential) Write(line []byte) (int, error) {
	if secret(string(line)) {
		c.Errorf("the log tells a secret: %s", line)
	}
	return len(line), nil
}

// queue makes a queue.
func (b *base) queue(c *mq.Client, name string) *mq.Queue {
	b.Helper()
	q, err := c.EnsureQueue(b.Context(), name, mq.QueueOptions{})
	if err != nil {
		b.Fatal(err)
	}
	return q
}

// message is one that must not be told.
func message() *mq.Message {
	return &mq.Message{
		Body:    []byte(`{"pan":"` + canary + `"}`),
		Headers: mq.Headers{"token": canary},
		Group:   canary,
	}
}

// post sends messages.
func (b *base) post(q *mq.Queue, n int) (ids []string) {
	b.Helper()
	msgs := make([]*mq.Message, n)
	for i := range msgs {
		msgs[i] = message()
	}
	ids, err := q.SendAll(b.Context(), msgs)
	if err != nil {
		b.Fatal(err)
	}
	return ids
}

// take receives messages for a long time.
func (b *base) take(q *mq.Queue, limit int) []*mq.Delivery {
	b.Helper()
	ds, err := q.Receive(b.Context(), mq.ReceiveOptions{Max: limit, Visibility: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	return ds
}

// one receives the only message there is.
func (b *base) one(q *mq.Queue) *mq.Delivery {
	b.Helper()
	ds := b.take(q, 2)
	if len(ds) != 1 {
		b.Fatalf("received %d messages, want 1", len(ds))
	}
	return ds[0]
}

// is checks the error of a call.
func (b *base) is(err, want error, what string) {
	b.Helper()
	if !errors.Is(err, want) {
		b.Errorf("%s: %v, want %v", what, err, want)
	}
}

// stale passes over what says that a lease was over.
func stale(err error) error {
	if errors.Is(err, mq.ErrStaleReceipt) {
		return nil
	}
	return err
}

// outage reports whether err is of the way to the server.
func outage(err error) bool {
	return errors.Is(err, mq.ErrBadConn) || errors.Is(err, mq.ErrUnavailable)
}

const patience = checks.Patience

// eventually waits for a condition.
func (b *base) eventually(what string, done func() bool) {
	b.Helper()
	checks.Eventually(b, what, done)
}

// with adds parameters to a DSN.
func with(dsn string, params ...string) string { return dsn + "&" + strings.Join(params, "&") }

// as returns a DSN with another user.
func as(dsn string, who *url.Userinfo) string {
	u, err := url.Parse(dsn)
	if err != nil {
		panic(err)
	}
	u.User = who
	return u.String()
}

// partly returns what became of each item of a batch.
func (b *base) partly(err error) *mq.BatchError {
	b.Helper()
	batch := (*mq.BatchError)(nil)
	if !errors.As(err, &batch) {
		b.Fatalf("%v, want a BatchError", err)
	}
	return batch
}

// functions installs what stands for PGMQ's own.
func functions(b *base) { layouts.Functions(b, b.db) }

// each runs several statements, each for itself.
func (b *base) each(statements string) {
	b.Helper()
	for s := range strings.SplitSeq(statements, ";") {
		if s != "" {
			b.exec(s)
		}
	}
}

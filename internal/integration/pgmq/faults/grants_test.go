package faults

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
	"github.com/portmq/mq/internal/integration/server"
)

// Rights on queue jobs, as they follow GRANT.
const (
	usage         = "USAGE ON SCHEMA pgmq"
	insert        = "INSERT ON pgmq.q_jobs"
	selects       = "SELECT ON pgmq.q_jobs"
	updates       = "UPDATE ON pgmq.q_jobs"
	deletes       = "DELETE ON pgmq.q_jobs"
	insertArchive = "INSERT ON pgmq.a_jobs"
	selectArchive = "SELECT ON pgmq.a_jobs"
	updateArchive = "UPDATE ON pgmq.a_jobs"
	deleteArchive = "DELETE ON pgmq.a_jobs"
	insertOther   = "INSERT ON pgmq.q_other"
	selectRate    = "SELECT ON pgmq.notify_insert_throttle"
	updateRate    = "UPDATE ON pgmq.notify_insert_throttle"
	insertRate    = "INSERT ON pgmq.notify_insert_throttle"
	selectMeta    = "SELECT ON pgmq.meta"
	selectBound   = "SELECT ON pgmq.topic_bindings"
	insertBound   = "INSERT ON pgmq.topic_bindings"
	deleteBound   = "DELETE ON pgmq.topic_bindings"
	sequence      = "SELECT ON SEQUENCE pgmq.q_jobs_msg_id_seq"
)

// grants are the rights that each operation needs, and no others: the table of
// docs/pgmq.md.
var grants = []struct {
	name   string
	rights []string
	run    func(ctx context.Context, b *base, q *mq.Queue) error
}{
	{"ensure", nil, func(ctx context.Context, _ *base, q *mq.Queue) error {
		_, err := q.Client().EnsureQueue(ctx, "jobs", mq.QueueOptions{})
		return err
	}},
	{"queues", nil, func(ctx context.Context, _ *base, q *mq.Queue) error {
		_, err := q.Client().Queues(ctx)
		return err
	}},
	{"ping", nil, func(ctx context.Context, _ *base, q *mq.Queue) error { return q.Client().Ping(ctx) }},
	{"send", []string{usage, insert, selects}, run("send")},
	{"send many", []string{usage, insert, selects}, run("send many")},
	{"receive", []string{usage, selects, updates}, run("receive")},
	{"receive waiting", []string{usage, selects, updates}, run("receive waiting")},
	{"receive heads", []string{usage, selects, updates}, run("receive heads")},
	{"receive a group", []string{usage, selects, updates}, run("receive a group")},
	{"pop", []string{usage, selects, updates, deletes}, run("pop")},
	{"ack one", []string{usage, selects, updates, deletes}, run("ack one")},
	{"ack", []string{usage, selects, updates, deletes}, run("ack")},
	{"nack", []string{usage, selects, updates, deletes}, run("nack")},
	{"archive", []string{usage, selects, updates, deletes, insertArchive, selectArchive}, run("archive")},
	{"move", []string{usage, selects, updates, deletes, insertOther}, func(ctx context.Context, _ *base, q *mq.Queue) error {
		return stale(q.Settle(ctx, mq.Settlement{Receipt: pgmq.Unfenced("jobs", "1"), Op: mq.OpMove, To: "other"}))
	}},
	{"extend", []string{usage, selects, updates}, run("extend")},
	{"purge", []string{usage, selects, updates, deletes}, run("purge")},
	{"redrive", []string{usage, selectArchive, updateArchive, deleteArchive, insert}, run("redrive")},
	{"purge the archive", []string{usage, selectArchive, updateArchive, deleteArchive}, run("purge the archive")},
	{"peek", []string{usage, selects}, run("peek")},
	{"archived", []string{usage, selectArchive}, run("archived")},
	{"stats", []string{usage, selects, selectArchive}, run("stats")},
	{"bind", []string{usage, selectMeta, selectBound, insertBound}, func(ctx context.Context, _ *base, q *mq.Queue) error {
		return q.Bind(ctx, "a.*")
	}},
	{"bindings", []string{usage, selectBound}, func(ctx context.Context, _ *base, q *mq.Queue) error {
		_, err := q.Bindings(ctx)
		return err
	}},
	{"publish", []string{usage, selectBound, insert, selects}, func(ctx context.Context, _ *base, q *mq.Queue) error {
		_, err := q.Client().Publish(ctx, "a.b", message())
		return err
	}},
	{"unbind", []string{usage, selectBound, deleteBound}, func(ctx context.Context, _ *base, q *mq.Queue) error {
		return q.Unbind(ctx, "b.*")
	}},
}

// run returns an operation whose receipts may be stale.
func run(name string) func(ctx context.Context, b *base, q *mq.Queue) error {
	i := slices.IndexFunc(operations, func(op operation) bool { return op.name == name })
	return func(ctx context.Context, b *base, q *mq.Queue) error {
		return stale(operations[i].run(ctx, b, q))
	}
}

// TestGrants checks that each operation works with the rights that are told
// above, and not with one less; then the error says so.
func TestGrants(t *testing.T) {
	b, role := newBaseWithRole(t)
	admin := b.client()
	b.queue(admin, "jobs")
	b.queue(admin, "other")
	c := b.open(as(b.dsn, role))
	for _, g := range grants {
		t.Run(g.name, func(t *testing.T) {
			b := b.of(t)
			b.grant(role, g.rights...)
			b.ok(g.run(t.Context(), b, c.Queue("jobs")))
			for i := range g.rights {
				b.grant(role, slices.Delete(slices.Clone(g.rights), i, i+1)...)
				b.denied(g.run(t.Context(), b, c.Queue("jobs")), "without "+g.rights[i])
			}
		})
	}
}

// newBaseWithRole makes a role without rights, too.
func newBaseWithRole(t *testing.T) (*base, *url.Userinfo) {
	t.Helper()
	role := server.Postgres(t).Role(t) // dropped after the database
	return newBase(t), role
}

// grant gives a role these rights and no others.
func (b *base) grant(role *url.Userinfo, rights ...string) {
	b.Helper()
	b.exec("DROP OWNED BY " + role.Username())
	for _, right := range rights {
		b.exec("GRANT " + right + " TO " + role.Username())
	}
}

// denied checks that a right is missing and that the error helps.
func (b *base) denied(err error, what string) {
	b.Helper()
	switch {
	case err == nil:
		b.Errorf("%s: it works", what)
	case !strings.Contains(err.Error(), "42501"), outage(err), !strings.Contains(err.Error(), "docs/pgmq.md"):
		b.Errorf("%s: %v", what, err)
	}
}

// TestGrantsOfSenders: sessions of the driver's own need no right on the
// trigger's table; those of a borrowed pool, and other programs, do.
func TestGrantsOfSenders(t *testing.T) {
	b, role := newBaseWithRole(t)
	b.queue(b.client(), "jobs")
	pool := b.pool("pgx", as(b.dsn, role))
	q := b.borrowed(pool, pgmq.Config{}).Queue("jobs")
	rights := []string{usage, insert, selects, selectRate, updateRate, insertRate}
	for _, state := range []string{"UPDATE pgmq.notify_insert_throttle SET last_notified_at = '-infinity'", "DELETE FROM pgmq.notify_insert_throttle"} {
		b.grant(role, rights...)
		b.exec(state)
		b.ok(run("send")(t.Context(), b, q))
	}
	b.grant(role, usage, insert, selects)
	b.denied(run("send")(t.Context(), b, q), "without rights on the trigger's table")
}

// TestGrantsOfStats: without a right on the sequence TotalSent is unknown.
func TestGrantsOfStats(t *testing.T) {
	b, role := newBaseWithRole(t)
	b.post(b.queue(b.client(), "jobs"), 3)
	q := b.open(as(b.dsn, role)).Queue("jobs")
	for right, want := range map[string]int64{selects: -1, sequence: 3} {
		b.grant(role, usage, selects, selectArchive, right)
		s, err := q.Stats(t.Context())
		if b.ok(err); s.TotalSent != want || s.Total != 3 {
			t.Errorf("with %s: %+v, want TotalSent %d", right, s, want)
		}
	}
}

// TestGrantsToListen: who may not read the trigger's table polls.
func TestGrantsToListen(t *testing.T) {
	b, role := newBaseWithRole(t)
	b.queue(b.client(), "jobs")
	b.grant(role, usage, selects, updates)
	got := b.waiting(b.open(as(b.dsn, role)).Queue("jobs"))
	b.promptly(func() time.Duration {
		b.exec(insertPlain)
		return arrives(b, got)
	})
}

// TestGrantsToMake finds what a role needs that makes queues and drops them.
func TestGrantsToMake(t *testing.T) {
	b, role := newBaseWithRole(t)
	b.queue(b.client(), "jobs")
	c := b.open(as(b.dsn, role))
	making := []string{usage, "CREATE ON SCHEMA pgmq", "INSERT ON pgmq.meta", "SELECT ON pgmq.meta", insertRate}
	dropping := []string{usage, "SELECT ON pgmq.meta", "DELETE ON pgmq.meta"}
	ensure := func() error {
		_, err := c.EnsureQueue(t.Context(), "mine", indexedBy(mq.GroupBy{}))
		return err
	}
	drop := func() error { return c.DropQueue(t.Context(), "mine") }
	b.exec("DROP TABLE pgmq.topic_bindings") // which the role may not make, as it refers to pgmq.meta
	for i := range making {
		b.grant(role, slices.Delete(slices.Clone(making), i, i+1)...)
		b.denied(ensure(), "without "+making[i])
	}
	b.grant(role, making...)
	b.ok(ensure())
	b.is(c.Queue("mine").Bind(t.Context(), "a.*"), mq.ErrNotSupported, "binding without a table of bindings")
	for i := range dropping {
		b.regrant(role, slices.Delete(slices.Clone(dropping), i, i+1)...)
		b.denied(drop(), "without "+dropping[i])
	}
	b.regrant(role, dropping...)
	b.ok(drop())
}

// regrant is grant for a role that owns a queue, and keeps it.
func (b *base) regrant(role *url.Userinfo, rights ...string) {
	b.Helper()
	who := role.Username()
	b.exec("REVOKE ALL ON SCHEMA pgmq FROM " + who + "; REVOKE ALL ON pgmq.meta, pgmq.notify_insert_throttle FROM " + who)
	for _, right := range rights {
		b.exec("GRANT " + right + " TO " + who)
	}
}

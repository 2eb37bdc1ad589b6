package faults

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/url"
	"os"
	"reflect"
	"regexp"
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
	selectRate    = "SELECT ON pgmq.notify_insert_throttle"
	updateRate    = "UPDATE ON pgmq.notify_insert_throttle"
	insertRate    = "INSERT ON pgmq.notify_insert_throttle"
	sequence      = "SELECT ON SEQUENCE pgmq.q_jobs_msg_id_seq"
)

// granted are the operations whose rights docs/pgmq.md lists, by the names that it has in
// the first column.
var granted = map[string][]func(ctx context.Context, b *base, q *mq.Queue) error{
	"EnsureQueue": {func(ctx context.Context, _ *base, q *mq.Queue) error {
		_, err := q.Client().EnsureQueue(ctx, "jobs", mq.QueueOptions{})
		return err
	}},
	"Queues": {func(ctx context.Context, _ *base, q *mq.Queue) error {
		_, err := q.Client().Queues(ctx)
		return err
	}},
	"Ping":         {func(ctx context.Context, _ *base, q *mq.Queue) error { return q.Client().Ping(ctx) }},
	"Send":         {run("send"), run("send many")},
	"SendOnce":     {run("send once")},
	"Receive":      {run("receive"), run("receive waiting")},
	"ReceiveHeads": {run("receive heads")},
	"ReceiveGroup": {run("receive a group")},
	"Extend":       {run("extend")},
	"Ack":          {run("ack one"), run("ack"), run("override ack")},
	"Nack":         {run("nack"), run("override nack")},
	"Archive":      {run("archive"), run("override archive")},
	"Move": {func(ctx context.Context, _ *base, q *mq.Queue) error {
		return stale(q.Settle(ctx, mq.Settlement{Receipt: pgmq.Unfenced("jobs", "1"), Op: mq.OpMove, To: "other"}))
	}, func(ctx context.Context, _ *base, q *mq.Queue) error {
		return override(ctx, q, mq.Settlement{Op: mq.OpMove, To: "other"})
	}},
	"Pop":            {run("pop")},
	"Purge":          {run("purge")},
	"Peek":           {run("peek"), run("browse ids")},
	"Stats":          {run("stats")},
	"StatsAll":       {run("stats")}, // of each queue, so that this cannot fail for other
	"Archived":       {run("archived")},
	"Redrive":        {run("redrive")},
	"PurgeArchive":   {run("purge the archive")},
	"RemoveArchived": {run("remove archived")},
	"Publish":        {run("publish")},
	"Bind":           {run("bind")},
	"Unbind":         {run("unbind")},
	"Bindings":       {run("bindings")},
	"Search":         {run("search"), run("search bodies")},
	"Reasons":        {run("reasons")},
	"Pause":          {run("pause and resume")},
	"Resume":         {run("pause and resume")},
	"Paused":         {run("paused")},
	"Consumers":      {run("report")},
}

// run returns an operation whose receipts may be stale.
func run(name string) func(ctx context.Context, b *base, q *mq.Queue) error {
	all := slices.Concat(operations, managing)
	i := slices.IndexFunc(all, func(op operation) bool { return op.name == name })
	return func(ctx context.Context, b *base, q *mq.Queue) error {
		return stale(all[i].run(ctx, b, q))
	}
}

// grant is a row of the table in docs/pgmq.md, for queue jobs.
type grant struct {
	operations []string
	rights     []string
}

var (
	codes  = regexp.MustCompile("`([A-Za-z]+)`")
	clause = regexp.MustCompile("((?:(?:, | and )?(?:SELECT|INSERT|UPDATE|DELETE|USAGE))+)(?: on (the other queue's table|sequence `[^`]+`|`[^`]+`))?")
	right  = regexp.MustCompile("[A-Z]{6}|USAGE")
)

// readGrants reads the table.
func readGrants(t *testing.T) (all []grant) {
	t.Helper()
	text, err := os.ReadFile("../../../../docs/pgmq.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| operation | on `pgmq.q_orders` | on `pgmq.a_orders` |")
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 {
			if len(all) > 0 {
				break
			}
			continue
		}
		var g grant
		for _, name := range codes.FindAllStringSubmatch(cells[1], -1) {
			g.operations = append(g.operations, name[1])
		}
		for i, table := range []string{"pgmq.q_jobs", "pgmq.a_jobs"} {
			for part := range strings.SplitSeq(cells[2+i], ", and ") {
				g.rights = append(g.rights, rightsOn(table, part)...)
			}
		}
		if len(g.rights) > 0 {
			g.rights = append(g.rights, usage)
		}
		if len(g.operations) > 0 {
			all = append(all, g)
		}
	}
	return all
}

// rightsOn reads "SELECT and INSERT on `pgmq.meta`", or without a table.
func rightsOn(table, text string) (rights []string) {
	for _, c := range clause.FindAllStringSubmatch(text, -1) {
		on := cmp.Or(strings.ReplaceAll(c[2], "`", ""), table)
		if c[2] == "the other queue's table" {
			on = "pgmq.q_other"
		}
		on = strings.ReplaceAll(on, "orders", "jobs")
		for _, r := range right.FindAllString(c[1], -1) {
			rights = append(rights, r+" ON "+on)
		}
	}
	return rights
}

// TestGrants checks that each operation works with the rights of its row in docs/pgmq.md,
// and not with one less; then the error says so. Every operation has a row.
func TestGrants(t *testing.T) {
	b, role := newBaseWithRole(t)
	admin := b.client()
	b.queue(admin, "jobs")
	b.queue(admin, "other")
	b.ok(pgmq.Install(t.Context(), b.db))
	b.ok(admin.Queue("jobs").Bind(t.Context(), "a.*"))
	left := maps.Clone(granted)
	for _, g := range readGrants(t) {
		for _, name := range g.operations {
			if name == "Override" || name == "DedupKey" { // is among the others
				continue
			}
			t.Run(name, func(t *testing.T) { b.of(t).needs(role, g.rights, granted[name]) })
			delete(left, name)
		}
	}
	if len(left) > 0 {
		t.Errorf("docs/pgmq.md has no row with %v", slices.Sorted(maps.Keys(left)))
	}
}

// needs checks that calls need these rights. Each call is on a client of its own, since
// clients remember what they may not do.
func (b *base) needs(role *url.Userinfo, rights []string, calls []func(context.Context, *base, *mq.Queue) error) {
	b.Helper()
	if len(calls) == 0 {
		b.Fatal("no call")
	}
	call := func(i int) error { return calls[i](b.Context(), b, b.open(as(b.dsn, role)).Queue("jobs")) }
	b.grant(role, rights...)
	for i := range calls {
		b.ok(call(i))
	}
	for n := range rights {
		b.grant(role, slices.Delete(slices.Clone(rights), n, n+1)...)
		for i := range calls {
			b.denied(call(i), "without "+rights[n])
		}
	}
}

// TestGrantsOfAll: every method of a queue that asks the server is in the table, or is
// made of those that are.
func TestGrantsOfAll(t *testing.T) {
	made := []string{"SendAll", "Settle", "Messages", "Consume", "ConsumeBatch", "Override"}
	for m := range reflect.TypeFor[*mq.Queue]().Methods() {
		asks := m.Type.NumIn() > 1 && m.Type.In(1) == reflect.TypeFor[context.Context]()
		if asks && granted[m.Name] == nil && !slices.Contains(made, m.Name) {
			t.Errorf("Queue.%s is in no test", m.Name)
		}
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
	case errors.Is(err, mq.ErrNotSupported) && strings.Contains(err.Error(), "GRANT"): // of the driver's own tables
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

// TestGrantsToInstall: a role that may create schemas can install, and no other can. Another
// interval takes the owner of the queue and rights on the trigger's table.
func TestGrantsToInstall(t *testing.T) {
	b, role := newBaseWithRole(t)
	who, db := role.Username(), b.pool("pgx", as(b.dsn, role))
	b.denied(pgmq.Install(t.Context(), db), "without CREATE on the database")
	b.exec("DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO " + who + "', current_database()); END $$")
	b.ok(pgmq.Install(t.Context(), db))
	c := b.open(as(b.dsn, role))
	every := func(d time.Duration) error {
		_, err := c.EnsureQueue(t.Context(), "mine", mq.QueueOptions{Drivers: []mq.DriverOptions{pgmq.QueueOptions{NotifyInterval: d}}})
		return err
	}
	b.ok(every(time.Second))
	b.exec("ALTER TABLE pgmq.notify_insert_throttle OWNER TO CURRENT_USER")
	throttle := []string{"INSERT", "UPDATE", "SELECT", "DELETE"}
	for i, right := range throttle {
		b.exec("REVOKE ALL ON pgmq.notify_insert_throttle FROM " + who)
		for _, right := range slices.Delete(slices.Clone(throttle), i, i+1) {
			b.exec("GRANT " + right + " ON pgmq.notify_insert_throttle TO " + who)
		}
		interval := 2 * time.Second
		if right == "DELETE" {
			interval = pgmq.NoNotify
		}
		b.denied(every(interval), "without "+right+" on the trigger's table")
	}
	b.exec("GRANT ALL ON pgmq.notify_insert_throttle TO " + who)
	b.ok(every(2 * time.Second))
	b.ok(every(pgmq.NoNotify))
	b.exec("DROP OWNED BY " + who + " CASCADE")
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

package faults

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
)

// evil makes functions and operators that fail, for all types that the driver
// might have where pg_catalog has others, in a schema that comes first in the
// path. What is resolved through the path, and not exactly, ends here. A sequence,
// which no rollback sets back, counts the calls: the driver may pass over an error.
const evil = `
CREATE SCHEMA evil;
CREATE SEQUENCE evil.calls;
GRANT USAGE ON SCHEMA evil TO PUBLIC;
GRANT ALL ON SEQUENCE evil.calls TO PUBLIC;
CREATE FUNCTION evil.fails() RETURNS text LANGUAGE plpgsql
	AS 'BEGIN PERFORM pg_catalog.nextval(''evil.calls''::pg_catalog.regclass); RAISE EXCEPTION ''caught''; END';
DO $do$
DECLARE
	types text[] := '{smallint,integer,bigint,real,float8,numeric,text,varchar,name,jsonb,timestamptz,timestamp,interval,boolean,oid,regclass,text[],bigint[],integer[],name[],"\"char\"",bpchar,json,bytea,xid8,anyelement}';
	a text; b text; op text; f text;
BEGIN
	SET LOCAL check_function_bodies = off;
	FOREACH a IN ARRAY types LOOP
		FOREACH b IN ARRAY types LOOP
			EXECUTE format('CREATE FUNCTION evil.op(%s, %s) RETURNS boolean LANGUAGE sql AS ''SELECT evil.fails()::boolean''', a, b);
			FOREACH op IN ARRAY '{+,-,*,/,||,->,->>,#>,#>>,=,<>,<,<=,>,>=,~,!~,~~,!~~,&,&&,?,@>,<@}'::text[] LOOP
				EXECUTE format('CREATE OPERATOR evil.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = evil.op)', op, a, b);
			END LOOP;
			FOREACH f IN ARRAY string_to_array($1$, ' ') LOOP
				EXECUTE format('CREATE FUNCTION evil.%I(%s, %s) RETURNS boolean LANGUAGE sql AS ''SELECT evil.fails()::boolean''', f, a, b);
			END LOOP;
		END LOOP;
		FOREACH f IN ARRAY string_to_array($1$, ' ') LOOP
			EXECUTE format('CREATE FUNCTION evil.%I(%s) RETURNS boolean LANGUAGE sql AS ''SELECT evil.fails()::boolean''', f, a);
		END LOOP;
	END LOOP;
END $do$`

// called are functions that statements call without a schema.
func called(sql string) string {
	seen := map[string]bool{"lower": true}
	for _, m := range regexp.MustCompile(`(?:^|[^\w."])([a-z_]+)\(`).FindAllStringSubmatch(sql, -1) {
		seen[m[1]] = true
	}
	var names []string
	for name := range seen {
		if !syntax[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// syntax is what looks like a function and is none: keywords, and names before a list of
// columns or in a pattern.
var syntax = map[string]bool{
	"coalesce": true, "greatest": true, "least": true, "nullif": true, "extract": true, "exists": true, "in": true, "cast": true, "any": true, "all": true,
	"h": true, "k": true, "p": true, "r": true, "s": true, "t": true, "u": true, "walk": true, "mq_": true,
}

// TestNamesInPath: nothing that the driver, Install or mq doctor runs is
// resolved through a schema of the path.
func TestNamesInPath(t *testing.T) {
	b := newBase(t)
	doctor, err := os.ReadFile("../../../../cmd/mq/doctor.sql")
	b.ok(err)
	files, err := filepath.Glob("../../../../drivers/pgmq/sql/*.sql")
	b.ok(err)
	if len(files) == 0 {
		t.Fatal("no files of SQL")
	}
	var all strings.Builder
	all.Write(doctor)
	for _, file := range files {
		text, err := os.ReadFile(file)
		b.ok(err)
		all.Write(text)
	}
	calls := called(all.String())
	if calls != "lower substring unnest" { // the latter two only in forms that are syntax
		t.Errorf("functions are called without their schema: %s", calls)
	}
	b.exec(strings.ReplaceAll(evil, "$1$", "'"+calls+" count max now'"))
	dsn := b.dsn + "&options=-c%20search_path%3Devil,public"
	first := b.pool("pgx", dsn)
	if _, err := first.ExecContext(t.Context(), "SELECT 1::bigint * interval '1 s'"); err == nil {
		t.Fatal("an operator in the path is not found, which proves nothing")
	}
	for name, c := range map[string]*mq.Client{"own": b.open(dsn), "borrowed": b.borrowed(first, pgmq.Config{})} {
		b.all(c, name, first)
	}
	b.ok(pgmq.Install(t.Context(), first))
	for _, part := range strings.Split(string(doctor), "-- ")[1:] {
		name, text, _ := strings.Cut(part, "\n")
		if strings.TrimSpace(text) == "" {
			continue
		}
		var args []any
		if strings.Contains(text, "$1") {
			args = append(args, "")
		}
		if _, err := first.ExecContext(t.Context(), text, args...); err != nil {
			t.Errorf("doctor, %s: %v", name, err)
		}
	}
	if n := value[int](b, "SELECT last_value FROM evil.calls"); n != 1 { // that of the proof
		t.Errorf("%d calls got into the path", n-1)
	}
}

// all runs every operation on a queue of its own.
func (b *base) all(c *mq.Client, name string, first *sql.DB) {
	b.Helper()
	ctx := context.WithoutCancel(b.Context())
	by := mq.GroupBy{Path: []string{"a"}}
	q, err := c.EnsureQueue(ctx, name, indexedBy(mq.GroupBy{}, by))
	b.ok(err)
	_, err = c.EnsureQueue(ctx, name, indexedBy(mq.GroupBy{}))
	b.ok(err)
	b.exec("DROP TABLE pgmq.mq_keys, pgmq.mq_paused, pgmq.mq_consumers, pgmq.topic_bindings") // so that they are made
	for _, op := range slices.Concat(operations, managing, inTransactions) {
		b.post(q, 1)
		if err := stale(op.run(ctx, b, q)); err != nil {
			b.Errorf("%s, %s: %v", name, op.name, err)
		}
		_, err := q.ReceiveHeads(ctx, &by, mq.ReceiveOptions{Max: 10})
		b.ok(err)
	}
	b.topics(c, q, first)
	for range 2 { // with the row of the throttle and without
		_, err = first.ExecContext(ctx, "INSERT INTO pgmq.q_"+name+" (vt, message) VALUES (now(), '1')")
		b.ok(err)
		b.exec("DELETE FROM pgmq.notify_insert_throttle")
	}
	b.execf("INSERT INTO pgmq.q_%s (vt, message) SELECT now(), '1' FROM generate_series(1, 10100)", name)
	_, err = q.Stats(ctx)
	b.ok(err)
	_, err = c.Queues(ctx)
	b.ok(err)
	b.ok(c.DropQueue(ctx, name))
}

// topics runs the operations of topics, in a transaction as well.
func (b *base) topics(c *mq.Client, q *mq.Queue, first *sql.DB) {
	b.Helper()
	ctx := context.WithoutCancel(b.Context())
	b.ok(q.Bind(ctx, "a.*"))
	tx, err := first.BeginTx(ctx, nil)
	b.ok(err)
	for _, publish := range []func() ([]mq.Published, error){
		func() ([]mq.Published, error) { return c.Publish(ctx, "a.b", message(), message()) },
		func() ([]mq.Published, error) { return c.PublishTx(ctx, tx, "a.b", message()) },
	} {
		for range 2 {
			out, err := publish()
			if b.ok(err); len(out) != 1 {
				b.Errorf("published %v", out)
			}
		}
	}
	b.ok(tx.Commit())
	if bound, err := c.Bindings(ctx); err != nil || len(bound) != 1 {
		b.Errorf("bound are %v, error %v", bound, err)
	}
	b.ok(q.Unbind(ctx, "a.*"))
}

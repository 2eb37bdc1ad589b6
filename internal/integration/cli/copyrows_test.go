package cli

import (
	"fmt"
	"net/url"
	"slices"
	"testing"
)

// oddBodies are what PostgreSQL takes for jsonb, and SQL's NULL.
var oddBodies = []string{
	`1`, `1.0`, `1.50`, `1e100`, `1e400`, `-0.0`, `0.1e-20`, `null`, `true`, `"text"`, `"\u00e9\ud83d\ude00 \" \\ \n \u2028 <&>"`,
	`[]`, `[1.0, [null, {"a": null}], "x"]`, `{}`, `{"bb": 1, "a": {"z": [], "y": {}}, "b": null}`,
	`{"mq:text": "of this library"}`, `{"mq:base64": "AAE="}`, `{"mq:text": 3}`, "",
}

var oddHeaders = []string{
	"", `null`, `3`, `"text"`, `[1.0, {"k": null}]`, `{}`,
	`{"n": 1.50, "o": {"a": [null, "\u00e9"]}, "x-pgmq-group": "g", "<&>": true, "mq-reason": "because"}`, `{"x-pgmq-group": 7, "copied-from": ["before"]}`,
}

// fillOddly adds each body with each headers.
func (s *shop) fillOddly(queue string) {
	s.Helper()
	for _, body := range oddBodies {
		for _, headers := range oddHeaders {
			s.exec("INSERT INTO pgmq.q_"+queue+" (vt, message, headers) VALUES (now(), nullif($1, '')::jsonb, nullif($2, '')::jsonb)", body, headers)
		}
	}
}

// stored returns what a query shows of a queue's rows, in their order.
func (s *shop) stored(queue, columns string) (texts []string) {
	s.Helper()
	rows, err := s.db.QueryContext(s.Context(), "SELECT coalesce(message::text, 'NULL') || ' with ' || coalesce(("+columns+")::text, 'NULL') FROM pgmq.q_"+queue+" ORDER BY msg_id")
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			s.Fatal(err)
		}
		texts = append(texts, text)
	}
	if err := rows.Err(); err != nil {
		s.Fatal(err)
	}
	return texts
}

func (s *shop) requireStored(queue string, want []string) {
	s.Helper()
	got := s.stored(queue, "headers")
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			s.Errorf("stored is\n%s\nwant\n%s", got[i], want[i])
		}
	}
	if len(got) != len(want) || len(want) == 0 {
		s.Errorf("%d rows are stored, not %d", len(got), len(want))
	}
}

// TestCopyRows: between two PGMQ databases everything that another program has
// written is kept as PostgreSQL prints it.
func TestCopyRows(t *testing.T) {
	const withOrigin = `CASE WHEN headers IS NULL OR jsonb_typeof(headers) = 'object'
		THEN coalesce(headers, '{}') || jsonb_build_object('copied-from', 'pgmq/w/' || msg_id) ELSE headers END`
	for _, tt := range []struct {
		name, headers string
		args          []string
	}{
		{"as it is", "headers", []string{"-without-origin"}},
		{"with its origin", withOrigin, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			from, to := newShop(t), newShop(t)
			from.must("create", "w")
			from.fillOddly("w")
			want := from.stored("w", tt.headers)
			from.mustCopy(to, tt.args...)
			to.requireStored("w", want)
			if n := from.count("SELECT count(*) FROM pgmq.q_w"); n > 0 {
				t.Errorf("%d rows are left in the source", n)
			}
			if n := to.count("SELECT count(*) FROM pgmq.q_w WHERE read_ct > 0 OR vt > now() OR enqueued_at < now() - interval '1 hour'"); n > 0 {
				t.Errorf("%d rows are not new", n)
			}
		})
	}
}

// mustCopy copies queue w, and has nothing to say on the way.
func (s *shop) mustCopy(to *shop, args ...string) {
	s.Helper()
	s.must(append([]string{"copy", s.dsn, to.dsn, "-queue", "w", "-idle", "100ms", "-visibility", "1h"}, args...)...)
}

// TestCopyRowsKilled: started again, a copy that was killed loses nothing.
func TestCopyRowsKilled(t *testing.T) {
	t.Parallel()
	const n, batch = 100, 10
	from, to := newShop(t), newShop(t)
	from.must("create", "orders")
	from.exec(`INSERT INTO pgmq.q_orders (vt, message, headers) SELECT now(), jsonb_build_object('n', n, 'f', 1.50), '[null, 2.0]' FROM generate_series(1, 100) AS n`)
	want := from.stored("orders", "headers")
	copying := []string{"copy", from.dsn, to.dsn, "-queue", "orders", "-batch", fmt.Sprint(batch), "-visibility", "1h", "-idle", "200ms", "-without-origin"}
	from.killHalfWay(n/2, copying...)
	from.exec("UPDATE pgmq.q_orders SET vt = now() + interval '1 second' WHERE vt > now()") // as if the hour were over soon
	if r := from.run(copying...); r.code != ok {                                            // it may say that it waits
		t.Fatalf("exit code %d\n%s", r.code, r.stderr)
	}
	got := to.stored("orders", "headers")
	if len(got) != n+batch {
		t.Errorf("%d rows have arrived, not %d and %d doubles", len(got), n, batch)
	}
	slices.Sort(got)
	slices.Sort(want)
	if got = slices.Compact(got); !slices.Equal(got, want) {
		t.Errorf("%d different rows have arrived, not %d", len(got), len(want))
	}
	if left := from.count("SELECT count(*) FROM pgmq.q_orders"); left > 0 {
		t.Errorf("%d rows are left in the source", left)
	}
}

// TestCopyRowsDelayed: -delayed waits for delayed messages; without it they stay.
func TestCopyRowsDelayed(t *testing.T) {
	t.Parallel()
	from, to := newShop(t), newShop(t)
	from.must("create", "w")
	from.exec(`INSERT INTO pgmq.q_w (vt, message, headers) VALUES (now() + interval '1 hour', '1.0', '[]')`)
	if r := from.run("copy", from.dsn, to.dsn, "-queue", "w", "-idle", "100ms"); r.code != ok || r.stderr != "mq: w: left in the source: 1 delayed (-delayed waits for them)\n" {
		t.Errorf("exit code %d\n%s", r.code, r.stderr)
	}
	from.exec("UPDATE pgmq.q_w SET vt = now() + interval '2 seconds'")
	r := from.run("copy", from.dsn, to.dsn, "-queue", "w", "-idle", "100ms", "-delayed", "-without-origin")
	if r.code != ok { // it may say that it waits
		t.Fatalf("exit code %d\n%s", r.code, r.stderr)
	}
	to.requireStored("w", []string{"1.0 with []"})
}

// TestCopyRowsElsewhere: another provider gets what a receiver would.
func TestCopyRowsElsewhere(t *testing.T) {
	t.Parallel()
	from, to := newShop(t), newDepot(t)
	from.must("create", "w")
	from.exec(`INSERT INTO pgmq.q_w (vt, message, headers) VALUES (now(), '1.50', '{"n": 3.0, "o": {"a": null}}')`)
	from.must("copy", from.dsn, to.dsn, "-queue", "w", "-idle", "100ms", "-visibility", "1h", "-without-origin")
	type message struct {
		Body    any
		Headers map[string]string
	}
	got := lines[message](to.tool, to.must("receive", "w", "-ack", "-o", "json"))
	if want := "[{1.5 map[n:3.0 o:{\"a\": null}]}]"; fmt.Sprint(got) != want {
		t.Errorf("received: %v, want %s", got, want)
	}
}

// TestCopyRowsCircle: a database that is given by two names is recognised, also if
// no row has room for the header of copies.
func TestCopyRowsCircle(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.must("create", "w")
	s.exec(`INSERT INTO pgmq.q_w (vt, message, headers) SELECT now(), '"tick"', (ARRAY['null', '[1]', '"text"']::jsonb[])[n % 3 + 1] FROM generate_series(1, 50) AS n`)
	u, err := url.Parse(s.dsn)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set("application_name", "another-name")
	u.RawQuery = query.Encode()
	r := s.run("copy", s.dsn, u.String(), "-queue", "w", "-idle", "100ms", "-batch", "10")
	s.fails(r, usage, "the target is the source by another name")
	if n := s.count("SELECT count(*) FROM pgmq.q_w"); n != 50 {
		t.Errorf("%d rows are there, not 50", n)
	}
}

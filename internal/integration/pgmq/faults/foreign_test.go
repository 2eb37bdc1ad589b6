package faults

import (
	"testing"
	"time"

	"github.com/portmq/mq"
)

// rows are what other programs may write: columns and values of one row.
var rows = []struct{ name, columns, values string }{
	{"plain", "message", `'{}'`},
	{"NULL message", "message", "NULL"},
	{"JSON null", "message", `'null'`},
	{"our envelope, broken", "message", `'{"mq:base64":"***"}'`},
	{"headers null", "headers", `'null'`},
	{"headers an array", "headers", `'[1,"a",{}]'`},
	{"headers a number", "headers", "'7'"},
	{"headers a string", "headers", `'"x"'`},
	{"headers of all kinds", "headers", `'{"":"e","n":1e400,"o":{"a":[1]},"b":true,"z":null,"mq-reason":[1],"mq-origin":{}}'`},
	{"group a number", "headers", `'{"x-pgmq-group":7}'`},
	{"group an object", "headers", `'{"x-pgmq-group":{"a":1}}'`},
	{"group null", "headers", `'{"x-pgmq-group":null}'`},
	{"group empty", "headers", `'{"x-pgmq-group":""}'`},
	{"vt -infinity", "vt", "'-infinity'"},
	{"vt long ago", "vt", "'4713-01-01 BC'"},
	{"sent at infinity", "enqueued_at", "'infinity'"},
	{"sent at -infinity", "enqueued_at", "'-infinity'"},
	{"sent at the zero time of Go", "enqueued_at", "'0001-01-01 00:00:00Z'"},
	{"sent in BC", "enqueued_at", "'4713-01-01 00:00:00.000001Z BC'"},
	{"sent at the end of time", "enqueued_at", "'9999-12-31 23:59:59.999999Z'"},
	{"read at infinity", "last_read_at", "'infinity'"},
	{"read a negative number of times", "read_ct", "-5"},
	{"read as often as can be", "read_ct", "2147483647"},
	{"id negative", "msg_id", "-5"},
	{"id zero", "msg_id", "0"},
	{"id above 2^53", "msg_id", "9007199254740993"},
	{"id near the end", "msg_id", "9223372036854775806"},
}

// TestForeignRows settles what other programs wrote in every way.
func TestForeignRows(t *testing.T) {
	b := newBase(t)
	eachLibrary(t, func(t *testing.T, library string) {
		c := b.of(t).client("driver=" + library)
		b.of(t).queue(c, "target")
		q := b.of(t).queue(c, library)
		for _, row := range rows {
			t.Run(row.name, func(t *testing.T) {
				for _, fate := range fates {
					t.Run(fate.name, func(t *testing.T) {
						b := b.of(t)
						b.exec("DELETE FROM pgmq.q_" + q.Name())
						b.insert(q, row.columns, row.values)
						fate.run(b, q)
						if n := value[int](b, "SELECT count(*) FROM pgmq.q_"+q.Name()); n != 0 {
							t.Errorf("%d messages are left", n)
						}
					})
				}
			})
		}
	})
}

// insert inserts a row as another program does.
func (b *base) insert(q *mq.Queue, columns, values string) {
	b.Helper()
	if columns != "vt" {
		columns, values = columns+", vt", values+", now()"
	}
	b.exec("INSERT INTO pgmq.q_" + q.Name() + " (" + columns + ") OVERRIDING SYSTEM VALUE VALUES (" + values + ")")
}

// fates are the ways in which a message leaves its queue.
var fates = []struct {
	name string
	run  func(b *base, q *mq.Queue)
}{
	{"ack", func(b *base, q *mq.Queue) { b.ok(b.seen(q).Ack(b.Context())) }},
	{"nack, extend, ack", func(b *base, q *mq.Queue) {
		b.ok(b.one(q).Nack(b.Context(), 0))
		d := b.one(q)
		b.ok(d.Extend(b.Context(), time.Minute))
		b.ok(d.Ack(b.Context()))
	}},
	{"archive, redrive, pop", func(b *base, q *mq.Queue) {
		b.ok(b.one(q).Archive(b.Context(), "why"))
		rs, err := q.Archived(b.Context(), mq.BrowseOptions{})
		if b.ok(err); len(rs) != 1 || rs[0].Reason() != "why" {
			b.Fatalf("the archive has %v", rs)
		}
		n, err := q.Redrive(b.Context(), mq.RedriveOptions{})
		if b.ok(err); n != 1 {
			b.Fatalf("%d redriven", n)
		}
		b.pop(q)
	}},
	{"archive, purge the archive", func(b *base, q *mq.Queue) {
		b.ok(b.one(q).Archive(b.Context(), ""))
		n, err := q.PurgeArchive(b.Context(), mq.AnyAge)
		if b.ok(err); n != 1 {
			b.Errorf("%d purged", n)
		}
	}},
	{"move", func(b *base, q *mq.Queue) { b.ok(b.one(q).Move(b.Context(), "target", "why")) }},
	{"pop", func(b *base, q *mq.Queue) { b.pop(q) }},
	{"purge", func(b *base, q *mq.Queue) {
		n, err := q.Purge(b.Context())
		if b.ok(err); n != 1 {
			b.Errorf("%d purged", n)
		}
	}},
	{"group", func(b *base, q *mq.Queue) {
		ds, err := q.ReceiveHeads(b.Context(), mq.ByGroup(), mq.ReceiveOptions{})
		if b.ok(err); len(ds) != 1 {
			b.Fatalf("%d group heads", len(ds))
		}
		b.ok(ds[0].Ack(b.Context()))
	}},
	{"group by path, transaction", func(b *base, q *mq.Queue) {
		ds, err := q.ReceiveHeads(b.Context(), &mq.GroupBy{Path: []string{"a"}}, mq.ReceiveOptions{})
		if b.ok(err); len(ds) != 1 {
			b.Fatalf("%d group heads", len(ds))
		}
		tx, err := b.db.Begin()
		b.ok(err)
		b.ok(ds[0].AckTx(b.Context(), tx))
		b.ok(tx.Commit())
	}},
}

func (b *base) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *base) pop(q *mq.Queue) {
	b.Helper()
	ds, err := q.Pop(b.Context(), 1)
	if b.ok(err); len(ds) != 1 {
		b.Fatalf("popped %d messages", len(ds))
	}
}

// seen looks at the only message and receives it.
func (b *base) seen(q *mq.Queue) *mq.Delivery {
	b.Helper()
	rs, err := q.Peek(b.Context(), mq.BrowseOptions{})
	if b.ok(err); len(rs) != 1 {
		b.Fatalf("peeked %d messages", len(rs))
	}
	s, err := q.Stats(b.Context())
	if b.ok(err); s.Total != 1 || s.Visible != 1 || s.OldestAge < -1 {
		b.Errorf("stats are %+v", s)
	}
	d := b.one(q)
	if d.ID != rs[0].ID || string(d.Body) != string(rs[0].Body) || d.Group != rs[0].Group {
		b.Errorf("received %v, peeked %v", d, rs[0])
	}
	return d
}

package faults

import (
	"testing"

	"github.com/portmq/mq"
)

// odd are headers that no object holds, and bodies, as other programs write them.
var odd = []struct{ message, headers string }{
	{"NULL", `'{"n":3,"big":9007199254740993,"z":null,"l":[1,{"a":2}],"b":true,"x-pgmq-group":7}'`},
	{"'null'", "'{}'"},
	{`'"text"'`, "'[1, 2]'"},
	{`'{"a":1.10,"b":1e3}'`, `'"s"'`},
	{"'1'", "'null'"},
	{"NULL", "'7'"},
	{`'{"mq:text":"x"}'`, "'true'"},
}

// TestOddSurvive: whatever another program wrote into body and headers is the
// same after an archive, with a reason or without, a redrive and a move, except
// for what mq adds to an object.
func TestOddSurvive(t *testing.T) {
	b := newBase(t)
	c := b.client()
	q := b.queue(c, "jobs")
	b.queue(c, "other")
	const ours = "headers - 'mq-origin' - 'mq-reason'"
	content := func(table string) string {
		return value[string](b, "SELECT coalesce(message::text, 'NULL') || ' ' || CASE jsonb_typeof(headers) WHEN 'object' THEN ("+ours+")::text ELSE headers::text END FROM pgmq."+table)
	}
	for _, o := range odd {
		b.exec("DELETE FROM pgmq.q_other")
		b.exec("INSERT INTO pgmq.q_jobs (vt, message, headers) VALUES (now(), " + o.message + ", " + o.headers + ")")
		was := content("q_jobs")
		same := func(what, table string) {
			t.Helper()
			if is := content(table); is != was {
				t.Errorf("after %s it is %s, was %s", what, is, was)
			}
		}
		b.ok(b.one(q).Archive(t.Context(), ""))
		same("an archive", "a_jobs")
		for _, reason := range []string{"", "why"} {
			if reason != "" {
				b.ok(b.one(q).Archive(t.Context(), reason))
			}
			_, err := q.Redrive(t.Context(), mq.RedriveOptions{})
			b.ok(err)
			same("a redrive, archived for "+reason, "q_jobs")
		}
		b.ok(b.one(q).Move(t.Context(), "other", "why"))
		same("a move", "q_other")
	}
}

package suite_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
)

// noted is the headers column of the only message.
const noted = "SELECT headers FROM pgmq.q_jobs"

// TestNackedHeaders: what a nack makes of headers that others have written.
func TestNackedHeaders(t *testing.T) {
	tests := []struct {
		stored    string // "" is NULL
		s         mq.Settlement
		want      string
		attempt   int
		rowBehind string // what Rows returns then, "" for NULL
	}{
		{"", mq.Settlement{}, `{"mq-answered": 1}`, 2, ""},
		{"", mq.Settlement{Uncounted: true}, `{"mq-answered": 1, "mq-uncounted": 1}`, 1, ""},
		{"", mq.Settlement{Reason: `a "quoted" \ text`}, `{"mq-error": "a \"quoted\" \\ text", "mq-answered": 1}`, 2, ""},
		{"null", mq.Settlement{Uncounted: true}, "null", 2, "null"},
		{"[1.0, null]", mq.Settlement{Uncounted: true, Reason: "EOF"}, "[1.0, null]", 2, "[1.0, null]"},
		{`"text"`, mq.Settlement{Uncounted: true}, `"text"`, 2, `"text"`},
		{`{"a": 1.0, "z": null}`, mq.Settlement{}, `{"a": 1.0, "z": null, "mq-answered": 1}`, 2, `{"a": 1.0, "z": null}`},
		{`{"a": {"z": null}}`, mq.Settlement{Uncounted: true}, `{"a": {"z": null}, "mq-answered": 1, "mq-uncounted": 1}`, 1, `{"a": {"z": null}}`},
		{`{"mq-uncounted": 1e100000}`, mq.Settlement{Uncounted: true}, `{"mq-answered": 1, "mq-uncounted": 1}`, 1, ""},
		{`{"mq-uncounted": -3}`, mq.Settlement{Uncounted: true}, `{"mq-answered": 1, "mq-uncounted": 1}`, 1, ""},
		{`{"mq-uncounted": 1.5}`, mq.Settlement{Uncounted: true}, `{"mq-answered": 1, "mq-uncounted": 1}`, 1, ""},
		{`{"mq-uncounted": "7"}`, mq.Settlement{Uncounted: true}, `{"mq-answered": 1, "mq-uncounted": 1}`, 1, ""},
		{`{"mq-uncounted": {"a": 7}}`, mq.Settlement{}, `{"mq-answered": 1, "mq-uncounted": {"a": 7}}`, 2, ""},
		{`{"mq-uncounted": 9999999999}`, mq.Settlement{Uncounted: true}, `{"mq-answered": 1, "mq-uncounted": 1}`, 1, ""},
		{`{"mq-answered": "1"}`, mq.Settlement{}, `{"mq-answered": 1}`, 2, ""},
		{`{"mq-answered": [], "a": ""}`, mq.Settlement{}, `{"a": "", "mq-answered": 1}`, 2, `{"a": ""}`},
	}
	for i, tt := range tests {
		for _, params := range []string{"driver=pgx", "driver=pq"} {
			t.Run(fmt.Sprint(i, "/", params), func(t *testing.T) {
				r := newRig(t, nil, params)
				var stored any
				if tt.stored != "" {
					stored = tt.stored
				}
				id := r.ask("INSERT INTO pgmq.q_jobs (vt, message, headers) VALUES (now(), '1', $1::jsonb) RETURNING msg_id", stored)
				tt.s.Receipt, tt.s.Op = r.take("1", 1).Receipt, mq.OpNack
				ok(t, r.Settle(t.Context(), tt.s))
				r.wants(tt.want, noted)
				rows := must(r.Client().Provider().(*pgmq.Provider).Rows(t.Context(), "jobs", id))(t)
				if len(rows) != 1 || string(rows[0].Headers) != tt.rowBehind {
					t.Errorf("Rows returned %q, want headers %q", rows, tt.rowBehind)
				}
				d := r.take("1", 2)
				if d.Attempt != tt.attempt || d.Unanswered > 1 {
					t.Errorf("attempt %d with %d unanswered, want attempt %d", d.Attempt, d.Unanswered, tt.attempt)
				}
				for _, own := range []string{"mq-answered", "mq-uncounted"} {
					if _, has := d.Headers[own]; has {
						t.Errorf("the receiver sees %v", d.Headers)
					}
				}
				ok(t, d.Ack(t.Context()))
			})
		}
	}
}

// TestNackAgain: a nack whose answer was lost is repeated, and its receipt still
// acts. The lease is left out once, and its reason is the last one.
func TestNackAgain(t *testing.T) {
	r := newRig(t, nil, "")
	r.send("1")
	ok(t, r.take("1", 1).Nack(t.Context(), 0))
	s := mq.Settlement{Receipt: r.take("1", 2).Receipt, Op: mq.OpNack, Uncounted: true}
	for _, s.Reason = range []string{"EOF", "timeout"} {
		ok(t, r.Settle(t.Context(), s))
		r.wants(`{"mq-error": "`+s.Reason+`", "mq-answered": 2, "mq-uncounted": 1}`, noted)
	}
	if d := r.take("1", 3); d.Attempt != 2 || d.Unanswered != 0 {
		t.Errorf("attempt %d with %d unanswered", d.Attempt, d.Unanswered)
	}
}

// TestNotesLeaveWithRedrive: an archive keeps what nacks have noted, a redrive and
// a move leave it out.
func TestNotesLeaveWithRedrive(t *testing.T) {
	r := newRig(t, nil, "")
	r.send("1")
	d := r.take("1", 1)
	ok(t, r.Settle(t.Context(), mq.Settlement{Receipt: d.Receipt, Op: mq.OpNack, Uncounted: true, Reason: "EOF"}))
	ok(t, r.take("1", 2).Archive(t.Context(), "too often"))
	r.wants(`{"mq-error": "EOF", "mq-reason": "too often", "mq-answered": 1, "mq-uncounted": 1}`, "SELECT headers FROM pgmq.a_jobs")
	must(r.Redrive(t.Context(), mq.RedriveOptions{}))(t)
	r.wants(`{"mq-origin": "jobs/1"}`, noted)
	d = r.take("1", 1)
	ok(t, r.Settle(t.Context(), mq.Settlement{Receipt: d.Receipt, Op: mq.OpNack, Uncounted: true, Delay: time.Microsecond, Reason: "EOF"}))
	ok(t, r.take("1", 2).Move(t.Context(), "jobs", ""))
	r.wants(`{"mq-origin": "jobs/2"}`, noted)
}

package pgmq

import (
	"slices"
	"strings"
	"testing"

	"github.com/portmq/mq/driver"
)

// PGMQ as the statement "has pgmq" shows it: create, notify, drop, meta.
var (
	pgmqThere   = values{true, true, true, true, true, true}
	pgmqMissing = values{false, false, false, false, false, false}
)

// TestListQueues: a table with upper case is not one that PGMQ would find, and
// no queues are an empty slice.
func TestListQueues(t *testing.T) {
	for _, tt := range []struct {
		rows []values
		want []string
	}{
		{[]values{{"a"}, {"Mixed"}, {"b c"}, {"ключ"}}, []string{"a", "b c", "ключ"}},
		{nil, []string{}},
	} {
		p := (&fake{answer: only(sqlList, tt.rows...)}).open(t)
		if names, err := p.ListQueues(t.Context()); err != nil || names == nil || !slices.Equal(names, tt.want) {
			t.Errorf("queues are %#v, want %q: %v", names, tt.want, err)
		}
	}
}

// TestDropQueue: what is dropped through PGMQ, and what is left for us.
func TestDropQueue(t *testing.T) {
	n := layout113.names("jobs")
	tables := []string{statement("drop queue", n), statement("drop archive", n)}
	mayResume := statement("may resume", nil)
	spellings, upstream, rows := statement("spellings", nil), statement("pgmq drop", nil), statement("drop meta rows", nil)
	for _, tt := range []struct {
		name string
		has  values
		want []string
	}{
		{"nothing of PGMQ", pgmqMissing, tables},
		{"made by us", values{false, false, false, true, false, false}, append(slices.Clone(tables), rows)},
		{"functions without meta", values{true, true, true, false, true, false}, tables},
		{"PGMQ", pgmqThere, slices.Concat([]string{spellings, upstream, upstream}, tables, []string{rows})},
	} {
		r := newRig(t, call{answers: answers{statement("has pgmq", nil): {tt.has}, spellings: {{"Jobs"}, {"jobs"}}}})
		r.known("jobs")
		if err := r.DropQueue(t.Context(), "jobs"); err != nil {
			t.Fatal(err)
		}
		if _, known := r.queues.Load("jobs"); known {
			t.Error("the queue is not looked up again")
		}
		texts := r.texts() // first BEGIN, a timeout, what there is, a lock and what is in the way; at last a notification and COMMIT
		if got := texts[5 : len(texts)-2]; !slices.Equal(got, append(tt.want, mayResume)) {
			t.Errorf("%s: it runs %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestDDLErrors: who collides with another program that makes the same thing
// finds it made when trying again.
func TestDDLErrors(t *testing.T) {
	for code, want := range map[string]error{
		"23505": driver.ErrBadConn, "42P07": driver.ErrBadConn, "42710": driver.ErrBadConn, "42P06": driver.ErrBadConn, "XX000": driver.ErrBadConn,
		"40P01": driver.ErrBadConn, "57P01": driver.ErrBadConn, "42501": nil, "42601": nil, "57014": driver.ErrUnavailable,
	} {
		checkIs(t, code, ddlError(pgxError(code, "ERROR", "")), want)
		checkIs(t, code, ddlError(pqError(code, "ERROR", "")), want)
	}
	checkIs(t, "a lost connection", ddlError(errLost), driver.ErrBadConn)
	if ddlError(nil) != nil {
		t.Error("nil is mapped to an error")
	}
}

// TestDropQueueLocked: what was tried often enough is not tried again by others.
func TestDropQueueLocked(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		r.known("jobs")
		for range lockTries {
			r.add(statement("drop queue", layout113.names("jobs")), queued{err: pgxError("55P03", "ERROR", "")})
		}
		err := r.DropQueue(r.ctx, "jobs")
		checkIs(t, "locked", err, nil)
		if !strings.Contains(err.Error(), "the tables are locked by another session") || !strings.Contains(r.log.take(), "waiting for a lock") {
			t.Errorf("error is %v", err)
		}
	})
}

package main

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "mem")
		if got := d.must("schedule", "ls"); got != "NAME  SPEC  ZONE  QUEUE  NEXT  CATCH-UP  BODY\n" {
			t.Errorf("without schedules: %s", got)
		}
		for range 2 {
			d.must("schedule", "set", "report", "0 6 * * *", "w", `{"a": 1}`, "-zone", "Europe/Berlin", "-H", "k=v", "-group", "g")
		}
		d.must("schedule", "set", "sweep", "@every 90s", "w", "go\x1b", "-catch-up", "none")
		want := `NAME    SPEC        ZONE           QUEUE  NEXT                  CATCH-UP  BODY
report  0 6 * * *   Europe/Berlin  w      2000-01-01T05:00:00Z  one       {"a": 1}
sweep   @every 90s  UTC            w      2000-01-01T00:01:30Z  none      go\u001b
`
		if got := d.must("schedule", "ls", "-o", "wide"); got != want {
			t.Errorf("ls prints\n%s", got)
		}
		if got := d.must("schedule", "ls"); !strings.Contains(got, " in 5h ") {
			t.Errorf("ls prints\n%s", got)
		}
		want = `{"name":"report","spec":"0 6 * * *","zone":"Europe/Berlin","queue":"w","catch_up":"one","set":"2000-01-01T00:00:00Z",` +
			`"next":"2000-01-01T05:00:00Z","group":"g","headers":{"k":"v"},"body":{"a":1}}` + "\n" +
			`{"name":"sweep","spec":"@every 90s","zone":"UTC","queue":"w","catch_up":"none","set":"2000-01-01T00:00:00Z",` +
			`"next":"2000-01-01T00:01:30Z","body_base64":"Z28b"}` + "\n"
		if got := d.must("schedule", "ls", "-o", "json"); got != want {
			t.Errorf("ls prints\n%s", got)
		}
		d.prints("ID\n1\n", "schedule", "run", "report")
		d.prints(`{"id":"2"}`+"\n", "schedule", "run", "sweep", "-o", "json")
		d.must("schedule", "rm", "sweep")
		if got := d.must("schedule", "ls"); strings.Contains(got, "sweep") {
			t.Errorf("removed: %s", got)
		}
		if got := d.must("schedule", "ls", "-control", "other"); strings.Contains(got, "report") {
			t.Errorf("of another control queue: %s", got)
		}
	})
}

func TestScheduleServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "mem")
		d.must("schedule", "set", "s", "@every 90s", "w", "tick")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 5*time.Minute, errInterrupted)
		defer cancel()
		if code, stdout, stderr := d.runIn(ctx, "schedule", "serve"); code != exitOK || stdout != "" || stderr != "" {
			t.Errorf("exit code %d, %s and %s", code, stdout, stderr)
		}
		if got := strings.Join(d.bodies(), " "); got != "tick tick tick" {
			t.Errorf("sent %s", got)
		}
	})
}

func TestScheduleMisuse(t *testing.T) {
	d := newDesk(t, "mem")
	d.fails(exitUsage, "5 fields", "schedule", "set", "s", "* *", "w", "x")
	d.fails(exitUsage, "a name has", "schedule", "set", "a b", "@daily", "w", "x")
	d.fails(exitUsage, "IANA", "schedule", "set", "s", "@daily", "w", "x", "-zone", "Nowhere")
	d.fails(exitUsage, "unknown -catch-up", "schedule", "set", "s", "@daily", "w", "x", "-catch-up", "two")
	d.fails(exitUsage, "name=value", "schedule", "set", "s", "@daily", "w", "x", "-H", "k")
	d.fails(exitFailure, "missing", "schedule", "set", "s", "@daily", "missing", "x")
	d.fails(exitFailure, "no such schedule", "schedule", "rm", "s")
	d.fails(exitFailure, "no such schedule", "schedule", "run", "s")
	d.fails(exitUsage, "wrong arguments", "schedule", "set", "s", "@daily")
	newDesk(t, "rabbitstub").fails(exitFailure, "use mem, sqlite or pgmq", "schedule", "serve")
}

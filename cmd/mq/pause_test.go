package main

import (
	"strings"
	"testing"
)

func TestPause(t *testing.T) {
	d := newDesk(t, "mem")
	d.must("create", "a")
	d.prints("PAUSED\nw\n", "pause", "W", "-by", "the bank is down")
	d.prints("QUEUE  PAUSED\na  -\nw  for AGE by the bank is down\n", "ls")
	d.prints(`{"queue":"w"}`+"\n", "pause", "w", "-o", "json") // changes nothing
	d.prints(`{"queue":"a"}
{"queue":"w","paused_by":"the bank is down","paused_since":"TIME"}
`, "ls", "-o", "json")
	if got := d.must("stats", "w"); !strings.Contains(got, "by the bank is down") {
		t.Errorf("stats prints %s", got)
	}
	d.prints("RESUMED\nw\n", "resume", "w")
	d.prints("QUEUE\na\nw\n", "ls")

	d.must("pause", "a")
	if got := d.must("ls"); !strings.Contains(got, "by "+whoami()) || !strings.Contains(whoami(), "@") {
		t.Errorf("ls prints %s", got)
	}
	code, stdout, stderr := d.run("pause", "nope", "w")
	if code != exitFailure || stdout != "PAUSED\nw\n" || !strings.Contains(stderr, "queue not found") {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
}

// TestPauseUnsupported: it is said who cannot, and lists go without.
func TestPauseUnsupported(t *testing.T) {
	d := newDesk(t, "rabbitstub")
	for _, command := range []string{"pause", "resume"} {
		d.fails(exitFailure, "rabbitstub does not store which queues are paused", command, "w")
	}
	if got := d.must("stats", "w"); strings.Contains(got, "PAUSED") {
		t.Errorf("stats prints %s", got)
	}
}

package main

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
)

func TestReceive(t *testing.T) {
	d := newDesk(t, "mem")
	d.send(text(`{"id":1.0}`), text("\x1b[31m"), mq.Message{Body: []byte("3"), Group: "g", Headers: mq.Headers{"h": "<v>"}})
	d.prints(`
ID  READ  SENT  RECEIPT  BODY
1  1  AGE  RECEIPT  {"id":1.0}
2  1  AGE  RECEIPT  \u001b[31m
`, "receive", "w", "-n", "2", "-visibility", "1h")
	d.prints(`{"queue":"w","id":"3","receipt":"RECEIPT","read_count":1,"enqueued_at":"TIME","visible_at":"TIME","group":"g","headers":{"h":"<v>"},"body":3}
`, "receive", "w", "-n", "2", "-visibility", "1h", "-o", "json")
	d.prints("ID  READ  SENT  RECEIPT  BODY\n", "receive", "w")
	d.prints("", "receive", "w", "-o", "json")
}

func TestReceiveAck(t *testing.T) {
	for _, flag := range []string{"-ack", "-pop"} {
		d := newDesk(t, "mem")
		d.send(text("1"), text("2"), text("3"))
		d.prints(`
ID  READ  SENT  RECEIPT  BODY
1  1  AGE  -  1
2  1  AGE  -  2
`, "receive", "w", "-n", "2", flag)
		if got := d.bodies(); !slices.Equal(got, []string{"3"}) {
			t.Errorf("%s leaves %q", flag, got)
		}
		if err := d.client.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReceiveHeads(t *testing.T) {
	d := newDesk(t, "mem")
	for _, body := range []string{`{"g":1,"n":1}`, `{"g":1,"n":2}`, `{"g":2,"n":3}`} {
		d.send(text(body))
	}
	if got := d.must("receive", "w", "-n", "3", "-group-by", "g", "-o", "json"); strings.Count(got, "\n") != 2 || strings.Contains(got, `"n":2`) {
		t.Errorf("received\n%s", got)
	}
}

func TestReceiveWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "mem")
		time.AfterFunc(20*time.Second, func() { d.send(text("late")) })
		if got := d.must("receive", "w", "-wait", "30s"); !strings.Contains(got, "late") {
			t.Errorf("received\n%s", got)
		}
	})
}

// TestReceiveUnshown: what nobody saw is given back.
func TestReceiveUnshown(t *testing.T) {
	for _, more := range [][]string{nil, {"-ack"}} {
		d := newDesk(t, "mem")
		d.send(text("1"), text("2"))
		a, _, stderr := d.app()
		a.stdout = closedPipe{}
		if code := a.run(t.Context(), append([]string{"receive", "w", "-n", "2"}, more...)); code != exitPipe || stderr.Len() > 0 {
			t.Errorf("exit code %d, %s", code, stderr)
		}
		s, err := d.client.Queue("w").Stats(t.Context())
		if err != nil || s.Visible != 2 {
			t.Errorf("%v of %d messages are visible (%v)", more, s.Visible, err)
		}
		if err := d.client.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPopUnshown: what is gone is told, whoever reads.
func TestPopUnshown(t *testing.T) {
	d := newDesk(t, "mem")
	d.send(text("1"), text("2"))
	a, _, stderr := d.app()
	a.stdout = closedPipe{}
	code := a.run(t.Context(), []string{"receive", "w", "-n", "2", "-pop"})
	if code != exitFailure || !strings.HasPrefix(stderr.String(), "mq: 2 messages popped, and lost") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}

type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) { return 0, errors.Join(syscall.EPIPE) }

// TestReceiveNotPortable: receipts that are worth nothing are not offered
// without a word.
func TestReceiveNotPortable(t *testing.T) {
	d := newDesk(t, "rabbitstub")
	if code, _, stderr := d.run("receive", "w"); code != exitOK || stderr != "" {
		t.Errorf("there is nothing to give back: exit code %d, %q", code, stderr)
	}
	d.send(text("1"))
	code, stdout, stderr := d.run("receive", "w", "-o", "json")
	if code != exitOK || !strings.Contains(stdout, `"body":1`) || stderr != "mq: rabbitstub gives messages back when this command ends; -ack deletes them\n" {
		t.Errorf("exit code %d, %s and %s", code, stdout, stderr)
	}
	d.fails(exitFailure, "receipts of rabbitstub work only in the process that received", "ack", "w:1")
	d.must("receive", "w", "-ack")
	d.prints("", "receive", "w", "-ack", "-o", "json")
	d.fails(exitFailure, "not supported", "peek", "w")
}

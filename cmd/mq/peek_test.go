package main

import (
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq"
)

func TestPeekFilters(t *testing.T) {
	d := newDesk(t, "mem")
	d.send(mq.Message{Body: []byte("one"), Group: "g"}, mq.Message{Body: []byte("two"), Headers: mq.Headers{"a": "b=c"}},
		mq.Message{Body: []byte("three"), Delay: time.Hour}, text("three more"))
	for _, tt := range []struct{ args, want, note string }{
		{"-group g", "one", "looked at all 4 messages"},
		{"-header a=b=c", "two", "looked at all 4 messages"},
		{"-state delayed", "three", "looked at all 4 messages"},
		{"-text three", "three,three more", "looked at all 4 messages"},
		{"-text three -newest -n 1", "three more", "looked at 1 message, up to 4 (-after 4 goes on, -scan looks further)"},
		{"-text e -n 2", "one,three", "looked at 3 messages, up to 3 "},
		{"-text more -scan 2", "", "looked at 2 messages, up to 2 (-after 2 goes on"},
		{"-text more -scan 2 -after 2", "three more", "looked at"},
		{"-newest -n 2", "three more,three", ""},
	} {
		code, stdout, stderr := d.run(strings.Fields("peek w -o json " + tt.args)...)
		var got []string
		for line := range strings.Lines(stdout) {
			m, err := newReader(strings.NewReader(line), "records", mq.Message{}, 0).record([]byte(line))
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(m.Body))
		}
		if code != exitOK || strings.Join(got, ",") != tt.want || !strings.Contains(stderr, tt.note) || (tt.note == "") != (stderr == "") {
			t.Errorf("mq peek %s: exit code %d, %q and %q", tt.args, code, got, stderr)
		}
	}
	for args, want := range map[string]string{
		"-state lost": `unknown state "lost" (give -state visible, leased, delayed)`, "-header a": "-header name=value", "-scan 0": "-scan 0 is below 1",
	} {
		d.fails(exitUsage, want, strings.Fields("peek w "+args)...)
	}
	d.fails(exitFailure, "queue not found", "peek", "nope", "-text", "x")
}

func TestArchiveStats(t *testing.T) {
	d := newDesk(t, "mem")
	d.send(text("1"), text("2"), text("3"), text("4"))
	r := d.receipts("4")
	d.must("archive", r[0])
	d.must("archive", "-reason", "card declined", r[1], r[2])
	d.must("archive", "-reason", "bank: 500", r[3])
	d.prints(`
COUNT  FIRST  LAST  REASON
2  AGE  AGE  card declined
1  AGE  AGE  -
1  AGE  AGE  bank: 500
`, "archive", "stats", "w")
	code, stdout, stderr := d.run("archive", "stats", "w", "-scan", "1", "-o", "json")
	if code != exitOK || !strings.Contains(stdout, `{"queue":"w","reason":"bank: 500","count":1,"first":"`) || !strings.Contains(stderr, "looked at the newest 1 message (-scan looks at more)") {
		t.Errorf("exit code %d, %s and %s", code, stdout, stderr)
	}
	if got := d.must("archive", "ls", "w", "-newest", "-n", "1", "-o", "json"); !strings.Contains(got, `"id":"4"`) {
		t.Errorf("the newest is %s", got)
	}
}

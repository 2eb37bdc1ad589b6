package main

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/portmq/mq"
)

// desk is a shared store, and what runs command lines on it.
type desk struct {
	*testing.T
	dsn    string
	client *mq.Client // keeps the store
	stdin  string
	input  io.Reader // instead of stdin, if not nil
	asks   bool      // whether somebody can be asked
	config string    // where the contexts are
}

// newDesk opens the store of the test's own name, with an empty queue "w".
func newDesk(t *testing.T, driver string) *desk {
	t.Helper()
	name := strings.ToLower(regexp.MustCompile(`[^A-Za-z]+`).ReplaceAllString(t.Name(), "-"))
	d := &desk{T: t, dsn: driver + "://" + name}
	c, err := mq.Open(d.dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	d.client = c
	if _, err := c.EnsureQueue(t.Context(), "w", mq.QueueOptions{}); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *desk) app() (a *app, stdout, stderr *bytes.Buffer) {
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	getenv := func(name string) string { return map[string]string{"MQ_DSN": d.dsn}[name] }
	if d.config == "" {
		d.config = filepath.Join(d.TempDir(), "mq") // and not that of who runs the test
	}
	stdin := d.input
	if stdin == nil {
		stdin = strings.NewReader(d.stdin)
	}
	return &app{stdin: stdin, stdout: stdout, stderr: stderr, getenv: getenv, asks: &d.asks, config: d.config}, stdout, stderr
}

// run runs a command line.
func (d *desk) run(args ...string) (code int, stdout, stderr string) {
	d.Helper()
	return d.runIn(d.Context(), args...)
}

func (d *desk) runIn(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	d.Helper()
	a, out, errs := d.app()
	code = a.run(ctx, args)
	if strings.ContainsFunc(out.String(), func(r rune) bool { return r != '\n' && unprintable(r) }) {
		d.Errorf("mq %q prints control characters: %q", args, out)
	}
	return code, out.String(), errs.String()
}

// must runs a command line that works and is silent on the error output.
func (d *desk) must(args ...string) (stdout string) {
	d.Helper()
	code, stdout, stderr := d.run(args...)
	if code != exitOK || stderr != "" {
		d.Fatalf("mq %q: exit code %d\n%s", args, code, stderr)
	}
	return stdout
}

// fails runs a command line that fails with a code and one line, which says all
// of want.
func (d *desk) fails(code int, want string, args ...string) {
	d.Helper()
	got, stdout, stderr := d.run(args...)
	if got != code || strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "mq: ") || !strings.Contains(stderr, want) {
		d.Errorf("mq %q: exit code %d and %q, want %d and a line with %q", args, got, stderr, code, want)
	}
	if strings.Contains(stdout, "QUEUE") {
		d.Errorf("mq %q: shows a table and fails:\n%s", args, stdout)
	}
}

// prints compares the output, in which times and receipts stand as such.
func (d *desk) prints(want string, args ...string) {
	d.Helper()
	got := d.must(args...)
	for _, mask := range []struct{ pattern, by string }{
		{`\d{4}-\d\d-\d\dT[\d:.]+Z`, "TIME"},
		{`w:w-[-0-9a-f]+`, "RECEIPT"},
		{`(_age|lag)_seconds":[-e\d.]+`, `${1}_seconds":0`},
		{` +\n`, "\n"},
		{` \d+m?s\b`, " AGE"},
		{` {2,}`, "  "},
	} {
		got = regexp.MustCompile(mask.pattern).ReplaceAllString(got, mask.by)
	}
	if want = strings.TrimPrefix(want, "\n"); got != want {
		d.Errorf("mq %q prints\n%swant\n%s", args, got, want)
	}
}

// send puts messages into queue w.
func (d *desk) send(msgs ...mq.Message) {
	d.Helper()
	var pointers []*mq.Message
	for i := range msgs {
		pointers = append(pointers, &msgs[i])
	}
	if _, err := d.client.Queue("w").SendAll(d.Context(), pointers); err != nil {
		d.Fatal(err)
	}
}

// bodies are those of queue w, in order.
func (d *desk) bodies() (bodies []string) {
	d.Helper()
	rs, err := d.client.Queue("w").Peek(d.Context(), mq.BrowseOptions{})
	if err != nil {
		d.Fatal(err)
	}
	for _, r := range rs {
		bodies = append(bodies, string(r.Body))
	}
	return bodies
}

func text(body string) mq.Message { return mq.Message{Body: []byte(body)} }

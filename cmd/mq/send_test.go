package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/mqtest"
)

func TestSend(t *testing.T) {
	d := newDesk(t, "mem")
	d.prints("ID\n1\n2\n", "send", "w", `{"id":1}`, "two")
	d.prints("{\"queue\":\"w\",\"id\":\"3\"}\n", "send", "W", "3", "-o", "json")
	if got := d.bodies(); !slices.Equal(got, []string{`{"id":1}`, "two", "3"}) {
		t.Errorf("sent %q", got)
	}
	d.prints("ID\n4\n", "send", "w", "-header", "a=b=c", "-H", "d=", "-group", "g", "-delay", "1h", "--", "-4")
	rs, err := d.client.Queue("w").Peek(t.Context(), mq.BrowseOptions{After: "3"})
	if err != nil {
		t.Fatal(err)
	}
	r := rs[0]
	if string(r.Body) != "-4" || r.Headers["a"] != "b=c" || len(r.Headers) != 2 || r.Group != "g" || time.Until(r.VisibleAt) < time.Minute {
		t.Errorf("sent %+v", r)
	}
}

func TestSendInput(t *testing.T) {
	for _, tt := range []struct {
		format, input string
		want          []string
	}{
		{"ndjson", "{\"n\": 1.0}\r\n\n  2  \n\"x\"", []string{`{"n": 1.0}`, "2", `"x"`}},
		{"ndjson", "\uFEFF1\r\n2\r\n", []string{"1", "2"}},
		{"ndjson", "", nil},
		{"lines", "a b\n\n{\n", []string{"a b", "", "{"}},
		{"raw", "a\nb\r\n\x00", []string{"a\nb\r\n\x00"}},
		{"raw", "", []string{""}},
		{"records", `{"id":"9","body": {"a" : 1.0}}` + "\n\n" + `{"body_base64":"eA=="}` + "\n" + `{"body":null}`, []string{`{"a" : 1.0}`, "x", "null"}},
	} {
		d := newDesk(t, "mem")
		d.stdin = tt.input
		d.prints(fmt.Sprintf("sent %s\n", plural(int64(len(tt.want)), "message")), "send", "w", "-", "-format", tt.format)
		if got := d.bodies(); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q was sent as %q", tt.format, tt.input, got)
		}
		file := filepath.Join(t.TempDir(), "in")
		if err := os.WriteFile(file, []byte(tt.input), 0o600); err != nil {
			t.Fatal(err)
		}
		d.must("send", "w", "-file", file, "-format", tt.format)
		if got := d.bodies(); len(got) != 2*len(tt.want) {
			t.Errorf("%s: %q in a file was sent as %q", tt.format, tt.input, got)
		}
		if err := d.client.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSendMany goes through several batches, in order.
func TestSendMany(t *testing.T) {
	d := newDesk(t, "mem")
	var in strings.Builder
	for i := range 2500 {
		fmt.Fprintln(&in, i)
	}
	d.stdin = in.String()
	d.prints("sent 2500 messages\n", "send", "w", "-")
	if got := d.must("peek", "w", "-n", "3000", "-o", "json"); strings.Count(got, "\n") != 2500 || !strings.Contains(got, "\"body\":2499}") {
		t.Error("not all were sent")
	}
}

// TestSendRecordsSpaces: those around a body are kept.
func TestSendRecordsSpaces(t *testing.T) {
	d := newDesk(t, "mem")
	want := []string{" 1 ", "{} ", " x ", " "}
	for _, body := range want {
		d.send(text(body))
	}
	d.stdin = d.must("peek", "w", "-o", "json")
	d.must("send", "w", "-", "-format", "records")
	if got := d.bodies(); !slices.Equal(got[len(want):], want) {
		t.Errorf("came back as %q", got)
	}
}

func TestSendRecords(t *testing.T) {
	d := newDesk(t, "mem")
	d.send(mq.Message{Body: []byte(`{"a":1.0}`), Headers: mq.Headers{"h": "1"}, Group: "g"}, text("\xff"))
	d.stdin = strings.ReplaceAll(d.must("peek", "w", "-o", "json"), `"headers":{`, `"headers":{"mq-reason":"x",`)
	d.must("create", "v")
	d.must("send", "v", "-", "-format", "records", "-header", "h=2")
	rs, err := d.client.Queue("v").Peek(t.Context(), mq.BrowseOptions{})
	if err != nil || len(rs) != 2 {
		t.Fatal(rs, err)
	}
	if r := rs[0]; string(r.Body) != `{"a":1.0}` || r.Group != "g" || len(r.Headers) != 1 || r.Headers["h"] != "2" {
		t.Errorf("came back as %+v", r)
	}
	if r := rs[1]; string(r.Body) != "\xff" || r.Headers["h"] != "2" {
		t.Errorf("came back as %+v", r)
	}
}

// TestSendMalformed: the line is named, and what was sent before it.
func TestSendMalformed(t *testing.T) {
	for _, tt := range []struct{ format, input, want string }{
		{"ndjson", "1\n\n2\n{\"a\":\n3\n", "line 4: not JSON (-format lines takes any text) (sent 2 messages, up to line 3)"},
		{"ndjson", "x", "line 1: not JSON (-format lines takes any text) (nothing was sent)"},
		{"records", "{\"body\":1}\n{}\n", `line 2: not a record as -o json shows it: it must have one of "body" and "body_base64" (sent 1 message, up to line 1)`},
		{"records", "[]", "line 1: not a record"},
		{"records", `{"body":1,"headers":{"a":1}}`, "line 1: not a record as -o json shows it: headers has a number in it (nothing was sent)"},
		{"records", "{\"body\":1}\n\n{\"body\":2,\"headers\":{\"a\":\"\\u0000\"}}\n{\"body\":3}\n", `line 3: send "w": invalid argument: header "a"`},
		{"records", "{\"body\":1}\n\n{\"body\":2,\"headers\":{\"a\":\"\\u0000\"}}\n{\"body\":3}\n", "(sent 1 message, up to line 1)"},
		{"records", `{"body":1,"body_base64":"eA=="}`, "it must have one of"},
		{"lines", "1\n" + strings.Repeat("x", 34<<20), "line 2: longer than a message may be (sent 1 message, up to line 1)"},
	} {
		d := newDesk(t, "mem")
		d.stdin = tt.input
		d.fails(exitUsage, tt.want, "send", "w", "-", "-format", tt.format)
		if err := d.client.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSendFails: it is said what has been sent, and what may have been.
func TestSendFails(t *testing.T) {
	for _, tt := range []struct {
		err    error
		unsent []int // of the second batch
		want   string
	}{
		{mq.ErrQueueNotFound, nil, "sent 1000 messages, up to line 1000"},
		{mq.ErrUnavailable, nil, "sent 1000 messages, up to line 1000; not known of lines 1001-1500"},
		{mq.ErrTooLarge, []int{3, 4, 10}, "sent 1497 messages, up to line 1500 but for lines 1004-1005, 1011"},
	} {
		p := &failing{Provider: mem.New(), err: tt.err, unsent: tt.unsent}
		c := mq.New(p, mq.Config{})
		defer func() { _ = c.Close() }()
		q, err := c.EnsureQueue(t.Context(), "w", mq.QueueOptions{})
		if err != nil {
			t.Fatal(err)
		}
		d := newDesk(t, "mem")
		a, _, _ := d.app()
		s := &sender{to: toQueue(q), items: make(chan item, 1501), ahead: newBudget(1 << 30), progress: a.newProgress(-1, "", "")}
		s.read(t.Context(), newReader(strings.NewReader(strings.Repeat("1\n", 1500)), "ndjson", mq.Message{}, 0))
		if err := s.run(t.Context()); !hasItem(err, tt.err) || s.summary() != tt.want {
			t.Errorf("%v (%s), want %s", err, s.summary(), tt.want)
		}
		if err := d.client.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// failing fails the second send, or some messages of it.
type failing struct {
	*mem.Provider
	err    error
	unsent []int
	calls  int
}

func (p *failing) Send(ctx context.Context, queue string, msgs []driver.Message) ([]string, error) {
	if p.calls++; p.calls != 2 {
		return p.Provider.Send(ctx, queue, msgs)
	}
	if p.unsent == nil {
		return nil, p.err
	}
	ids, errs := make([]string, len(msgs)), make([]error, len(msgs))
	for i := range ids {
		ids[i] = "sent"
	}
	for _, i := range p.unsent {
		ids[i], errs[i] = "", p.err
	}
	return ids, driver.Batch(errs)
}

// TestSendInterrupted: what was read is sent, and it is said how much that is.
func TestSendInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "mem")
		code, stderr := d.interrupt("1\n2\n\n3\n", "send", "w", "-")
		if want := "mq: interrupted (sent 3 messages, up to line 4)\n"; code != exitInterrupted || stderr != want {
			t.Errorf("exit code %d, stderr is %q, want %q", code, stderr, want)
		}
		if got := d.bodies(); !slices.Equal(got, []string{"1", "2", "3"}) {
			t.Errorf("sent %q", got)
		}
	})
}

func TestLines(t *testing.T) {
	for want, in := range map[string][]int{
		"line 3":          {3},
		"lines 3-5":       {3, 4, 5},
		"lines 1, 3-4, 9": {1, 3, 4, 9},
	} {
		if got := lines(in); got != want {
			t.Errorf("%v is %q", in, got)
		}
	}
}

// TestSendReadsAhead: how much of the input is held does not depend on how
// large messages are, nor on how slow the backend is.
func TestSendReadsAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := mq.New(mqtest.Faulty(mem.New(), mqtest.Fault{Op: "send", Delay: 10 * time.Second}), mq.Config{})
		q, err := c.EnsureQueue(t.Context(), "w", mq.QueueOptions{})
		if err != nil {
			t.Fatal(err)
		}
		const lines, size = 100, 1 << 20
		in := &counted{Reader: strings.NewReader(strings.Repeat(strings.Repeat("x", size-1)+"\n", lines))}
		a := &app{stdout: io.Discard, stderr: io.Discard}
		done := make(chan error, 1)
		go func() { done <- a.sendAll(t.Context(), toQueue(q), newReader(in, "lines", mq.Message{}, 0)) }()
		time.Sleep(5 * time.Second) // the first send is under way
		if n := in.n.Load(); n > 20<<20 {
			t.Errorf("%d MiB of the input are held", n>>20)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if s, err := q.Stats(t.Context()); err != nil || s.Total != lines {
			t.Errorf("%d messages, %v", s.Total, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

// counted counts what was read.
type counted struct {
	io.Reader
	n atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// hasItem reports whether a batch, or an item of it, failed with target.
func hasItem(err, target error) bool {
	if batch := (*mq.BatchError)(nil); errors.As(err, &batch) {
		err = errors.Join(batch.Errs...)
	}
	return errors.Is(err, target)
}

// TestSendFileProgress: the size of a file is known, and what it took is said.
func TestSendFileProgress(t *testing.T) {
	d := newDesk(t, "mem")
	file := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(file, []byte("1\n\n22\r\n333"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := d.must("send", "w", "-file", file); !strings.HasPrefix(got, "sent 3 messages in ") {
		t.Errorf("it prints %q", got)
	}
	if got := d.must("send", "w", "-file", file, "-o", "json"); !strings.Contains(got, `"count":3,"seconds":`) {
		t.Errorf("it prints %q", got)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	a, _, _ := d.app()
	r := newReader(f, "ndjson", mq.Message{}, 0)
	s := &sender{to: toQueue(d.client.Queue("w")), items: make(chan item, 9), ahead: newBudget(1 << 30), inBytes: true, progress: a.newProgress(r.size, "", "bytes")}
	s.read(t.Context(), r)
	if err := s.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.progress.bar.State(); got.CurrentNum != 10 || got.Max != 10 {
		t.Errorf("the bar shows %+v", got)
	}
	for _, in := range []io.Reader{strings.NewReader("1\n"), os.Stdin} {
		if f, ok := in.(*os.File); ok {
			if info, err := f.Stat(); err != nil || info.Mode().IsRegular() {
				continue
			}
		}
		if r := newReader(in, "ndjson", mq.Message{}, 0); r.size != -1 {
			t.Errorf("the size of %T is %d", in, r.size)
		}
	}
}

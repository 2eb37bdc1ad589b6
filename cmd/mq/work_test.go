//go:build unix

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/mqtest"
)

// work runs mq work until every message has been taken, and what was begun has
// ended.
func (d *desk) work(args ...string) (code int, stdout, stderr string) {
	d.Helper()
	ctx, stop := context.WithCancel(d.Context())
	defer stop()
	go func() {
		for ctx.Err() == nil {
			if s, err := d.client.Queue("w").Stats(ctx); err == nil && s.Visible+s.Blocked <= 0 {
				stop() // or what fails would come again
			}
			time.Sleep(time.Millisecond)
		}
	}()
	return d.runIn(ctx, append([]string{"work", "w", "-stop-timeout", "5m"}, args...)...)
}

// TestWorkOutcomes: the exit code decides.
func TestWorkOutcomes(t *testing.T) {
	for _, tt := range []struct {
		exit   string
		stats  mq.Stats
		stderr string
	}{
		{"0", mq.Stats{}, "mq: worked on w: 1 done, 0 retries, 0 dead letters\n"},
		{"75", mq.Stats{Total: 1}, "mq: worked on w: 0 done, 1 retries, 0 dead letters\n"},
		{"3", mq.Stats{Total: 1}, "mq: w/1: sh: exit status 3 (delivery 1)\nmq: worked on w: 0 done, 1 retries, 0 dead letters\n"},
		{"65", mq.Stats{Archived: 1}, "mq: w/1 is a dead letter: sh: exit status 65\nmq: worked on w: 0 done, 0 retries, 1 dead letters\n"},
	} {
		d := newDesk(t, "mem")
		d.send(text(tt.exit))
		code, stdout, stderr := d.work("--", "sh", "-c", "exit $(cat)")
		if code != exitOK || stdout != "" || stderr != tt.stderr {
			t.Errorf("exit %s: exit code %d, %q and %q", tt.exit, code, stdout, stderr)
		}
		if s := d.stats(); s.Archived != tt.stats.Archived || s.Total != tt.stats.Total {
			t.Errorf("exit %s: %+v", tt.exit, s)
		}
		rs, err := d.client.Queue("w").Peek(t.Context(), mq.BrowseOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rs { // its pause of about a second may be over by now
			if pause := r.VisibleAt.Sub(r.EnqueuedAt); pause < 700*time.Millisecond {
				t.Errorf("exit %s: it comes again after %v", tt.exit, pause)
			}
		}
		if err := d.client.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWorkEnvironment(t *testing.T) {
	d := newDesk(t, "mem")
	d.send(mq.Message{Body: []byte("the body"), Group: "g", Headers: mq.Headers{"content-type": "text/plain", "content_type": "other", "é": "1"}})
	script := `echo "$MQ_QUEUE $MQ_ID $MQ_READ_COUNT $MQ_GROUP $MQ_HEADER_CONTENT_TYPE $MQ_HEADER__ $MQ_HEADERS $1 $(cat)"; case $MQ_ENQUEUED_AT in *T*Z);; *) exit 1; esac`
	code, stdout, stderr := d.work("--", "sh", "-c", script, "-", "-dsn")
	want := `w 1 1 g text/plain 1 {"content-type":"text/plain","content_type":"other","é":"1"} -dsn the body` + "\n"
	if code != exitOK || stdout != want {
		t.Errorf("exit code %d, %s and\n%swant\n%s", code, stderr, stdout, want)
	}
}

// TestWorkHideDSN: commands need not know the password.
func TestWorkHideDSN(t *testing.T) {
	t.Setenv("PGPASSWORD", "secret")
	t.Setenv("MQ_DSN", "mem://secret")
	for _, tt := range []struct{ flag, want string }{
		{"-hide-dsn=false", "mem://secret secret 1\n"},
		{"-hide-dsn", "no none 1\n"},
	} {
		d := newDesk(t, "mem")
		d.send(text("1"))
		if code, stdout, stderr := d.work(tt.flag, "--", "sh", "-c", `echo "${MQ_DSN-no} ${PGPASSWORD-none} $MQ_ID"`); code != exitOK || stdout != tt.want {
			t.Errorf("%s: exit code %d, %q and %q", tt.flag, code, stdout, stderr)
		}
		if err := d.client.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHideNamedDSN: nor does the variable that -dsn names reach them.
func TestHideNamedDSN(t *testing.T) {
	t.Setenv("SHOP_DSN", "mem://secret")
	for _, hide := range []bool{true, false} {
		r := &runner{app: &app{dsnFrom: "SHOP_DSN"}, hideDSN: hide}
		if slices.Contains(r.environ(), "SHOP_DSN=mem://secret") == hide {
			t.Errorf("-hide-dsn=%v does not", hide)
		}
	}
}

// TestWorkDeadLetterMissing: a mistyped queue is told at once.
func TestWorkDeadLetterMissing(t *testing.T) {
	for _, driver := range []string{"mem", "rabbitstub"} {
		d := newDesk(t, driver)
		d.send(text("1"))
		d.fails(exitFailure, `-dead-letter "nope": queue not found (mq ls shows the queues, mq create makes one)`,
			"work", "w", "-allow-duplicate-moves", "-dead-letter", "nope", "--", "false")
		if driver == "rabbitstub" {
			d.fails(exitFailure, "-dead-letter without -allow-duplicate-moves", "work", "w", "-dead-letter", "nope", "--", "false")
		}
		if s := d.stats(); s.Visible != 1 {
			t.Errorf("%s: %+v", driver, s)
		}
		if err := d.client.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWorkUnstored: an outcome that is not stored has an exit code of its own.
func TestWorkUnstored(t *testing.T) {
	d := newDesk(t, "mem")
	d.send(text("1"))
	d.suffer(mqtest.Fault{Op: "settle", Err: driver.ErrInvalid})
	code, _, stderr := d.work("--", "true")
	if code != exitTempFail || !strings.HasSuffix(stderr, "1 outcomes not stored: those messages come again\n") || strings.Count(stderr, "worked on w") != 1 {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestWorkConcurrency(t *testing.T) {
	d := newDesk(t, "mem")
	dir := t.TempDir()
	for range 4 {
		d.send(text("1"))
	}
	// Each waits until all of them run.
	script := `touch "$0/$MQ_ID"; while [ "$(ls "$0" | wc -l)" -lt 4 ]; do sleep 0.02; done`
	if code, _, stderr := d.work("-c", "4", "--", "sh", "-c", script, dir); code != exitOK || !strings.Contains(stderr, "4 done") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestWorkMaxAttempts(t *testing.T) {
	d := newDesk(t, "mem")
	d.must("create", "dead")
	d.send(text("1"))
	code, _, stderr := d.work("-max-attempts", "1", "-dead-letter", "dead", "--", "false")
	if code != exitOK || !strings.Contains(stderr, "w/1 is a dead letter: attempt 1 failed") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	if got := d.must("peek", "dead", "-o", "json"); !strings.Contains(got, `"mq-reason":"attempt 1 failed`) {
		t.Errorf("the dead letter is %s", got)
	}
}

// TestWorkTimeout: the whole group of processes gets SIGTERM. On a busy machine
// it may come before there is a handler for it, so that it is tried again with
// more time.
func TestWorkTimeout(t *testing.T) {
	script := `sh -c 'trap "echo stopped >$0; exit" TERM; while :; do sleep 0.02; done' "$0"; exit 1`
	file := filepath.Join(t.TempDir(), "end")
	for timeout := 300 * time.Millisecond; timeout < time.Minute; timeout *= 2 {
		d := newDesk(t, "mem")
		d.send(text("1"))
		code, _, stderr := d.work("-timeout", timeout.String(), "--", "sh", "-c", script, file)
		if code != exitOK || !strings.Contains(stderr, "w/1: stopped: context deadline exceeded\n") || !strings.Contains(stderr, "1 retries") {
			t.Errorf("exit code %d, %s", code, stderr)
		}
		if err := d.client.Close(); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(file); err == nil && string(text) == "stopped\n" {
			return
		}
	}
	t.Error("the child of the child did not get SIGTERM")
}

// TestWorkIdle: a message that is worked on, and one that comes in time, keep it
// going.
func TestWorkIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := mq.New(mem.New(), mq.Config{})
		q, err := c.EnsureQueue(t.Context(), "w", mq.QueueOptions{})
		if err != nil {
			t.Fatal(err)
		}
		send := func() { _, _ = q.Send(t.Context(), &mq.Message{}) }
		consumer := newConsumer(t, q, mq.HandlerFunc(func(context.Context, *mq.Delivery) error {
			time.Sleep(time.Minute)
			return nil
		}), mq.ConsumerConfig{})
		begin := time.Now()
		time.AfterFunc(8*time.Second, send)
		time.AfterFunc(8*time.Second+time.Minute+8*time.Second, send)
		ctx, stop := context.WithCancel(t.Context())
		go (&idler{consumer: consumer, queue: q, idle: 10 * time.Second}).run(ctx, stop)
		if err := consumer.Run(ctx); err != nil || consumer.Stats().Acked != 2 {
			t.Errorf("%+v, %v", consumer.Stats(), err)
		}
		if took := time.Since(begin); took < 145*time.Second || took > 149*time.Second {
			t.Errorf("it ends after %v", took)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestWorkAway: a backend that is away is not a queue that is empty.
func TestWorkAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := mem.New()
		begin := time.Now()
		down := func(int) bool { s := time.Since(begin); return s > time.Second && s < time.Minute }
		c := mq.New(mqtest.Faulty(p, mqtest.Fault{Op: "receive", When: down, Err: driver.ErrUnavailable},
			mqtest.Fault{Op: "ping", When: down, Err: driver.ErrUnavailable}), mq.Config{})
		q, err := c.EnsureQueue(t.Context(), "w", mq.QueueOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var worked atomic.Int64
		consumer := newConsumer(t, q, mq.HandlerFunc(func(context.Context, *mq.Delivery) error { worked.Add(1); return nil }), mq.ConsumerConfig{})
		ctx, cancel := context.WithCancel(t.Context())
		go (&idler{consumer: consumer, queue: q, idle: 10 * time.Second}).run(ctx, cancel)
		time.AfterFunc(30*time.Second, func() { _, _ = q.Send(t.Context(), &mq.Message{}) })
		if err := consumer.Run(ctx); err != nil || worked.Load() != 1 {
			t.Errorf("after %v: worked on %d messages, %v", time.Since(begin), worked.Load(), err)
		}
		if took := time.Since(begin); took > 3*time.Minute {
			t.Errorf("it took %v", took)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestWorkIdleFirstReceive: a receive that takes longer than -idle is no proof
// that there is nothing to do.
func TestWorkIdleFirstReceive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := func(n int) bool { return n == 1 }
		c := mq.New(mqtest.Faulty(mem.New(), mqtest.Fault{Op: "receive", When: first, Delay: 25 * time.Second}), mq.Config{})
		q, err := c.EnsureQueue(t.Context(), "w", mq.QueueOptions{})
		if err == nil {
			_, err = q.Send(t.Context(), &mq.Message{})
		}
		if err != nil {
			t.Fatal(err)
		}
		consumer := newConsumer(t, q, mq.HandlerFunc(func(context.Context, *mq.Delivery) error { return nil }), mq.ConsumerConfig{})
		ctx, cancel := context.WithCancel(t.Context())
		go (&idler{consumer: consumer, queue: q, idle: 2 * time.Second}).run(ctx, cancel)
		if err := consumer.Run(ctx); err != nil || consumer.Stats().Acked != 1 {
			t.Errorf("%+v, %v", consumer.Stats(), err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestWorkIdleSlowLook: the time counts from the end of the work, also if the
// looks at it are far apart.
func TestWorkIdleSlowLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := mq.New(mqtest.Faulty(mem.New(), mqtest.Fault{Op: "ping", When: func(int) bool { return true }, Delay: 8 * time.Second}), mq.Config{})
		q, err := c.EnsureQueue(t.Context(), "w", mq.QueueOptions{})
		if err == nil {
			_, err = q.Send(t.Context(), &mq.Message{})
		}
		if err != nil {
			t.Fatal(err)
		}
		var end time.Time
		consumer := newConsumer(t, q, mq.HandlerFunc(func(context.Context, *mq.Delivery) error {
			time.Sleep(24 * time.Second)
			end = time.Now()
			return nil
		}), mq.ConsumerConfig{})
		ctx, cancel := context.WithCancel(t.Context())
		go (&idler{consumer: consumer, queue: q, idle: 6 * time.Second}).run(ctx, cancel)
		if err := consumer.Run(ctx); err != nil || consumer.Stats().Acked != 1 {
			t.Errorf("%+v, %v", consumer.Stats(), err)
		}
		if idle := time.Since(end); idle < 6*time.Second {
			t.Errorf("it ends %v after the work", idle)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestWorkUnread: a command need not read its input.
func TestWorkUnread(t *testing.T) {
	d := newDesk(t, "mem")
	d.send(text(strings.Repeat("x", 1<<20)))
	if code, _, stderr := d.work("--", "true"); code != exitOK || !strings.Contains(stderr, "1 done") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestWorkGroups(t *testing.T) {
	d := newDesk(t, "mem")
	for _, body := range []string{"1", "2", "3"} {
		d.send(mq.Message{Body: []byte(body), Group: "g"})
	}
	_, stdout, stderr := d.work("-c", "3", "-group-by", "header", "--", "sh", "-c", "cat; sleep 0.05; echo")
	if got := strings.Fields(stdout); !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("worked on %q, %s", got, stderr)
	}
}

// TestWorkOnStub: it is what works on every provider.
func TestWorkOnStub(t *testing.T) {
	d := newDesk(t, "rabbitstub")
	d.send(text("1"), text("2"))
	if code, _, stderr := d.work("-c", "2", "--", "true"); code != exitOK || !strings.Contains(stderr, "2 done") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// TestWorkStops: what runs may end, and nothing more is begun.
func TestWorkStops(t *testing.T) {
	d := newDesk(t, "mem")
	d.send(text("1"), text("2"))
	a, _, stderr := d.app()
	ctx, stop := context.WithCancel(t.Context())
	goOn := filepath.Join(t.TempDir(), "go")
	out := &watched{want: "begin\n", then: func() {
		stop()
		time.AfterFunc(200*time.Millisecond, func() { _ = os.WriteFile(goOn, nil, 0o600) })
	}}
	a.stdout = out
	code := a.run(ctx, []string{"work", "w", "--", "sh", "-c", `echo begin; until [ -e "$0" ]; do sleep 0.02; done; echo end`, goOn})
	if code != exitOK || out.String() != "begin\nend\n" || !strings.Contains(stderr.String(), "1 done") {
		t.Errorf("exit code %d, %q and %q", code, out, stderr)
	}
	if s := d.stats(); s.Visible != 1 {
		t.Errorf("%+v", s)
	}
}

// watched is an output that calls then once it shows what is wanted.
type watched struct {
	bytes.Buffer
	want string
	then func()
	once sync.Once
}

func (w *watched) Write(p []byte) (int, error) {
	n, err := w.Buffer.Write(p)
	if strings.Contains(w.String(), w.want) {
		w.once.Do(w.then)
	}
	return n, err
}

func newConsumer(t *testing.T, q *mq.Queue, h mq.Handler, cfg mq.ConsumerConfig) *mq.Consumer {
	t.Helper()
	c, err := mq.NewConsumer(q, h, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/mqtest"
)

// ferry is a source, a target and what mq copy between them says.
type ferry struct {
	*testing.T
	fromDSN, toDSN string
	from, to       *mq.Client
	stdout, stderr bytes.Buffer
}

// inBubble runs a test on two stores that live on the time of a bubble.
func inBubble(t *testing.T, fromDSN, toDSN string, f func(*ferry)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		fy := &ferry{T: t, fromDSN: fromDSN, toDSN: toDSN}
		fy.from, fy.to = fy.open(fromDSN), fy.open(toDSN)
		f(fy)
		time.Sleep(time.Second) // for the progress bar's goroutine to end
	})
}

func (f *ferry) open(dsn string) *mq.Client {
	f.Helper()
	c, err := mq.Open(dsn)
	f.check(err)
	f.Cleanup(func() { f.check(c.Close()) })
	return c
}

func (f *ferry) check(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *ferry) fill(queue string, msgs ...*mq.Message) (ids []string) {
	f.Helper()
	q, err := f.from.EnsureQueue(f.Context(), queue, mq.QueueOptions{})
	f.check(err)
	ids, err = q.SendAll(f.Context(), msgs)
	f.check(err)
	return ids
}

func numbered(n int) []*mq.Message {
	msgs := make([]*mq.Message, n)
	for i := range msgs {
		msgs[i] = &mq.Message{Body: fmt.Appendf(nil, `{"n": %d}`, i)}
	}
	return msgs
}

// run runs mq copy and requires its exit code.
func (f *ferry) run(ctx context.Context, want int, args ...string) {
	f.Helper()
	f.stdout.Reset()
	f.stderr.Reset()
	a := &app{stdin: strings.NewReader(""), stdout: &f.stdout, stderr: &f.stderr, getenv: func(string) string { return "" }}
	code := a.run(ctx, append([]string{"copy", f.fromDSN, f.toDSN}, args...))
	if code != want {
		f.Fatalf("exit code %d, not %d\n%s%s", code, want, &f.stdout, &f.stderr)
	}
	if i := strings.IndexFunc(f.stdout.String()+f.stderr.String(), func(r rune) bool { return r < ' ' && r != '\n' }); i >= 0 {
		f.Errorf("control characters in %q", f.stdout.String()+f.stderr.String())
	}
}

func (f *ferry) requireStderr(parts ...string) {
	f.Helper()
	for _, part := range parts {
		if !strings.Contains(f.stderr.String(), part) {
			f.Errorf("%q is not in:\n%s", part, &f.stderr)
		}
	}
}

// drain receives all messages of a queue.
func (f *ferry) drain(c *mq.Client, queue string) (ds []*mq.Delivery) {
	f.Helper()
	for {
		got, err := c.Queue(queue).Receive(f.Context(), mq.ReceiveOptions{Max: 100, Visibility: 10 * time.Minute})
		f.check(err)
		if len(got) == 0 {
			return ds
		}
		ds = append(ds, got...)
	}
}

func bodies(ds []*mq.Delivery) (texts []string) {
	for _, d := range ds {
		texts = append(texts, string(d.Body))
	}
	slices.Sort(texts)
	return texts
}

func (f *ferry) requireEmptySource(queue string) {
	f.Helper()
	if s, err := f.from.Queue(queue).Stats(f.Context()); err != nil || s.Visible > 0 || s.Leased > 0 {
		f.Errorf("the source has %+v, %v", s, err)
	}
}

func TestCopy(t *testing.T) {
	for _, dsns := range [][2]string{
		{"mem://copy-a", "mem://copy-b"}, {"mem://copy-a", "rabbitstub://copy-b"}, {"rabbitstub://copy-a", "mem://copy-b"},
	} {
		t.Run(dsns[0]+" "+dsns[1], func(t *testing.T) {
			inBubble(t, dsns[0], dsns[1], func(f *ferry) {
				ids := f.fill("orders", numbered(1234)...)
				f.fill("other", numbered(3)...)
				f.run(f.Context(), exitOK, "-queue", "orders", "-queue", "other", "-o", "json")
				want := `{"queue":"orders","moved":1234,"skipped":0,"doubtful":0}` + "\n" + `{"queue":"other","moved":3,"skipped":0,"doubtful":0}` + "\n"
				told := f.stderr.String()
				if f.from.Provider().Name() == "rabbitstub" {
					f.requireStderr("mq: orders: left in the source: what is delayed or leased by others, which rabbitstub cannot count\n")
					told = ""
				}
				if f.stdout.String() != want || told != "" {
					t.Errorf("output\n%s%s, not\n%s", &f.stdout, &f.stderr, want)
				}
				ds := f.drain(f.to, "orders")
				var origins []string
				for _, d := range ds {
					origins = append(origins, strings.TrimPrefix(d.Headers[headerCopiedFrom], f.from.Provider().Name()+"/orders/"))
				}
				slices.Sort(ids)
				slices.Sort(origins)
				if !slices.Equal(ids, origins) {
					t.Errorf("copied from %d messages, sent were %d", len(origins), len(ids))
				}
				f.requireEmptySource("orders")
			})
		})
	}
}

func TestCopyKeeps(t *testing.T) {
	inBubble(t, "mem://copy-a", "mem://copy-b", func(f *ferry) {
		body := "{\"b\" : 1.50,\n\"a\":\t[ ] }"
		f.fill("orders", &mq.Message{Body: []byte(body), Headers: mq.Headers{"k": "v"}, Group: "g"}, &mq.Message{Body: []byte{0, 0xff}})
		f.run(f.Context(), exitOK)
		ds := f.drain(f.to, "orders")
		if len(ds) != 2 || string(ds[0].Body) != body || ds[0].Group != "g" || string(ds[1].Body) != "\x00\xff" {
			t.Fatalf("arrived: %v", ds)
		}
		if want := (mq.Headers{"k": "v", headerCopiedFrom: "mem/orders/1"}); !maps.Equal(ds[0].Headers, want) {
			t.Errorf("headers %v, not %v", ds[0].Headers, want)
		}
	})
}

func TestCopyWithoutOrigin(t *testing.T) {
	inBubble(t, "mem://copy-a", "mem://copy-b", func(f *ferry) {
		f.fill("orders", numbered(1)...)
		f.run(f.Context(), exitOK, "-without-origin")
		if ds := f.drain(f.to, "orders"); len(ds[0].Headers) > 0 {
			t.Errorf("headers %v", ds[0].Headers)
		}
	})
}

// What the target refuses stays at the source.
func TestCopyRefused(t *testing.T) {
	fill := func(f *ferry) {
		msgs := numbered(10)
		msgs[4].Group = "g" // RabbitMQ has no groups
		f.fill("orders", msgs...)
	}
	all := bodiesOf(numbered(10))
	rest := slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == `{"n": 4}` })

	inBubble(t, "mem://copy-a", "rabbitstub://copy-b", func(f *ferry) {
		fill(f)
		f.run(f.Context(), exitFailure, "-batch", "3")
		f.requireStderr(`mq: orders: 1 message refused by the target and left in the source, with id 5: send "orders": not`, "Message.Group", "-skip")
		if n := strings.Count(f.stderr.String(), "\n"); n != 1 {
			t.Errorf("%d lines of error:\n%s", n, &f.stderr)
		}
		if got := bodies(append(f.drain(f.from, "orders"), f.drain(f.to, "orders")...)); !slices.Equal(got, all) {
			t.Errorf("in both queues: %v", got)
		}
	})
	inBubble(t, "mem://copy-a", "rabbitstub://copy-b", func(f *ferry) {
		fill(f)
		f.run(f.Context(), exitOK, "-skip", "-o", "json")
		if want := `{"queue":"orders","moved":9,"skipped":1,"doubtful":0}` + "\n"; f.stdout.String() != want {
			t.Errorf("output %s", &f.stdout)
		}
		f.requireStderr("1 message refused by the target and left in the source, with id 5: ")
		if got := bodies(f.drain(f.to, "orders")); !slices.Equal(got, rest) {
			t.Errorf("at the target: %v", got)
		}
		// It can be received at once: it was given back.
		if got := bodies(f.drain(f.from, "orders")); !slices.Equal(got, []string{`{"n": 4}`}) {
			t.Errorf("at the source: %v", got)
		}
	})
	inBubble(t, "mem://copy-a", "rabbitstub://copy-b", func(f *ferry) {
		fill(f)
		f.run(f.Context(), exitOK, "-without-groups")
		if got := bodies(f.drain(f.to, "orders")); !slices.Equal(got, all) {
			t.Errorf("at the target: %v", got)
		}
	})
}

func bodiesOf(msgs []*mq.Message) (texts []string) {
	for _, m := range msgs {
		texts = append(texts, string(m.Body))
	}
	slices.Sort(texts)
	return texts
}

// A message that was refused comes back when its lease ends, and does not keep
// a copy going.
func TestCopySkipEnds(t *testing.T) {
	inBubble(t, "mem://copy-a", "rabbitstub://copy-b", func(f *ferry) {
		f.fill("orders", &mq.Message{Group: "g"})
		start := time.Now()
		f.run(f.Context(), exitOK, "-skip", "-visibility", "1s", "-idle", "10s")
		if took := time.Since(start); took > time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}

// A copy that follows one that was killed waits for the leases of that.
func TestCopyWaitsForLeases(t *testing.T) {
	inBubble(t, "mem://copy-a", "mem://copy-b", func(f *ferry) {
		f.fill("orders", numbered(20)...)
		_, err := f.from.Queue("orders").Receive(f.Context(), mq.ReceiveOptions{Max: 15, Visibility: 29 * time.Second})
		f.check(err)
		f.run(f.Context(), exitOK)
		f.requireStderr("waiting up to 30s for 15 messages")
		if got := bodies(f.drain(f.to, "orders")); !slices.Equal(got, bodiesOf(numbered(20))) {
			t.Errorf("arrived: %v", got)
		}
	})
}

func TestCopyLeaves(t *testing.T) {
	inBubble(t, "mem://copy-a", "mem://copy-b", func(f *ferry) {
		f.fill("orders", &mq.Message{}, &mq.Message{}, &mq.Message{Delay: 2 * time.Hour})
		_, err := f.from.Queue("orders").Receive(f.Context(), mq.ReceiveOptions{Visibility: time.Hour})
		f.check(err)
		f.run(f.Context(), exitOK)
		f.requireStderr("mq: orders: left in the source: 1 leased by others, 1 delayed (-delayed waits for them)\n")
	})
}

func TestCopyDelayed(t *testing.T) {
	inBubble(t, "mem://copy-a", "mem://copy-b", func(f *ferry) {
		f.fill("orders", append(numbered(3), &mq.Message{Body: []byte("late"), Delay: time.Hour})...)
		f.run(f.Context(), exitOK, "-delayed")
		if got := bodies(f.drain(f.to, "orders")); len(got) != 4 || f.stderr.Len() > 0 {
			t.Errorf("arrived: %v, %s", got, &f.stderr)
		}
	})
}

// Many that are refused for one reason are one line.
func TestCopyRefusedMany(t *testing.T) {
	inBubble(t, "mem://copy-a", "rabbitstub://copy-b", func(f *ferry) {
		f.fill("orders", &mq.Message{Group: "g"}, &mq.Message{Group: "g"}, &mq.Message{})
		f.run(f.Context(), exitOK, "-skip")
		f.requireStderr("mq: orders: 2 messages refused by the target and left in the source, with id 1, 2: ")
		if n := strings.Count(f.stderr.String(), "\n"); n != 1 {
			t.Errorf("%d lines:\n%s", n, &f.stderr)
		}
	})
}

// A target that is the source by another name would keep a copy going.
func TestCopyCircle(t *testing.T) {
	for _, withoutOrigin := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := &ferry{T: t}
			store := mem.New()
			f.from = mq.New(store, mq.Config{})
			f.to = mq.New(mqtest.Faulty(store, mqtest.Fault{Op: "send", Delay: time.Second}), mq.Config{})
			t.Cleanup(func() { f.check(f.from.Close()) })
			f.fill("orders", numbered(50)...)
			a := &app{stdout: &f.stdout, stderr: &f.stderr}
			o := copying{queues: []string{"orders"}, batch: 10, idle: time.Second, visibility: time.Minute, withoutOrigin: withoutOrigin}
			ctx, cancel := context.WithTimeout(f.Context(), time.Hour)
			defer cancel()
			if err := a.moveQueues(ctx, o, f.from, f.to); err == nil || !strings.Contains(err.Error(), "the target is the source") {
				t.Errorf("the error is %v", err)
			}
			if got := slices.Compact(bodies(f.drain(f.from, "orders"))); !slices.Equal(got, bodiesOf(numbered(50))) {
				t.Errorf("left: %v", got)
			}
		})
	}
}

// Messages with the same ids and bodies as the first copies are no copies, if they
// are older.
func TestCopyNoCircle(t *testing.T) {
	for _, args := range [][]string{nil, {"-without-origin"}} {
		inBubble(t, "mem://copy-a", "mem://copy-b", func(f *ferry) {
			same := make([]*mq.Message, 30)
			for i := range same {
				same[i] = &mq.Message{Body: []byte("tick")}
			}
			f.fill("orders", same...)
			target, err := f.to.EnsureQueue(f.Context(), "orders", mq.QueueOptions{})
			f.check(err)
			_, err = target.SendAll(f.Context(), numbered(15))
			f.check(err)
			time.Sleep(time.Hour)
			f.run(f.Context(), exitOK, append(args, "-batch", "10")...)
			if n := len(f.drain(f.to, "orders")); n != 45 {
				t.Errorf("%d messages arrived", n)
			}
		})
	}
}

// A queue that is named twice is moved once.
func TestCopyTwice(t *testing.T) {
	inBubble(t, "mem://copy-a", "mem://copy-b", func(f *ferry) {
		f.fill("orders", numbered(3)...)
		f.run(f.Context(), exitOK, "-queue", "orders", "-queue", "Orders", "-o", "json")
		if n := strings.Count(f.stdout.String(), "\n"); n != 1 {
			t.Errorf("output\n%s", &f.stdout)
		}
	})
}

func TestCopyFollow(t *testing.T) {
	inBubble(t, "mem://copy-a", "mem://copy-b", func(f *ferry) {
		f.fill("orders", numbered(10)...)
		f.fill("other", numbered(10)...)
		ctx, cancel := context.WithCancelCause(f.Context())
		time.AfterFunc(time.Hour, func() { f.fill("orders", numbered(5)...) })
		time.AfterFunc(2*time.Hour, func() { cancel(errInterrupted) })
		f.run(ctx, exitOK, "-follow")
		if n := len(f.drain(f.to, "orders")); n != 15 {
			t.Errorf("%d messages arrived, not 15", n)
		}
		if n := len(f.drain(f.to, "other")); n != 10 {
			t.Errorf("%d of the other queue arrived, not 10", n)
		}
	})
}

// A signal does not cut off the batch under way.
func TestCopyInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &ferry{T: t}
		f.from = f.open("mem://")
		slow := mqtest.Faulty(mem.New(), mqtest.Fault{Op: "send", Delay: 10 * time.Second})
		f.to = mq.New(slow, mq.Config{})
		t.Cleanup(func() { f.check(f.to.Close()) })
		f.fill("orders", numbered(50)...)

		ctx, cancel := context.WithCancelCause(f.Context())
		time.AfterFunc(25*time.Second, func() { cancel(errInterrupted) }) // during the third batch
		a := &app{stdout: &f.stdout, stderr: &f.stderr}
		o := copying{queues: []string{"orders"}, batch: 10, idle: time.Second, visibility: time.Minute}
		if err := a.moveQueues(ctx, o, f.from, f.to); !errors.Is(err, errInterrupted) {
			t.Errorf("the error is %v", err)
		}
		if n := len(f.drain(f.to, "orders")); n != 30 {
			t.Errorf("%d messages arrived, not 30", n)
		}
		if n := len(f.drain(f.from, "orders")); n != 20 {
			t.Errorf("%d messages are left, not 20", n)
		}
		if !strings.Contains(f.stdout.String(), "orders  30") {
			t.Errorf("output\n%s", &f.stdout)
		}
	})
}

// Whatever fails, nothing is lost, and at most one batch is in both queues.
func TestCopyFaults(t *testing.T) {
	for _, test := range []struct {
		name     string
		from, to mqtest.Fault
		doubled  int
		doubtful int64
	}{
		{"target away", mqtest.Fault{Op: "ping"}, mqtest.Fault{Op: "send", When: mqtest.Nth(3), Err: driver.ErrUnavailable}, 0, 10},
		{"target stored and did not say so", mqtest.Fault{Op: "ping"}, mqtest.Fault{Op: "send", When: mqtest.Nth(3), Applied: true, Err: driver.ErrUnavailable}, 10, 10},
		{"source deleted nothing", mqtest.Fault{Op: "settle", When: mqtest.Nth(3), Err: driver.ErrUnavailable}, mqtest.Fault{Op: "ping"}, 10, 10},
		{"source deleted and did not say so", mqtest.Fault{Op: "settle", When: mqtest.Nth(3), Applied: true, Err: driver.ErrUnavailable}, mqtest.Fault{Op: "ping"}, 0, 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &ferry{T: t}
				f.from = mq.New(mqtest.Faulty(mem.New(), test.from), mq.Config{})
				f.to = mq.New(mqtest.Faulty(mem.New(), test.to), mq.Config{})
				t.Cleanup(func() { f.check(errors.Join(f.from.Close(), f.to.Close())) })
				f.fill("orders", numbered(50)...)
				a := &app{stdout: &f.stdout, stderr: &f.stderr, output: "json"}
				o := copying{queues: []string{"orders"}, batch: 10, idle: time.Second, visibility: time.Minute}
				if err := a.moveQueues(f.Context(), o, f.from, f.to); !errors.Is(err, mq.ErrUnavailable) {
					t.Fatalf("the error is %v", err)
				}
				var line copyLine
				f.check(json.Unmarshal(f.stdout.Bytes(), &line))
				if line.Doubtful != test.doubtful {
					t.Errorf("doubtful are %d, not %d", line.Doubtful, test.doubtful)
				}
				f.check(a.moveQueues(f.Context(), o, f.from, f.to))

				origins := map[string]bool{}
				ds := f.drain(f.to, "orders")
				for _, d := range ds {
					origins[d.Headers[headerCopiedFrom]] = true
				}
				if len(origins) != 50 || len(ds) != 50+test.doubled {
					t.Errorf("%d messages arrived, %d of them different; 50 and %d doubles were expected", len(ds), len(origins), test.doubled)
				}
				f.requireEmptySource("orders")
			})
		})
	}
}

func TestCopyUsage(t *testing.T) {
	for _, test := range []struct {
		from, to string
		args     []string
		code     int
		want     string
	}{
		{"mem://same", "mem://same", nil, exitUsage, "circles"},
		{"nope://", "mem://", nil, exitUsage, "unknown driver"},
		{"mem://", "nope://", nil, exitUsage, "unknown driver"},
		{"mem://", "rabbitstub://", []string{"-queue", "orders"}, exitFailure, "queue not found"},
		{"rabbitstub://", "mem://", nil, exitUsage, "name them with -queue"},
		{"mem://", "rabbitstub://", []string{"-batch", "-1"}, exitUsage, "-batch"},
		{"mem://", "rabbitstub://", []string{"-batch", "100000"}, exitUsage, "-batch"},
		{"mem://", "rabbitstub://", []string{"-idle", "0"}, exitUsage, "-idle"},
		{"mem://", "rabbitstub://", []string{"-visibility", "-1s"}, exitUsage, "-visibility"},
	} {
		f := &ferry{T: t, fromDSN: test.from, toDSN: test.to}
		f.run(f.Context(), test.code, test.args...)
		f.requireStderr(test.want)
		if n := strings.Count(f.stderr.String(), "\n"); n != 1 {
			t.Errorf("%d lines of error:\n%s", n, &f.stderr)
		}
	}
}

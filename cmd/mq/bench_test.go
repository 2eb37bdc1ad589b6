package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/mqtest"
)

func runBench(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &err, getenv: func(string) string { return "" }}
	code = a.run(ctx, append([]string{"bench"}, args...))
	return code, out.String(), err.String()
}

// inSlowBubble runs a test in a bubble, on a desk where each call of mq takes a
// millisecond and nothing else takes time.
func inSlowBubble(t *testing.T, driver string, f func(*desk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, driver)
		var slow []mqtest.Fault
		for _, op := range []string{"send", "receive", "settle"} {
			slow = append(slow, mqtest.Fault{Op: op, Delay: time.Millisecond})
		}
		d.suffer(slow...)
		f(d)
		time.Sleep(2 * stragglers) // for timers and the progress bar to end
	})
}

func TestBench(t *testing.T) {
	for _, driver := range []string{"mem", "rabbitstub"} {
		inSlowBubble(t, driver, func(d *desk) {
			out := d.must("bench", "-duration", "100ms", "-batch", "5", "-queue", "b", "-size", "200")
			for _, want := range []string{"MEASUREMENT", "send", "receive+ack", "end-to-end", "load", "latency of load, at ", "<= ", "##", "%"} {
				if !strings.Contains(out, want) {
					d.Errorf("%s: %q is not in\n%s", driver, want, out)
				}
			}
			if strings.ContainsAny(out, "\x1b\r") {
				d.Errorf("%s: control characters in %q", driver, out)
			}
			if v := d.client.Verify(d.Context(), "b"); len(v.Missing) != 1 {
				d.Errorf("%s: the queue is still there", driver)
			}
		})
	}
}

func TestBenchJSON(t *testing.T) {
	inSlowBubble(t, "mem", func(d *desk) {
		var names []string
		dec := json.NewDecoder(strings.NewReader(d.must("bench", "-duration", "100ms", "-rate", "1000", "-o", "json")))
		for dec.More() {
			var l benchLine
			if err := dec.Decode(&l); err != nil {
				d.Fatal(err)
			}
			names = append(names, l.Measurement)
			requireFigures(d.T, l)
		}
		if got := strings.Join(names, " "); got != "send receive+ack end-to-end load" {
			d.Errorf("measurements %s", got)
		}
	})
}

// requireFigures requires that those of a measurement add up. The load is 1,000
// messages per second for a tenth of a second.
func requireFigures(t *testing.T, l benchLine) {
	t.Helper()
	n := int64(0)
	for _, b := range l.Histogram {
		n += b.Count
	}
	if l.Messages == 0 || n != l.Messages || math.Abs(l.Rate*l.Seconds-float64(l.Messages)) > 1 {
		t.Errorf("%s: %d messages in %v s, rate %v, histogram of %d", l.Measurement, l.Messages, l.Seconds, l.Rate, n)
	}
	if l.P50 > l.P95 || l.P95 > l.P99 || l.P99 > l.Max || l.Max <= 0 {
		t.Errorf("%s: latencies %v %v %v %v", l.Measurement, l.P50, l.P95, l.P99, l.Max)
	}
	if l.Measurement == "load" && (l.Target != 1000 || l.Messages != 100) {
		t.Errorf("the load is %d messages at %v per second", l.Messages, l.Target)
	}
}

// load measures a constant rate on the time of a bubble, where nothing takes
// time but what the faults say.
func load(t *testing.T, b benching, faults ...mqtest.Fault) *measurement {
	t.Helper()
	c := mq.New(mqtest.Faulty(mem.New(), faults...), mq.Config{})
	q, err := c.EnsureQueue(t.Context(), "b", mq.QueueOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := &bencher{benching: b, app: &app{}, queue: q, begin: time.Now()}
	m, err := r.measureBoth(t.Context(), "load", b.rate, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	time.Sleep(2 * stragglers) // for timers and the progress bar to end
	return m
}

// A send that hangs for a second holds up those that were due meanwhile: they
// count with the time that they waited, although nobody tried to send them.
func TestBenchCountsWhatStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := load(t, benching{senders: 1, consumers: 1, size: 100, batch: 1, rate: 100, duration: 3 * time.Second},
			mqtest.Fault{Op: "send", When: mqtest.Nth(100), Delay: time.Second})
		if m.times.count != 300 || m.behind != 0 {
			t.Errorf("%d messages, %d behind", m.times.count, m.behind)
		}
		// A third waited for up to a second, evenly.
		if p50, p95 := m.times.quantile(0.5), m.times.quantile(0.95); p50 != 0 || p95 < 800*time.Millisecond || p95 > 900*time.Millisecond {
			t.Errorf("p50 %v, p95 %v", p50, p95)
		}
		if m.times.max != time.Second {
			t.Errorf("the longest is %v", m.times.max)
		}
	})
}

func TestBenchBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := load(t, benching{senders: 2, consumers: 1, size: 100, batch: 1, rate: 100, duration: time.Second},
			mqtest.Fault{Op: "receive", Delay: time.Second})
		if m.behind < 80 || m.times.count+m.behind != 100 {
			t.Errorf("%d messages, %d behind", m.times.count, m.behind)
		}
	})
}

// A rate that cannot be reached does not keep the senders going.
func TestBenchTooFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		m := load(t, benching{senders: 1, consumers: 1, size: 100, batch: 1, rate: 1000, duration: time.Second},
			mqtest.Fault{Op: "send", Delay: 100 * time.Millisecond})
		if took := time.Since(start); took > time.Minute || m.unsent < 900 || m.times.count+m.unsent != 1000 {
			t.Errorf("%d messages, %d not sent, after %v", m.times.count, m.unsent, took)
		}
	})
}

func TestRateCell(t *testing.T) {
	for rate, want := range map[float64]string{0.001: "0.001", 0: "0", 2.5: "2.5", 9465.4: "9465", 1e9: "1000000000"} {
		if got := rateCell(rate); got != want {
			t.Errorf("%v is shown as %s, not %s", rate, got, want)
		}
	}
}

// An error ends all workers at once, those that wait for messages included.
func TestBenchFails(t *testing.T) {
	for _, op := range []string{"send", "receive", "settle"} {
		synctest.Test(t, func(t *testing.T) {
			c := mq.New(mqtest.Faulty(mem.New(), mqtest.Fault{Op: op, When: mqtest.Nth(5), Err: driver.ErrUnavailable}), mq.Config{})
			q, err := c.EnsureQueue(t.Context(), "b", mq.QueueOptions{})
			if err != nil {
				t.Fatal(err)
			}
			b := benching{senders: 2, consumers: 2, batch: 1, size: 100, duration: time.Minute}
			r := &bencher{benching: b, app: &app{}, queue: q, begin: time.Now()}
			if _, err = r.measureBoth(t.Context(), "load", 10, 0); !errors.Is(err, mq.ErrUnavailable) || time.Since(r.begin) > 2*time.Second {
				t.Errorf("%s: after %v: %v", op, time.Since(r.begin), err)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			time.Sleep(2 * stragglers)
		})
	}
}

// What was measured before a signal is shown, and the queue is dropped.
func TestBenchInterrupted(t *testing.T) {
	inSlowBubble(t, "mem", func(d *desk) {
		ctx, cancel := context.WithTimeoutCause(d.Context(), 100*time.Millisecond, errInterrupted)
		defer cancel()
		code, out, errs := d.runIn(ctx, "bench", "-duration", "1h")
		if code != exitInterrupted || !strings.Contains(out, "send ") || !strings.Contains(errs, "measured so far") {
			d.Errorf("exit code %d\n%s%s", code, out, errs)
		}
		if names, err := d.client.Queues(d.Context()); err != nil || len(names) != 1 {
			d.Errorf("queues left: %v, %v", names, err)
		}
	})
}

// A queue that may have been made when the signal came is dropped, too.
func TestBenchInterruptedEarly(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	late := func(ctx context.Context, c *mq.Call, next func(context.Context) error) error {
		err := next(ctx)
		if c.Op == "ensure" {
			cancel(errInterrupted)
			return errors.Join(err, ctx.Err())
		}
		return err
	}
	c := mq.New(mem.New(), mq.Config{Interceptors: []mq.Interceptor{late}})
	defer c.Close()
	b := benching{queue: "b", senders: 1, consumers: 1, batch: 1, size: 100, duration: time.Minute}
	if err := new(app).bench(ctx, c, b); err == nil {
		t.Error("it went on")
	}
	if names, err := c.Queues(t.Context()); err != nil || len(names) > 0 {
		t.Errorf("queues left: %v, %v", names, err)
	}
}

func TestBenchUsage(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "no provider"},
		{[]string{"mem://", "extra"}, "it is mq bench [DSN]"},
		{[]string{"mem://", "-senders", "0"}, "-senders"},
		{[]string{"mem://", "-size", "5"}, "-size 5"},
		{[]string{"mem://", "-size", "100000000"}, "-size 100000000"},
		{[]string{"mem://", "-batch", "0"}, "-batch 0"},
		{[]string{"mem://", "-rate", "-1"}, "-rate -1"},
		{[]string{"mem://", "-rate", "NaN"}, "-rate NaN"},
		{[]string{"mem://", "-rate", "1e-320"}, "-rate 1e-320"},
		{[]string{"mem://", "-dsn", "mem://"}, "given twice"},
		{[]string{""}, "the DSN is empty"},
		{[]string{"mem://", "-duration", "0s"}, "-duration 0s"},
	} {
		code, out, errs := runBench(t.Context(), test.args...)
		if code != exitUsage || !strings.Contains(errs, test.want) || strings.Count(errs, "\n") != 1 || out != "" {
			t.Errorf("%v: exit code %d, %s%s", test.args, code, out, errs)
		}
	}
}

// A queue of the user's is left alone.
func TestBenchRefusesQueue(t *testing.T) {
	c, err := mq.Open("mem://bench")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.EnsureQueue(t.Context(), "orders", mq.QueueOptions{}); err != nil {
		t.Fatal(err)
	}
	code, _, errs := runBench(t.Context(), "mem://bench", "-queue", "orders")
	if code != exitUsage || !strings.Contains(errs, `queue "orders" exists`) || c.Verify(t.Context(), "orders").Err() != nil {
		t.Errorf("exit code %d, %s", code, errs)
	}
}

func TestBenchBody(t *testing.T) {
	for _, size := range []int{minBenchBody, 100, 4096} {
		for _, d := range []time.Duration{0, 123456, math.MaxInt64} {
			body := benchBody(d, size)
			if len(body) != size && (d != math.MaxInt64 || len(body) > size) || !json.Valid(body) {
				t.Errorf("body of %d: %s", size, body)
			}
			if got, err := stampOf(body); got != d || err != nil {
				t.Errorf("%v came back as %v, %v", d, got, err)
			}
		}
	}
	if d, err := stampOf([]byte(`{"p": "xx", "t": 42}`)); d != 42 || err != nil {
		t.Errorf("of a body that was formatted: %v, %v", d, err)
	}
	for _, bad := range []string{"", "{}", `{"t":"x"}`, `{"t":`} {
		if _, err := stampOf([]byte(bad)); err == nil {
			t.Errorf("no error for %s", bad)
		}
	}
}

// What an earlier measurement has left counts for nothing.
func TestBenchLeftovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := mq.New(mem.New(), mq.Config{})
		q, err := c.EnsureQueue(t.Context(), "b", mq.QueueOptions{})
		if err != nil {
			t.Fatal(err)
		}
		b := benching{senders: 1, consumers: 1, size: 100, batch: 5, rate: 100, duration: time.Second}
		r := &bencher{benching: b, app: &app{}, queue: q, begin: time.Now()}
		for range 10 {
			if err := r.send(t.Context(), time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		m, err := r.measureBoth(t.Context(), "load", b.rate, 0)
		if err != nil || m.times.count != 100 || m.behind != 0 || m.times.max >= time.Second {
			t.Errorf("%d messages, the oldest of %v, %d behind: %v", m.times.count, m.times.max, m.behind, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * stragglers) // for timers and the progress bar to end
	})
}

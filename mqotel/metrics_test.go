package mqotel_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/mqotel"
	"github.com/portmq/mq/mqtest"
)

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, mqotel.Config{})
		l.send(t.Context(), "good", "bad", "bad")
		handled := 0
		l.consume(mq.ConsumerConfig{MaxAttempts: 1, Concurrency: 1, Prefetch: 2}, func(_ context.Context, d *mq.Delivery, stop func()) error {
			time.Sleep(40 * time.Second)
			if handled++; handled == 3 {
				stop()
			}
			if string(d.Body) == "bad" {
				return errors.New("bad")
			}
			return nil
		})
		const receive, send = "messaging.operation.name=receive,messaging.operation.type=receive", "messaging.operation.name=send,messaging.operation.type=send"
		const process = "messaging.operation.name=process,messaging.operation.type=process"
		l.requireSeries("messaging.client.sent.messages", map[string]int64{send: 3})
		l.requireSeries("messaging.client.consumed.messages", map[string]int64{receive: 3})
		l.requireSeries("messaging.process.duration", map[string]int64{process: 1, "error.type=*errors.errorString," + process: 2})
		l.requireSeries("mq.dead_lettered", map[string]int64{"messaging.operation.name=archive": 2})
		l.requireSeries("mq.lease.lost", map[string]int64{})
		if n := l.series("messaging.client.operation.duration")["messaging.operation.name=archive,messaging.operation.type=settle"]; n != 2 {
			t.Errorf("%d archives took time", n)
		}
		sum, _ := histogram[int64](l, "mq.batch.size", "send")
		if sum != 3 {
			t.Errorf("the sent batch has size %d", sum)
		}
		seconds, bounds := histogram[float64](l, "messaging.process.duration", "process")
		if seconds != 120 || !slices.Contains(bounds, 60) {
			t.Errorf("handlers took %v s, bounds %v", seconds, bounds)
		}
	})
}

// histogram returns the sum of an operation's points, and their bounds.
func histogram[N int64 | float64](l *lab, name, operation string) (sum N, bounds []float64) {
	data, _ := l.metrics()[name].Data.(metricdata.Histogram[N])
	for _, p := range data.DataPoints {
		if op, _ := p.Attributes.Value("messaging.operation.name"); op.AsString() == operation {
			sum, bounds = sum+p.Sum, p.Bounds
		}
	}
	return sum, bounds
}

// What a batch comes to is counted message by message.
func TestSentInPart(t *testing.T) {
	p := mqtest.Faulty(mem.New(), mqtest.Fault{Op: "send", Err: driver.Batch([]error{nil, driver.ErrTooLarge, nil})})
	l := newLabOf(t, mqotel.Config{}, p)
	_, err := l.queue.SendAll(t.Context(), []*mq.Message{new(mq.Message), new(mq.Message), new(mq.Message)})
	if batch := (*mq.BatchError)(nil); !errors.As(err, &batch) || !errors.Is(batch.Errs[1], mq.ErrTooLarge) {
		t.Fatal(err)
	}
	const send = "messaging.operation.name=send,messaging.operation.type=send"
	l.requireSeries("messaging.client.sent.messages", map[string]int64{send: 2, "error.type=too_large," + send: 1})
}

func TestEmptyReceiveIsNotCounted(t *testing.T) {
	l := newLab(t, mqotel.Config{})
	_, err := l.queue.Receive(t.Context(), mq.ReceiveOptions{})
	l.check(err)
	if got := l.series("messaging.client.operation.duration"); len(got) != 1 || got["messaging.operation.name=ensure"] != 1 {
		t.Errorf("operations %v", got)
	}
}

func TestObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, mqotel.Config{})
		reg, err := l.telemetry.Observe(l.queue, l.client.Queue("missing"))
		l.check(err)
		_, err = l.queue.SendAll(t.Context(), []*mq.Message{new(mq.Message), new(mq.Message), {Delay: time.Hour}})
		l.check(err)
		_, err = l.queue.Receive(t.Context(), mq.ReceiveOptions{})
		l.check(err)
		time.Sleep(7 * time.Second)

		var rm metricdata.ResourceMetrics
		if err := l.reader.Collect(t.Context(), &rm); !errors.Is(err, mq.ErrQueueNotFound) {
			t.Errorf("the missing queue: %v", err)
		}
		depth, age, lag := observed(rm)
		want := map[string]int64{"mq.state=visible": 1, "mq.state=leased": 1, "mq.state=delayed": 1, "mq.state=blocked": 0, "mq.state=archived": 0}
		for state, n := range want {
			if got, ok := depth[state]; !ok || got != n {
				t.Errorf("%s is %d, not %d", state, got, n)
			}
		}
		if age[""] != 7 || len(age) != 1 || lag[""] != 7 || len(lag) != 1 {
			t.Errorf("oldest ages %v, lags %v", age, lag)
		}
		l.check(reg.Unregister())
		if got := l.series("mq.queue.depth"); len(got) > 0 {
			t.Errorf("after Unregister: %v", got)
		}
	})
}

func observed(rm metricdata.ResourceMetrics) (depth, age, lag map[string]int64) {
	depth, age, lag = map[string]int64{}, map[string]int64{}, map[string]int64{}
	for _, m := range rm.ScopeMetrics[0].Metrics {
		into := map[string]map[string]int64{"mq.queue.depth": depth, "mq.queue.oldest_age": age, "mq.queue.lag": lag}[m.Name]
		for set, v := range points(m) {
			if into != nil {
				into[text(set)] = v
			}
		}
	}
	return depth, age, lag
}

// unknowing cannot count.
type unknowing struct{ driver.Provider }

func (unknowing) Stats(context.Context, string) (driver.Stats, error) {
	return driver.Stats{Total: -1, Visible: 5, Leased: -1, Delayed: -1, Blocked: -1, Archived: -1, OldestAge: -1, NewestAge: -1, Lag: -1}, nil
}

func TestObserveUnknown(t *testing.T) {
	l := newLabOf(t, mqotel.Config{}, unknowing{mem.New()})
	_, err := l.telemetry.Observe(l.queue)
	l.check(err)
	l.requireSeries("mq.queue.depth", map[string]int64{"mq.state=visible": 5})
	l.requireSeries("mq.queue.oldest_age", map[string]int64{})
	l.requireSeries("mq.queue.lag", map[string]int64{})
}

// Whatever is sent, the number of series stays.
func TestCardinality(t *testing.T) {
	l := newLab(t, mqotel.Config{})
	allowed := []string{"messaging.system", "messaging.destination.name", "messaging.operation.name", "messaging.operation.type", "error.type"}
	series := func() (n int) {
		for name, m := range l.metrics() {
			for set := range points(m) {
				n++
				for _, kv := range set.ToSlice() {
					if !slices.Contains(allowed, string(kv.Key)) {
						t.Errorf("%s has attribute %s", name, kv.Key)
					}
				}
			}
		}
		return n
	}
	var first int
	for i := range 20 {
		_, err := l.queue.Send(t.Context(), &mq.Message{Group: string(rune('a' + i)), Headers: mq.Headers{"n": string(rune('a' + i))}})
		l.check(err)
		ds, err := l.queue.Receive(t.Context(), mq.ReceiveOptions{})
		l.check(err)
		l.check(ds[0].Archive(t.Context(), "because"))
		if i == 0 {
			first = series()
		}
	}
	if n := series(); n != first || n == 0 {
		t.Errorf("%d series after one message, %d after 20", first, n)
	}
}

package mqotel_test

import (
	"context"
	"maps"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/mqotel"
)

// lab is a client in memory whose telemetry goes to exporters in memory.
type lab struct {
	*testing.T
	telemetry *mqotel.Telemetry
	client    *mq.Client
	queue     *mq.Queue
	traces    *sdktrace.TracerProvider
	spans     *tracetest.InMemoryExporter
	reader    *sdkmetric.ManualReader
}

func newLab(t *testing.T, cfg mqotel.Config) *lab { return newLabOf(t, cfg, mem.New()) }

func newLabOf(t *testing.T, cfg mqotel.Config, p driver.Provider) *lab {
	t.Helper()
	l := &lab{T: t, spans: tracetest.NewInMemoryExporter(), reader: sdkmetric.NewManualReader()}
	l.traces = sdktrace.NewTracerProvider(sdktrace.WithSyncer(l.spans))
	cfg.TracerProvider = l.traces
	cfg.MeterProvider = sdkmetric.NewMeterProvider(sdkmetric.WithReader(l.reader))
	var err error
	l.telemetry, err = mqotel.New(cfg)
	l.check(err)
	l.client = mq.New(p, mq.Config{Interceptors: []mq.Interceptor{l.telemetry.Interceptor()}})
	t.Cleanup(func() { l.check(l.client.Close()) })
	l.queue, err = l.client.EnsureQueue(t.Context(), "orders", mq.QueueOptions{})
	l.check(err)
	return l
}

func (l *lab) check(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

func (l *lab) send(ctx context.Context, bodies ...string) {
	l.Helper()
	msgs := make([]*mq.Message, len(bodies))
	for i, b := range bodies {
		msgs[i] = &mq.Message{Body: []byte(b)}
	}
	_, err := l.queue.SendAll(ctx, msgs)
	l.check(err)
}

// consume handles messages until handle calls stop, and everything is settled.
func (l *lab) consume(cfg mq.ConsumerConfig, handle func(ctx context.Context, d *mq.Delivery, stop func()) error) {
	l.Helper()
	l.consumeIn(l.Context(), cfg, handle)
}

// consumeIn is consume with a context.
func (l *lab) consumeIn(ctx context.Context, cfg mq.ConsumerConfig, handle func(ctx context.Context, d *mq.Delivery, stop func()) error) {
	l.Helper()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	cfg.Middleware = []mq.Middleware{l.telemetry.Middleware}
	l.check(l.queue.Consume(ctx, func(ctx context.Context, d *mq.Delivery) error {
		return handle(ctx, d, stop)
	}, cfg))
}

// span returns the one span of a name.
func (l *lab) span(name string) tracetest.SpanStub {
	l.Helper()
	var found tracetest.SpanStubs
	for _, s := range l.spans.GetSpans() {
		if s.Name == name {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		l.Fatalf("%d spans %q among %v", len(found), name, l.names())
	}
	return found[0]
}

// names returns the names of all spans, in the order of their ends.
func (l *lab) names() (names []string) {
	for _, s := range l.spans.GetSpans() {
		names = append(names, s.Name)
	}
	return names
}

// metrics collects everything once, by name.
func (l *lab) metrics() map[string]metricdata.Metrics {
	l.Helper()
	var rm metricdata.ResourceMetrics
	l.check(l.reader.Collect(l.Context(), &rm))
	found := map[string]metricdata.Metrics{}
	for _, scope := range rm.ScopeMetrics {
		for _, m := range scope.Metrics {
			found[m.Name] = m
		}
	}
	return found
}

// series returns the values of a metric by its attributes: of a histogram the
// counts.
func (l *lab) series(name string) map[string]int64 {
	l.Helper()
	values := map[string]int64{}
	for set, v := range points(l.metrics()[name]) {
		values[text(set)] += v
	}
	return values
}

// points returns the values of a metric by attribute set.
func points(m metricdata.Metrics) map[attribute.Set]int64 {
	values := map[attribute.Set]int64{}
	switch data := m.Data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			values[p.Attributes] = p.Value
		}
	case metricdata.Gauge[int64]:
		for _, p := range data.DataPoints {
			values[p.Attributes] = p.Value
		}
	case metricdata.Gauge[float64]:
		for _, p := range data.DataPoints {
			values[p.Attributes] = int64(p.Value)
		}
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			values[p.Attributes] = int64(p.Count)
		}
	case metricdata.Histogram[int64]:
		for _, p := range data.DataPoints {
			values[p.Attributes] = int64(p.Count)
		}
	}
	return values
}

// text leaves out what all series of the tests have in common.
func text(set attribute.Set) string {
	rest, _ := set.Filter(func(kv attribute.KeyValue) bool {
		return kv.Key != "messaging.system" && kv.Key != "messaging.destination.name"
	})
	return rest.Encoded(attribute.DefaultEncoder())
}

func (l *lab) requireSeries(name string, want map[string]int64) {
	l.Helper()
	if got := l.series(name); !maps.Equal(got, want) {
		l.Errorf("%s is %v, not %v", name, got, want)
	}
}

package mqotel

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/portmq/mq"
)

// gauges are what Observe records.
type gauges struct {
	depth metric.Int64ObservableGauge
	age   metric.Float64ObservableGauge
	lag   metric.Float64ObservableGauge
}

// Observe asks for the Stats of queues at each collection of metrics, until
// the registration is ended. One process of many is enough: all see the same
// queues. A figure that the provider cannot tell is left out; a queue whose
// Stats fail does not keep the others from being observed, and its error goes
// to the OpenTelemetry error handler.
func (t *Telemetry) Observe(queues ...*mq.Queue) (metric.Registration, error) {
	g, err := newGauges(t.meter)
	if err != nil {
		return nil, fmt.Errorf("mqotel: %w", err)
	}
	return t.meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		var errs []error
		for _, q := range queues {
			s, err := q.Stats(ctx)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			g.observe(o, q, s)
		}
		return errors.Join(errs...)
	}, g.depth, g.age, g.lag)
}

func newGauges(m metric.Meter) (g gauges, err error) {
	g.depth, err = m.Int64ObservableGauge("mq.queue.depth", metric.WithUnit("{message}"),
		metric.WithDescription("Messages of a queue, by state."))
	if err != nil {
		return g, err
	}
	g.age, err = m.Float64ObservableGauge("mq.queue.oldest_age", metric.WithUnit("s"),
		metric.WithDescription("How long ago the oldest message of a queue was sent."))
	if err != nil {
		return g, err
	}
	g.lag, err = m.Float64ObservableGauge("mq.queue.lag", metric.WithUnit("s"),
		metric.WithDescription("How long the visible message that has been due longest has waited."))
	return g, err
}

func (g gauges) observe(o metric.Observer, q *mq.Queue, s mq.Stats) {
	attrs := []attribute.KeyValue{
		semconv.MessagingSystemKey.String(q.Client().Provider().Name()),
		semconv.MessagingDestinationName(q.Name()),
	}
	for _, f := range []struct {
		state string
		n     int64
	}{{"visible", s.Visible}, {"leased", s.Leased}, {"delayed", s.Delayed}, {"blocked", s.Blocked}, {"archived", s.Archived}} {
		if f.n >= 0 {
			o.ObserveInt64(g.depth, f.n, metric.WithAttributes(append(attrs, attribute.String("mq.state", f.state))...))
		}
	}
	if s.Lag >= 0 {
		o.ObserveFloat64(g.lag, s.Lag.Seconds(), metric.WithAttributes(attrs...))
	}
	switch {
	case s.OldestAge >= 0:
		o.ObserveFloat64(g.age, s.OldestAge.Seconds(), metric.WithAttributes(attrs...))
	case s.Total == 0:
		o.ObserveFloat64(g.age, 0, metric.WithAttributes(attrs...))
	}
}

package mqotel

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/messagingconv"
)

// instruments are those that mq's own calls record.
type instruments struct {
	operation messagingconv.ClientOperationDuration
	sent      messagingconv.ClientSentMessages
	consumed  messagingconv.ClientConsumedMessages
	process   messagingconv.ProcessDuration
	batch     metric.Int64Histogram
	lost      metric.Int64Counter
	dead      metric.Int64Counter
	events    metric.Int64Counter
}

// The bounds of the conventions, for operations. Handlers take longer.
var (
	operationBounds = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
	processBounds   = append(operationBounds[:len(operationBounds):len(operationBounds)], 30, 60, 300, 1800)
	batchBounds     = []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}
)

func (in *instruments) make(m metric.Meter) error {
	var errs [8]error
	in.operation, errs[0] = messagingconv.NewClientOperationDuration(m, metric.WithExplicitBucketBoundaries(operationBounds...))
	in.sent, errs[1] = messagingconv.NewClientSentMessages(m)
	in.consumed, errs[2] = messagingconv.NewClientConsumedMessages(m)
	in.process, errs[3] = messagingconv.NewProcessDuration(m, metric.WithExplicitBucketBoundaries(processBounds...))
	in.batch, errs[4] = m.Int64Histogram("mq.batch.size", metric.WithUnit("{message}"),
		metric.WithDescription("Messages of one call."), metric.WithExplicitBucketBoundaries(batchBounds...))
	in.lost, errs[5] = m.Int64Counter("mq.lease.lost", metric.WithUnit("{lease}"),
		metric.WithDescription("Leases that ended before their message was settled."))
	in.dead, errs[6] = m.Int64Counter("mq.dead_lettered", metric.WithUnit("{message}"),
		metric.WithDescription("Messages that were archived or moved to another queue."))
	in.events, errs[7] = m.Int64Counter("mq.consumer.events", metric.WithUnit("{event}"),
		metric.WithDescription("Deliveries to Consumers that did not end with an ack, by what became of them."))
	return errors.Join(errs[:]...)
}

// labels are what tells the series of a metric apart.
type labels struct {
	provider, queue string
	operation, kind string // operation.name and .type
	errorType       string
}

func (l labels) attributes() []attribute.KeyValue {
	all := [...]attribute.KeyValue{
		semconv.MessagingSystemKey.String(l.provider),
		semconv.MessagingDestinationName(l.queue),
		semconv.MessagingOperationName(l.operation),
		semconv.MessagingOperationTypeKey.String(l.kind),
		semconv.ErrorTypeKey.String(l.errorType),
	}
	set := make([]attribute.KeyValue, 0, len(all))
	for _, kv := range all {
		if kv.Value.AsString() != "" {
			set = append(set, kv)
		}
	}
	return set
}

// set returns l as an option, made once: there are few.
func (t *Telemetry) set(l labels) metric.MeasurementOption {
	if o, ok := t.sets.Load(l); ok {
		return o.(metric.MeasurementOption)
	}
	o, _ := t.sets.LoadOrStore(l, metric.WithAttributeSet(attribute.NewSet(l.attributes()...)))
	return o.(metric.MeasurementOption)
}

// took records how long a call of n messages took, and how it ended.
func (t *Telemetry) took(ctx context.Context, l labels, d time.Duration, n int, err error) {
	if n > 0 {
		t.inst.batch.Record(ctx, int64(n), t.set(l))
	}
	l.errorType = errorType(err)
	t.inst.operation.Float64Histogram.Record(ctx, d.Seconds(), t.set(l))
}

// countSent counts n messages whose send ended with err.
func (t *Telemetry) countSent(ctx context.Context, l labels, n int, err error) {
	if err == nil {
		t.inst.sent.Int64Counter.Add(ctx, int64(n), t.set(l))
		return
	}
	for i := range n {
		l.errorType = errorType(itemError(err, i))
		t.inst.sent.Int64Counter.Add(ctx, 1, t.set(l))
	}
}

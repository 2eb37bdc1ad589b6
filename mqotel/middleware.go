package mqotel

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/portmq/mq"
)

// Middleware traces and measures a handler, whose context has the process span
// and the sender's baggage. It belongs first into ConsumerConfig.Middleware.
// A loop over Queue.Messages may call the handler that it makes as well.
func (t *Telemetry) Middleware(next mq.Handler) mq.Handler {
	return mq.HandlerFunc(func(ctx context.Context, d *mq.Delivery) error {
		l := processLabels(d)
		start := time.Now()
		outer := trace.SpanContextFromContext(ctx)
		ctx, span := t.startProcess(ctx, d, l)
		lease := t.leases.add(l.queue, d, outer, span.SpanContext())

		var err error = notReturned{}
		defer func() { // the handler may panic
			end(span, err)
			l.errorType = errorType(err)
			t.inst.process.Float64Histogram.Record(ctx, time.Since(start).Seconds(), t.set(l))
			if errors.Is(context.Cause(ctx), mq.ErrStaleReceipt) {
				t.lose(ctx, l, lease)
			}
		}()
		err = next.Handle(ctx, d)
		return err
	})
}

// notReturned stands for a panic, or for the end of the handler's goroutine.
type notReturned struct{}

func (notReturned) Error() string { return "the handler did not return" }

func processLabels(d *mq.Delivery) labels {
	l := labels{operation: "process", kind: "process"}
	if q := d.Queue(); q != nil { // nil if somebody made the Delivery by hand
		l.provider, l.queue = q.Client().Provider().Name(), q.Name()
	}
	return l
}

func (t *Telemetry) startProcess(ctx context.Context, d *mq.Delivery, l labels) (context.Context, trace.Span) {
	attrs := []attribute.KeyValue{semconv.MessagingMessageID(d.ID)}
	if d.ReadCount > 0 {
		attrs = append(attrs, attribute.Int("mq.read_count", d.ReadCount))
	}
	options := []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(attrs...),
	}
	ctx = t.cfg.Propagator.Extract(ctx, d.Headers)
	if from := t.origin(d.Headers); from.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: from}))
	}
	if t.cfg.LinkOnly {
		options = append(options, trace.WithNewRoot())
	}
	return t.start(ctx, l, 1, options...)
}

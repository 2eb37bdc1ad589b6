package mqotel

import (
	"context"
	"time"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/portmq/mq"
)

func (t *Telemetry) send(ctx context.Context, c *mq.Call, l labels, next func(context.Context) error) error {
	n := len(c.Messages)
	kind, links := trace.SpanKindProducer, t.created(c.Messages)
	if t.cfg.CreateSpans && n > 1 {
		links = append(links, t.create(ctx, c.Messages, l)...)
		kind = trace.SpanKindClient
	}
	start := time.Now()
	ctx, span := t.start(ctx, l, n, trace.WithTimestamp(start), trace.WithSpanKind(kind), trace.WithLinks(links...))
	t.inject(ctx, c.Messages)
	err := next(ctx)
	if len(c.IDs) == 1 {
		span.SetAttributes(semconv.MessagingMessageID(c.IDs[0]))
	}
	end(span, err)
	t.took(ctx, l, time.Since(start), n, err)
	t.countSent(ctx, l, n, err)
	return err
}

// origin returns the creation context that a message carries, or an invalid
// one.
func (t *Telemetry) origin(h mq.Headers) trace.SpanContext {
	return trace.SpanContextFromContext(t.cfg.Propagator.Extract(context.Background(), h))
}

// created links to the creation contexts that msgs bring along.
func (t *Telemetry) created(msgs []mq.Message) (links []trace.Link) {
	for _, m := range msgs {
		if from := t.origin(m.Headers); from.IsValid() {
			links = append(links, trace.Link{SpanContext: from})
		}
	}
	return links
}

// create gives each message that has none a creation context of its own.
func (t *Telemetry) create(ctx context.Context, msgs []mq.Message, l labels) (links []trace.Link) {
	l.operation, l.kind = "create", semconv.MessagingOperationTypeCreate.Value.AsString()
	for i := range msgs {
		if msgs[i].Headers == nil || t.origin(msgs[i].Headers).IsValid() {
			continue
		}
		ctx, span := t.start(ctx, l, 1, trace.WithSpanKind(trace.SpanKindProducer))
		t.cfg.Propagator.Inject(ctx, msgs[i].Headers)
		span.End()
		links = append(links, trace.Link{SpanContext: span.SpanContext()})
	}
	return links
}

// inject makes the span in ctx the creation context of the messages that have
// none. A provider without headers cannot carry it.
func (t *Telemetry) inject(ctx context.Context, msgs []mq.Message) {
	for i := range msgs {
		if h := msgs[i].Headers; h != nil && !t.origin(h).IsValid() {
			t.cfg.Propagator.Inject(ctx, h)
		}
	}
}

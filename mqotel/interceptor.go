package mqotel

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/portmq/mq"
)

// Interceptor traces and measures the calls of a client. It belongs first
// into Config.Interceptors, so that what others do is seen.
func (t *Telemetry) Interceptor() mq.Interceptor {
	return func(ctx context.Context, c *mq.Call, next func(context.Context) error) error {
		l := labels{provider: c.Provider, queue: c.Queue, operation: c.Op, kind: kind(c.Op)}
		switch l.kind {
		case "send":
			return t.send(ctx, c, l, next)
		case "receive":
			return t.receive(ctx, c, l, next)
		case "settle":
			return t.settle(ctx, c, l, next)
		}
		return t.other(ctx, c, l, next)
	}
}

// kind returns the operation type that the conventions have for an operation,
// "" if none.
func kind(op string) string {
	switch op {
	case "send":
		return "send"
	case "receive", "receive heads", "receive group", "pop":
		return "receive"
	case "ack", "nack", "archive", "move", "settle":
		return "settle"
	}
	return ""
}

// start starts the span of a call of n messages.
func (t *Telemetry) start(ctx context.Context, l labels, n int, o ...trace.SpanStartOption) (context.Context, trace.Span) {
	attrs := l.attributes()
	if n > 1 || n == 1 && l.kind == "receive" {
		attrs = append(attrs, semconv.MessagingBatchMessageCount(n))
	}
	return t.tracer.Start(ctx, spanName(l), append(o, trace.WithAttributes(attrs...))...)
}

func spanName(l labels) string {
	if l.queue == "" {
		return l.operation
	}
	return l.operation + " " + l.queue
}

// end ends a span with the error of its call.
func end(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, description(err))
		span.SetAttributes(semconv.ErrorTypeKey.String(errorType(err)))
	}
	span.End()
}

func (t *Telemetry) receive(ctx context.Context, c *mq.Call, l labels, next func(context.Context) error) error {
	start := time.Now()
	err := next(ctx)
	n := len(c.Deliveries)
	if n == 0 && (err == nil || errors.Is(err, context.Canceled)) {
		return err
	}
	options := []trace.SpanStartOption{trace.WithTimestamp(start), trace.WithSpanKind(trace.SpanKindClient)}
	_, span := t.start(ctx, l, n, append(options, trace.WithLinks(t.origins(c.Deliveries)...))...)
	end(span, err)
	t.took(ctx, l, time.Since(start), n, err)
	if n > 0 {
		t.inst.consumed.Int64Counter.Add(ctx, int64(n), t.set(l))
	}
	return err
}

// origins links to the creation contexts of ds.
func (t *Telemetry) origins(ds []*mq.Delivery) (links []trace.Link) {
	for _, d := range ds {
		if from := t.origin(d.Headers); from.IsValid() {
			links = append(links, trace.Link{SpanContext: from, Attributes: []attribute.KeyValue{semconv.MessagingMessageID(d.ID)}})
		}
	}
	return links
}

func (t *Telemetry) settle(ctx context.Context, c *mq.Call, l labels, next func(context.Context) error) error {
	receipts := make([]mq.Receipt, len(c.Settlements))
	for i, s := range c.Settlements {
		receipts[i] = s.Receipt
	}
	ctx, links := t.adopt(ctx, l.queue, receipts)
	n, start := len(receipts), time.Now()
	ctx, span := t.start(ctx, l, n, trace.WithSpanKind(trace.SpanKindClient), trace.WithLinks(links...))
	settled := t.leases.settling(l.queue, receipts)
	err := next(ctx)
	settled(err)
	end(span, err)
	t.took(ctx, l, time.Since(start), n, err)
	t.countLost(ctx, l, receipts, err)
	t.countDead(ctx, l, c.Settlements, err)
	return err
}

// adopt puts a settlement that is not made in a span of the handler below the
// process span of its message. One of several messages links to theirs.
func (t *Telemetry) adopt(ctx context.Context, queue string, receipts []mq.Receipt) (context.Context, []trace.Link) {
	caller := trace.SpanContextFromContext(ctx)
	var links []trace.Link
	for _, r := range receipts {
		if h := t.leases.find(queue, r); h != nil && (!caller.IsValid() || caller.Equal(h.outer)) {
			links = append(links, trace.Link{SpanContext: h.span})
		}
	}
	if len(receipts) == 1 && len(links) == 1 {
		return trace.ContextWithSpanContext(ctx, links[0].SpanContext), nil
	}
	return ctx, links
}

// countDead counts what was archived or moved.
func (t *Telemetry) countDead(ctx context.Context, l labels, ss []mq.Settlement, err error) {
	for i, s := range ss {
		if (s.Op == mq.OpArchive || s.Op == mq.OpMove) && itemError(err, i) == nil {
			t.inst.dead.Add(ctx, 1, t.set(labels{provider: l.provider, queue: l.queue, operation: s.Op.String()}))
		}
	}
}

// other is for calls that the conventions do not know.
func (t *Telemetry) other(ctx context.Context, c *mq.Call, l labels, next func(context.Context) error) error {
	start, outer := time.Now(), ctx
	span := trace.Span(nil)
	if trace.SpanContextFromContext(ctx).IsValid() {
		ctx, span = t.start(ctx, l, len(c.Receipts), trace.WithSpanKind(trace.SpanKindClient))
	}
	err := next(ctx)
	if span != nil {
		end(span, err)
	}
	t.took(outer, l, time.Since(start), len(c.Receipts), err)
	t.countLost(outer, l, c.Receipts, err)
	return err
}

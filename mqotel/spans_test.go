package mqotel_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"testing/synctest"

	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/portmq/mq"
	"github.com/portmq/mq/mqotel"
)

// attributesOf returns a span's attributes as text.
func attributesOf(s tracetest.SpanStub) map[string]string {
	found := map[string]string{}
	for _, kv := range s.Attributes {
		found[string(kv.Key)] = kv.Value.String()
	}
	return found
}

func (l *lab) requireSpan(name string, kind trace.SpanKind, parent trace.SpanContext, attrs map[string]string) tracetest.SpanStub {
	l.Helper()
	s := l.span(name)
	if s.SpanKind != kind {
		l.Errorf("%s is of kind %v, not %v", name, s.SpanKind, kind)
	}
	if s.Parent.SpanID() != parent.SpanID() {
		l.Errorf("%s has parent %v, not %v", name, s.Parent.SpanID(), parent.SpanID())
	}
	attrs = maps.Clone(attrs)
	attrs["messaging.system"], attrs["messaging.destination.name"] = "mem", "orders"
	if got := attributesOf(s); !maps.Equal(got, attrs) {
		l.Errorf("%s has attributes %v, not %v", name, got, attrs)
	}
	return s
}

func (l *lab) requireLinks(s tracetest.SpanStub, want ...trace.SpanContext) {
	l.Helper()
	var got, ids []trace.SpanID
	for _, link := range s.Links {
		got = append(got, link.SpanContext.SpanID())
	}
	for _, w := range want {
		ids = append(ids, w.SpanID())
	}
	if !slices.Equal(got, ids) {
		l.Errorf("%s links to %v, not %v", s.Name, got, ids)
	}
}

func TestOneTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, mqotel.Config{})
		member, err := baggage.NewMember("tenant", "acme")
		l.check(err)
		bag, err := baggage.New(member)
		l.check(err)
		ctx, request := l.traces.Tracer("shop").Start(baggage.ContextWithBaggage(t.Context(), bag), "checkout")
		l.send(ctx, "1")
		request.End()

		var tenant, id string
		l.consume(mq.ConsumerConfig{}, func(ctx context.Context, d *mq.Delivery, stop func()) error {
			defer stop()
			tenant, id = baggage.FromContext(ctx).Member("tenant").Value(), d.ID
			_, span := l.traces.Tracer("shop").Start(ctx, "charge")
			span.End()
			return nil
		})
		if tenant != "acme" {
			t.Errorf("baggage in the handler: %q", tenant)
		}
		send := l.requireSpan("send orders", trace.SpanKindProducer, request.SpanContext(), map[string]string{
			"messaging.operation.name": "send", "messaging.operation.type": "send", "messaging.message.id": id,
		})
		receive := l.requireSpan("receive orders", trace.SpanKindClient, trace.SpanContext{}, map[string]string{
			"messaging.operation.name": "receive", "messaging.operation.type": "receive", "messaging.batch.message_count": "1",
		})
		l.requireLinks(receive, send.SpanContext)
		process := l.requireSpan("process orders", trace.SpanKindConsumer, send.SpanContext, map[string]string{
			"messaging.operation.name": "process", "messaging.operation.type": "process",
			"messaging.message.id": id, "mq.read_count": "1",
		})
		l.requireLinks(process, send.SpanContext)
		ack := l.requireSpan("ack orders", trace.SpanKindClient, process.SpanContext, map[string]string{
			"messaging.operation.name": "ack", "messaging.operation.type": "settle",
		})
		for _, s := range []tracetest.SpanStub{send, process, l.span("charge"), ack} {
			if s.SpanContext.TraceID() != request.SpanContext().TraceID() {
				t.Errorf("%s is not of the trace", s.Name)
			}
		}
		if l.span("charge").Parent.SpanID() != process.SpanContext.SpanID() {
			t.Error("the handler's own span is not below the process span")
		}
	})
}

// A worker may run in a span of its own: its settlements belong to the messages
// all the same, and those of a handler to the handler's spans.
func TestWorkerSpan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, mqotel.Config{})
		l.send(t.Context(), "1", "2")
		tracer := l.traces.Tracer("shop")
		ctx, worker := tracer.Start(t.Context(), "worker")
		n := 0
		l.consumeIn(ctx, mq.ConsumerConfig{Concurrency: 1}, func(ctx context.Context, d *mq.Delivery, stop func()) error {
			if n++; n == 1 {
				return errors.New("not now")
			}
			defer stop()
			ctx, span := tracer.Start(ctx, "charge")
			defer span.End()
			return d.Ack(ctx)
		})
		worker.End()
		nack := l.span("nack orders")
		parents := map[trace.SpanID]string{}
		for _, s := range l.spans.GetSpans() {
			parents[s.SpanContext.SpanID()] = s.Name
		}
		if got := parents[nack.Parent.SpanID()]; got != "process orders" {
			t.Errorf("the nack of the Consumer is below %q", got)
		}
		if got := parents[l.span("ack orders").Parent.SpanID()]; got != "charge" {
			t.Errorf("the ack of the handler is below %q", got)
		}
	})
}

func TestLinkOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, mqotel.Config{LinkOnly: true})
		l.send(t.Context(), "1")
		l.consume(mq.ConsumerConfig{}, func(_ context.Context, _ *mq.Delivery, stop func()) error {
			stop()
			return nil
		})
		send, process := l.span("send orders").SpanContext, l.span("process orders")
		l.requireLinks(process, send)
		if process.SpanContext.TraceID() == send.TraceID() {
			t.Error("the process span is in the sender's trace")
		}
	})
}

func TestBatch(t *testing.T) {
	for _, create := range []bool{false, true} {
		l := newLab(t, mqotel.Config{CreateSpans: create})
		l.send(t.Context(), "1", "2")
		ds, err := l.queue.Receive(t.Context(), mq.ReceiveOptions{Max: 5})
		l.check(err)
		l.check(l.queue.Settle(t.Context(), mq.Settlement{Receipt: ds[0].Receipt, Op: mq.OpAck}, mq.Settlement{Receipt: ds[1].Receipt, Op: mq.OpAck}))

		send, receive := l.span("send orders"), l.span("receive orders")
		created := []trace.SpanContext{send.SpanContext, send.SpanContext}
		want := []string{"ensure", "send orders", "receive orders", "settle orders"}
		kind := trace.SpanKindProducer
		if create {
			want, kind = slices.Insert(want, 1, "create orders", "create orders"), trace.SpanKindClient
			created = []trace.SpanContext{l.spans.GetSpans()[0].SpanContext, l.spans.GetSpans()[1].SpanContext}
			l.requireLinks(send, created...)
		}
		if got := l.names(); !slices.Equal(got, want[1:]) {
			t.Errorf("CreateSpans %v: spans %v, not %v", create, got, want[1:])
		}
		if send.SpanKind != kind {
			t.Errorf("CreateSpans %v: send is of kind %v", create, send.SpanKind)
		}
		l.requireLinks(receive, created...)
		for _, name := range want[len(want)-3:] {
			if n := attributesOf(l.span(name))["messaging.batch.message_count"]; n != "2" {
				t.Errorf("%s has %q messages", name, n)
			}
		}
	}
}

// A message that is passed on stays in its trace.
func TestForwarded(t *testing.T) {
	l := newLab(t, mqotel.Config{})
	h := mq.Headers{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	_, err := l.queue.Send(t.Context(), &mq.Message{Headers: h})
	l.check(err)
	ds, err := l.queue.Receive(t.Context(), mq.ReceiveOptions{})
	l.check(err)
	if got := ds[0].Headers["traceparent"]; got != h["traceparent"] {
		t.Errorf("traceparent became %s", got)
	}
	from := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), h))
	l.requireLinks(l.span("send orders"), from)
}

func TestSenderKeepsItsHeaders(t *testing.T) {
	l := newLab(t, mqotel.Config{})
	m := &mq.Message{Headers: mq.Headers{"k": "v"}}
	_, err := l.queue.Send(t.Context(), m)
	l.check(err)
	if len(m.Headers) != 1 {
		t.Errorf("the caller's headers are %v", m.Headers)
	}
}

func TestNoSpan(t *testing.T) {
	l := newLab(t, mqotel.Config{})
	_, err := l.queue.Receive(t.Context(), mq.ReceiveOptions{})
	l.check(err)
	_, err = l.queue.Stats(t.Context())
	l.check(err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.queue.Receive(ctx, mq.ReceiveOptions{Wait: mq.Forever}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if got := l.names(); len(got) > 0 {
		t.Errorf("spans %v", got)
	}
}

// Calls beside the messaging conventions have a span below one of the caller.
func TestOtherBelowCaller(t *testing.T) {
	l := newLab(t, mqotel.Config{})
	ctx, request := l.traces.Tracer("shop").Start(t.Context(), "checkout")
	_, err := l.queue.Stats(ctx)
	l.check(err)
	_, err = l.client.Queues(ctx)
	l.check(err)
	request.End()
	l.requireSpan("stats orders", trace.SpanKindClient, request.SpanContext(), map[string]string{"messaging.operation.name": "stats"})
	if l.span("list").Parent.SpanID() != request.SpanContext().SpanID() {
		t.Error("list is not below the caller's span")
	}
}

func TestErrorSpans(t *testing.T) {
	l := newLab(t, mqotel.Config{})
	missing := l.client.Queue("missing")
	_, _ = missing.Send(t.Context(), &mq.Message{Body: []byte("secret")})
	_, _ = missing.Receive(t.Context(), mq.ReceiveOptions{})
	_ = missing.Settle(t.Context(), mq.Settlement{Receipt: "x", Op: mq.OpAck})
	for _, name := range []string{"send missing", "receive missing", "settle missing"} {
		s := l.span(name)
		if s.Status.Code != codes.Error || s.Status.Description == "" || attributesOf(s)["error.type"] == "" {
			t.Errorf("%s: status %v, attributes %v", name, s.Status, attributesOf(s))
		}
	}
	if got := attributesOf(l.span("send missing"))["error.type"]; got != "queue_not_found" {
		t.Errorf("error.type is %q", got)
	}
}

func TestPanicEndsSpan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, mqotel.Config{})
		l.send(t.Context(), "1")
		l.consume(mq.ConsumerConfig{}, func(_ context.Context, _ *mq.Delivery, stop func()) error {
			stop()
			panic("no")
		})
		s := l.span("process orders")
		if got := attributesOf(s)["error.type"]; got != "panic" || s.Status.Code != codes.Error {
			t.Errorf("error.type %q, status %v", got, s.Status)
		}
		l.requireSeries("messaging.process.duration", map[string]int64{
			"error.type=panic,messaging.operation.name=process,messaging.operation.type=process": 1,
		})
	})
}

// A Delivery that was not received, as in a handler's own test.
func TestDeliveryByHand(t *testing.T) {
	l := newLab(t, mqotel.Config{})
	h := l.telemetry.Middleware(mq.HandlerFunc(func(context.Context, *mq.Delivery) error { return nil }))
	l.check(h.Handle(t.Context(), &mq.Delivery{}))
	if got := attributesOf(l.span("process")); got["messaging.destination.name"] != "" {
		t.Errorf("attributes %v", got)
	}
}

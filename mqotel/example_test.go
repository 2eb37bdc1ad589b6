package mqotel_test

import (
	"context"
	"fmt"
	"log"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/portmq/mq"
	_ "github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/mqotel"
)

// A message's trace goes on in the handler, and below it in the settlement. A
// program has exporters that send somewhere, and leaves the providers to
// otel.SetTracerProvider and otel.SetMeterProvider.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	spans, reader := tracetest.NewInMemoryExporter(), sdkmetric.NewManualReader()
	t, err := mqotel.New(mqotel.Config{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)),
		MeterProvider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)),
	})
	check(err)

	c, err := mq.OpenConfig("mem://", mq.Config{Interceptors: []mq.Interceptor{t.Interceptor()}})
	check(err)
	defer c.Close()
	q, err := c.EnsureQueue(ctx, "orders", mq.QueueOptions{})
	check(err)
	_, err = t.Observe(q) // the depth of the queue, with each collection
	check(err)

	_, err = q.Send(ctx, &mq.Message{Body: []byte(`{"id":1}`)})
	check(err)
	handler := mq.HandlerFunc(func(context.Context, *mq.Delivery) error {
		stop()
		return nil
	})
	err = q.Consume(ctx, handler, mq.ConsumerConfig{Middleware: []mq.Middleware{t.Middleware}})
	check(err)

	sent := spans.GetSpans()[0]
	for _, s := range spans.GetSpans() {
		fmt.Printf("%-15s %-8v in the sender's trace: %v\n", s.Name, s.SpanKind, s.SpanContext.TraceID() == sent.SpanContext.TraceID())
	}
	var metrics metricdata.ResourceMetrics
	check(reader.Collect(context.Background(), &metrics))
	for _, m := range metrics.ScopeMetrics[0].Metrics {
		fmt.Println(m.Name, m.Unit)
	}
	// Output:
	// send orders     producer in the sender's trace: true
	// receive orders  client   in the sender's trace: false
	// process orders  consumer in the sender's trace: true
	// ack orders      client   in the sender's trace: true
	// messaging.client.operation.duration s
	// messaging.client.sent.messages {message}
	// messaging.client.consumed.messages {message}
	// messaging.process.duration s
	// mq.batch.size {message}
	// mq.queue.depth {message}
	// mq.queue.oldest_age s
	// mq.queue.lag s
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

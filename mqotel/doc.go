// Package mqotel traces and measures package mq with OpenTelemetry, by its
// semantic conventions for messaging.
//
//	t, err := mqotel.New(mqotel.Config{})
//	c, err := mq.OpenConfig(dsn, mq.Config{Interceptors: []mq.Interceptor{t.Interceptor()}})
//	q := c.Queue("orders")
//	_, err = t.Observe(q)
//	err = q.Consume(ctx, handler, mq.ConsumerConfig{Middleware: []mq.Middleware{t.Middleware}})
//
// # Spans
//
// A message carries its creation context in its headers, in the format of W3C
// Trace Context unless Config.Propagator has another one, so that its trace
// continues in the process that handles it.
//
//   - "send QUEUE", producer: the messages of one send. Its context is their
//     creation context, except for messages that already have one in their
//     headers, to which it links.
//   - "create QUEUE", producer: one message of a batch, with
//     Config.CreateSpans. The send span is a client span then, and links to
//     them.
//   - "receive QUEUE", client: the received messages, with a link to the
//     creation context of each. A receive without messages has no span.
//   - "process QUEUE", consumer: a handler at work on one message. It is a
//     child of the creation context and links to it; with Config.LinkOnly it
//     is the root of a trace of its own.
//   - "ack QUEUE", "nack QUEUE", "archive QUEUE" and "move QUEUE", client: a
//     settlement, below the process span of its message. "settle QUEUE" is one
//     of several messages.
//   - "extend QUEUE", "stats QUEUE" and so on, client: any other call, only
//     below a span of the caller, so that heartbeats do not fill the store.
//
// The attributes are messaging.system (the provider's name),
// messaging.destination.name, messaging.operation.name and .type, error.type,
// and on spans messaging.batch.message_count, messaging.message.id and
// mq.read_count. Bodies, headers and receipts are not exported. The text of an
// error is the description of the span's status, unless it may quote a payload.
//
// # Metrics
//
// No metric has an id among its attributes: there are as many series as there
// are queues, operations and kinds of error.
//
//   - messaging.client.operation.duration, histogram, s: every call. A receive
//     counts if it received or failed, and takes as long as it waited.
//   - messaging.client.sent.messages, counter: messages sent, with error.type
//     those that were not stored.
//   - messaging.client.consumed.messages, counter: messages received.
//   - messaging.process.duration, histogram, s: handlers.
//   - mq.batch.size, histogram: messages of a send, a receive, a settlement or
//     an extension, as the caller made it, before mq merges calls.
//   - mq.lease.lost, counter: leases that ended before their message was
//     settled: a stale receipt, or a handler whose context ended for that.
//   - mq.dead_lettered, counter: messages archived or moved.
//   - mq.queue.depth, gauge: messages of a queue by mq.state: visible, leased,
//     delayed, blocked or archived. See Telemetry.Observe.
//   - mq.queue.oldest_age, gauge, s: how long ago the oldest message of a queue
//     was sent, 0 if there is none.
//   - mq.queue.lag, gauge, s: how long the visible message that has been due
//     longest has waited, 0 if none is visible.
//
// An exporter for Prometheus spells them messaging_process_duration_seconds,
// mq_lease_lost_total and so on. docs/grafana-dashboard.json shows them all.
package mqotel

package mqotel

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/portmq/mq"
)

// OnEvent counts the events of Consumers in mq.consumer.events, by kind and by the
// handler's kind of error. It is for ConsumerConfig.OnEvent:
//
//	mq.ConsumerConfig{OnEvent: telemetry.OnEvent}
func (t *Telemetry) OnEvent(ctx context.Context, e mq.Event) {
	q := e.Delivery.Queue()
	l := labels{provider: q.Client().Provider().Name(), queue: q.Name()}
	if e.Kind != mq.EventSnoozed { // a snooze is not a failure
		l.errorType = errorType(e.Err)
	}
	set := append(l.attributes(), attribute.String("mq.event", e.Kind.String()))
	t.inst.events.Add(ctx, 1, metric.WithAttributeSet(attribute.NewSet(set...)))
}

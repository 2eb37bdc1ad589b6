package main

import (
	"context"
	"time"

	"gocloud.dev/pubsub"
	"gocloud.dev/pubsub/mempubsub"
)

// memPubSub is go-cloud's pubsub over mempubsub, with its default batching.
//
// A topic without a subscription drops what it is sent, so the subscription
// comes first. The ack deadline is the visibility timeout of the others. Acks
// are sent in the background: Shutdown waits for them, and belongs to the
// drain.
type memPubSub struct {
	topic *pubsub.Topic
	sub   *pubsub.Subscription
}

func openMemPubSub(int) (peer, error) {
	topic := mempubsub.NewTopic()
	return &memPubSub{topic, mempubsub.NewSubscription(topic, 30*time.Second)}, nil
}

func (m *memPubSub) Send(ctx context.Context, body []byte) error {
	return m.topic.Send(ctx, &pubsub.Message{Body: body})
}

func (m *memPubSub) Drain(ctx context.Context, workers, n int) error {
	err := parallel(workers, n, func() error {
		msg, err := m.sub.Receive(ctx)
		if err == nil {
			msg.Ack()
		}
		return err
	})
	if err != nil {
		return err
	}
	return m.sub.Shutdown(ctx)
}

func (m *memPubSub) Close() { _ = m.topic.Shutdown(context.Background()) }

package main

import (
	"context"
	"errors"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"
)

// watermillConfig is that of a durable queue, which is there already.
func (l *lab) watermillConfig() wamqp.Config {
	cfg := wamqp.NewDurableQueueConfig(l.dsn)
	cfg.TopologyBuilder = asItIs{}
	cfg.Publish.ConfirmDelivery = true
	cfg.Publish.ChannelPoolSize = senders
	cfg.Consume.Qos.PrefetchCount = prefetch
	return cfg
}

// asItIs declares nothing.
type asItIs struct{}

func (asItIs) BuildTopology(*amqp.Channel, wamqp.BuildTopologyParams, wamqp.Config, watermill.LoggerAdapter) error {
	return nil
}

func (asItIs) ExchangeDeclare(*amqp.Channel, string, wamqp.Config) error { return nil }

func watermillMessage() *message.Message { return message.NewMessage(watermill.NewUUID(), body) }

// marshalled is a message as Watermill publishes it.
func marshalled() (amqp.Publishing, error) {
	return wamqp.DefaultMarshaler{}.Marshal(watermillMessage())
}

func (l *lab) watermillSender(ctx context.Context) (s sender, stop func(), err error) {
	name, err := l.queue(ctx, "watermill")
	if err != nil {
		return s, nil, err
	}
	p, err := wamqp.NewPublisher(l.watermillConfig(), watermill.NopLogger{})
	if err != nil {
		return s, nil, err
	}
	send := func(context.Context) error { return p.Publish(name, watermillMessage()) }
	return sender{name, send}, func() { _ = p.Close() }, nil
}

// watermillDrain consumes and acks n messages.
func (l *lab) watermillDrain(ctx context.Context, queue string, n int) (took time.Duration, err error) {
	s, err := wamqp.NewSubscriber(l.watermillConfig(), watermill.NopLogger{})
	if err != nil {
		return 0, err
	}
	start := time.Now()
	msgs, err := s.Subscribe(ctx, queue)
	if err != nil {
		return 0, errors.Join(err, s.Close())
	}
	for range n {
		msg, ok := <-msgs
		if !ok || !msg.Ack() {
			return 0, errors.Join(errors.New("the subscription has ended"), ctx.Err(), s.Close())
		}
	}
	took = time.Since(start)
	time.Sleep(settling)
	return took, s.Close()
}

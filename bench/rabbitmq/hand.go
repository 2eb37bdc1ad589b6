package main

import (
	"context"
	"errors"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// bare is a message as it is published by hand.
func bare() amqp.Publishing {
	return amqp.Publishing{DeliveryMode: amqp.Persistent, Body: body}
}

// handSender publishes on one channel, whoever calls it.
func (l *lab) handSender(ctx context.Context) (sender, error) {
	name, err := l.queue(ctx, "byhand")
	if err != nil {
		return sender{}, err
	}
	ch, err := l.conn.Channel()
	if err != nil {
		return sender{}, err
	}
	return sender{name, func(ctx context.Context) error {
		dc, err := ch.PublishWithDeferredConfirm("", name, true, false, bare())
		if err != nil {
			return err
		}
		return confirmed(ctx, dc)
	}}, ch.Confirm(false)
}

// handDrain consumes and acks n messages.
func (l *lab) handDrain(_ context.Context, queue string, n int) (time.Duration, error) {
	start := time.Now()
	ch, err := l.conn.Channel()
	if err != nil {
		return 0, err
	}
	if err := ch.Qos(prefetch, 0, false); err != nil {
		return 0, err
	}
	ds, err := ch.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		return 0, err
	}
	for range n {
		d, ok := <-ds
		if !ok {
			return 0, errors.New("the channel was closed")
		}
		if err := d.Ack(false); err != nil {
			return 0, err
		}
	}
	took := time.Since(start)
	time.Sleep(settling)
	return took, ch.Close()
}

package main

import (
	"context"
	"errors"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
)

// goChannel is Watermill's pubsub/gochannel. By default a message that finds
// no subscriber is dropped. There are two ways not to lose any, and both are
// measured; either way the subscriber's channel holds all messages, and each
// message waits for its ack in a goroutine of its own, which is how the
// package works.
//
//   - The subscriber comes first. Send then starts the goroutines.
//   - Persistent: the subscriber comes when the drain begins, and starts the
//     goroutines. Nothing is ever freed.
type goChannel struct {
	*gochannel.GoChannel
	messages <-chan *message.Message
}

func newGoChannel(n int, persistent bool) *goChannel {
	return &goChannel{GoChannel: gochannel.NewGoChannel(
		gochannel.Config{OutputChannelBuffer: int64(n), Persistent: persistent}, watermill.NopLogger{})}
}

func openGoChannel(n int) (peer, error) {
	g := newGoChannel(n, false)
	return g, g.subscribe()
}

func openGoChannelPersistent(n int) (peer, error) { return newGoChannel(n, true), nil }

func (g *goChannel) subscribe() (err error) {
	g.messages, err = g.Subscribe(context.Background(), "orders")
	return err
}

func (g *goChannel) Send(_ context.Context, body []byte) error {
	return g.Publish("orders", message.NewMessage(watermill.NewUUID(), body))
}

func (g *goChannel) Drain(_ context.Context, workers, n int) error {
	if g.messages == nil {
		if err := g.subscribe(); err != nil {
			return err
		}
	}
	return parallel(workers, n, func() error {
		if msg := <-g.messages; !msg.Ack() {
			return errors.New("gochannel: not acked")
		}
		return nil
	})
}

func (g *goChannel) Close() { _ = g.GoChannel.Close() }

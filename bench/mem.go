package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/portmq/mq"
	_ "github.com/portmq/mq/drivers/mem"
)

// memQueue is mq on drivers/mem. An ack has taken effect when it returns.
type memQueue struct {
	client *mq.Client
	queue  *mq.Queue
}

func newMemQueue() (*memQueue, error) {
	c, err := mq.Open("mem://")
	if err != nil {
		return nil, err
	}
	q, err := c.EnsureQueue(context.Background(), "orders", mq.QueueOptions{})
	return &memQueue{c, q}, err
}

func openMem(int) (peer, error) { return newMemQueue() }

func (m *memQueue) Send(ctx context.Context, body []byte) error {
	_, err := m.queue.Send(ctx, &mq.Message{Body: body})
	return err
}

func (m *memQueue) Drain(ctx context.Context, workers, n int) error {
	return parallel(workers, n, func() error { return m.receiveAck(ctx) })
}

func (m *memQueue) receiveAck(ctx context.Context) error {
	ds, err := m.queue.Receive(ctx, mq.ReceiveOptions{Visibility: 30 * time.Second})
	switch {
	case err != nil:
		return err
	case len(ds) == 0:
		return errors.New("mem: a message is missing")
	}
	return ds[0].Ack(ctx)
}

func (m *memQueue) Close() { _ = m.client.Close() }

// memConsumer is the same queue, drained by a Consumer.
type memConsumer struct{ *memQueue }

func openMemConsumer(int) (peer, error) {
	m, err := newMemQueue()
	return memConsumer{m}, err
}

func (m memConsumer) Drain(ctx context.Context, workers, n int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var handled atomic.Int64
	err := m.queue.Consume(ctx, func(context.Context, *mq.Delivery) error {
		if handled.Add(1) == int64(n) {
			cancel()
		}
		return nil
	}, mq.ConsumerConfig{Concurrency: workers})
	if err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	s, err := m.queue.Stats(context.Background())
	if err == nil && s.Total != 0 {
		err = fmt.Errorf("mem: %d messages are left", s.Total)
	}
	return err
}

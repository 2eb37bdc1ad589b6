package main

import (
	"context"
	"fmt"
	"time"

	"github.com/portmq/mq"
)

// cycles of send one, receive one, ack one: as many messages are there after
// one as before.
const cycles = 20_000

var states = []string{"visible", "delayed", "leased"}

// growth prints what a cycle costs with ever more messages in the way.
func growth(ctx context.Context, present []int, rounds int) error {
	fmt.Printf("### mq on mem: send one, receive one, ack one, among other messages\n\n")
	head := []string{"the others are"}
	for _, n := range present {
		head = append(head, fmt.Sprintf("%d, µs/cycle", n))
	}
	rows := [][]string{append(head, "growth")}
	for _, state := range states {
		row := []string{state}
		var took []float64
		for _, n := range present {
			d, err := cycleAmong(ctx, state, n, rounds)
			if err != nil {
				return err
			}
			took = append(took, d.Seconds()*1e6)
			row = append(row, fmt.Sprintf("%.2f", took[len(took)-1]))
		}
		rows = append(rows, append(row, fmt.Sprintf("%.2f", took[len(took)-1]/took[0])))
	}
	table(rows)
	return nil
}

// cycleAmong measures a cycle with n messages of a state present.
func cycleAmong(ctx context.Context, state string, n, rounds int) (time.Duration, error) {
	m, err := newMemQueue()
	if err != nil {
		return 0, err
	}
	defer m.Close()
	if err := m.fill(ctx, state, n); err != nil {
		return 0, err
	}
	body := make([]byte, bodySize)
	var took []time.Duration
	for range rounds {
		start := time.Now()
		for range cycles {
			if err := m.Send(ctx, body); err != nil {
				return 0, err
			}
			if err := m.receiveAck(ctx); err != nil {
				return 0, err
			}
		}
		took = append(took, time.Since(start)/cycles)
	}
	return median(took), nil
}

// fill puts n messages of a state into the queue.
func (m *memQueue) fill(ctx context.Context, state string, n int) error {
	const batch = 100
	for n > 0 {
		msgs := make([]*mq.Message, min(n, batch))
		for i := range msgs {
			msgs[i] = &mq.Message{Body: make([]byte, bodySize)}
			if state == "delayed" {
				msgs[i].Delay = time.Hour
			}
		}
		n -= len(msgs)
		if _, err := m.queue.SendAll(ctx, msgs); err != nil {
			return err
		}
		if state == "leased" {
			ds, err := m.queue.Receive(ctx, mq.ReceiveOptions{Max: len(msgs), Visibility: time.Hour})
			if err == nil && len(ds) != len(msgs) {
				err = fmt.Errorf("leased %d of %d", len(ds), len(msgs))
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

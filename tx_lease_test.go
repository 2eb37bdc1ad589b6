package mq_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
)

// A handler settles inside a transaction, in each way there is, and returns
// nil: the Consumer leaves the message alone.
func TestSettlementsInATransactionCount(t *testing.T) {
	for name, tt := range map[string]struct {
		settle func(ctx context.Context, in *mq.TxQueue, d *mq.Delivery) error
		total  int64 // messages left
		count  func(mq.ConsumerStats) int64
	}{
		"ack":             {func(ctx context.Context, in *mq.TxQueue, d *mq.Delivery) error { return in.Ack(ctx, d) }, 0, acked},
		"nack":            {func(ctx context.Context, in *mq.TxQueue, d *mq.Delivery) error { return in.Nack(ctx, d, time.Hour) }, 1, retried},
		"nack at timeout": {func(ctx context.Context, in *mq.TxQueue, d *mq.Delivery) error { return in.Nack(ctx, d, mq.AtTimeout) }, 1, retried},
		"archive":         {func(ctx context.Context, in *mq.TxQueue, d *mq.Delivery) error { return in.Archive(ctx, d, "") }, 0, deadLettered},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, q := openTx(t)
				if _, err := q.Send(t.Context(), new(mq.Message)); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				c := newConsumer(t, q, mq.HandlerFunc(func(ctx context.Context, d *mq.Delivery) error {
					defer cancel()
					tx := p.Begin()
					if err := tt.settle(ctx, q.Tx(tx), d); err != nil {
						t.Error(err)
					}
					if err := d.Extend(ctx, time.Minute); !errors.Is(err, mq.ErrStaleReceipt) {
						t.Errorf("Extend = %v", err)
					}
					return tx.Commit()
				}), mq.ConsumerConfig{})
				if err := c.Run(ctx); err != nil {
					t.Error(err)
				}
				s := c.Stats()
				left, err := q.Stats(t.Context())
				if err != nil || left.Total != tt.total || tt.count(s) != 1 || s.Acked+s.Retried+s.DeadLettered != 1 {
					t.Errorf("%d messages left, want %d, %+v, %v", left.Total, tt.total, s, err)
				}
			})
		})
	}
}

func acked(s mq.ConsumerStats) int64        { return s.Acked }
func retried(s mq.ConsumerStats) int64      { return s.Retried }
func deadLettered(s mq.ConsumerStats) int64 { return s.DeadLettered }

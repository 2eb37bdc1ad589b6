package mq_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/mem"
)

func openTx(t *testing.T) (*mem.Provider, *mq.Queue) {
	t.Helper()
	p := mem.New()
	c := mq.New(p, mq.Config{})
	t.Cleanup(func() { _ = c.Close() })
	return p, queue(c, "q")
}

func TestTxHoldsDeliveriesBack(t *testing.T) {
	p, q := openTx(t)
	if _, err := q.SendAll(t.Context(), []*mq.Message{new(mq.Message), new(mq.Message), new(mq.Message), new(mq.Message)}); err != nil {
		t.Fatal(err)
	}
	ds, err := q.Receive(t.Context(), mq.ReceiveOptions{Max: 4})
	if err != nil {
		t.Fatal(err)
	}
	tx := p.Begin()
	in := q.Tx(tx)
	for i, err := range []error{in.Ack(t.Context(), ds[0]), in.Nack(t.Context(), ds[1], 0), in.Archive(t.Context(), ds[2], "why"), in.Nack(t.Context(), ds[3], mq.AtTimeout)} {
		if err != nil {
			t.Errorf("settlement %d: %v", i, err)
		}
	}
	if s, _ := q.Stats(t.Context()); s.Leased != 4 {
		t.Errorf("before commit: %+v", s)
	}
	if err := ds[0].Extend(t.Context(), time.Minute); !errors.Is(err, mq.ErrStaleReceipt) {
		t.Errorf("a lease that a transaction decides on was extended: %v", err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if s, _ := q.Stats(t.Context()); s.Visible != 1 || s.Leased != 1 || s.Archived != 1 || s.Total != 2 {
		t.Errorf("after commit: %+v", s)
	}
	if err := ds[0].Ack(t.Context()); !errors.Is(err, mq.ErrStaleReceipt) {
		t.Errorf("second ack: %v", err)
	}
}

func TestAckTxRolledBack(t *testing.T) {
	p, q := openTx(t)
	if _, err := q.Send(t.Context(), new(mq.Message)); err != nil {
		t.Fatal(err)
	}
	ds, err := q.Receive(t.Context(), mq.ReceiveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	tx := p.Begin()
	if err := ds[0].AckTx(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := ds[0].Nack(t.Context(), 0); err != nil {
		t.Errorf("Nack after the rollback: %v", err)
	}
}

func TestConsumerWithAckTx(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := mem.New()
		c := mq.New(p, mq.Config{})
		defer c.Close()
		q := queue(c, "q")
		if _, err := q.Send(t.Context(), new(mq.Message)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		tries := 0
		cons := newConsumer(t, q, mq.HandlerFunc(func(ctx context.Context, d *mq.Delivery) error {
			tries++
			tx := p.Begin()
			if err := d.AckTx(ctx, tx); err != nil {
				return err
			}
			if tries == 1 {
				_ = tx.Rollback()
				return errors.New("the database said no")
			}
			cancel()
			return tx.Commit()
		}), mq.ConsumerConfig{})
		if err := cons.Run(ctx); err != nil {
			t.Error(err)
		}
		if s := cons.Stats(); tries != 2 || s.Retried != 1 || s.Acked != 1 {
			t.Errorf("%d tries, %+v", tries, s)
		}
		if s, _ := q.Stats(t.Context()); s.Total != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestTxRefuses(t *testing.T) {
	p, q := openTx(t)
	tx := p.Begin()
	in := q.Tx(tx)
	if _, err := in.Send(t.Context(), nil); !errors.Is(err, mq.ErrInvalid) {
		t.Errorf("nil message: %v", err)
	}
	if err := in.Ack(t.Context(), &mq.Delivery{}); !errors.Is(err, mq.ErrInvalid) {
		t.Errorf("a delivery made by hand: %v", err)
	}
	if err := in.Nack(t.Context(), &mq.Delivery{}, -1); !errors.Is(err, mq.ErrInvalid) {
		t.Errorf("negative delay: %v", err)
	}
	if _, err := q.Tx(mem.New().Begin()).Send(t.Context(), &mq.Message{}); !errors.Is(err, mq.ErrInvalid) {
		t.Error("a transaction of another store was taken")
	}
	if err := new(mq.Delivery).AckTx(t.Context(), tx); !errors.Is(err, mq.ErrInvalid) {
		t.Errorf("delivery made by hand: %v", err)
	}
}

// A delivery of another queue is refused before anything is run, and can still be
// settled.
func TestTxOfAnotherQueue(t *testing.T) {
	p, q := openTx(t)
	other, err := q.Client().EnsureQueue(t.Context(), "other", mq.QueueOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Send(t.Context(), new(mq.Message)); err != nil {
		t.Fatal(err)
	}
	ds, err := other.Receive(t.Context(), mq.ReceiveOptions{})
	if err != nil || len(ds) != 1 {
		t.Fatal(ds, err)
	}
	tx := p.Begin()
	if err := q.Tx(tx).Ack(t.Context(), ds[0]); !errors.Is(err, mq.ErrInvalid) || !strings.Contains(err.Error(), `"other"`) {
		t.Errorf("an ack in the wrong queue: %v", err)
	}
	if err := errors.Join(tx.Commit(), ds[0].Ack(t.Context())); err != nil {
		t.Error(err)
	}
}

func newConsumer(t *testing.T, q *mq.Queue, h mq.Handler, cfg mq.ConsumerConfig) *mq.Consumer {
	t.Helper()
	c, err := mq.NewConsumer(q, h, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// AckAll takes effect with the commit, for all or for none.
func TestAckAll(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(t *testing.T, ds []*mq.Delivery)
		end   func(tx *mem.Tx) error
		fails bool
		left  int64
	}{
		"commit":       {nil, (*mem.Tx).Commit, false, 0},
		"rollback":     {nil, (*mem.Tx).Rollback, false, 2500},
		"settled":      {func(t *testing.T, ds []*mq.Delivery) { ack(t, ds[1700]) }, (*mem.Tx).Rollback, true, 2499},
		"stale":        {func(t *testing.T, ds []*mq.Delivery) { ds[1700].Receipt = ds[3].Receipt }, (*mem.Tx).Rollback, true, 2500},
		"from nowhere": {func(t *testing.T, ds []*mq.Delivery) { ds[1] = new(mq.Delivery) }, (*mem.Tx).Rollback, true, 2500},
	} {
		t.Run(name, func(t *testing.T) {
			p, q := openTx(t)
			msgs := make([]*mq.Message, 2500)
			for i := range msgs {
				msgs[i] = new(mq.Message)
			}
			if _, err := q.SendAll(t.Context(), msgs); err != nil {
				t.Fatal(err)
			}
			var ds []*mq.Delivery
			for len(ds) < len(msgs) {
				more, err := q.Receive(t.Context(), mq.ReceiveOptions{Max: 1000, Visibility: time.Hour})
				if err != nil || len(more) == 0 {
					t.Fatal(len(more), err)
				}
				ds = append(ds, more...)
			}
			if tt.spoil != nil {
				tt.spoil(t, ds)
			}
			tx := p.Begin()
			if err := q.Tx(tx).AckAll(t.Context(), ds); (err != nil) != tt.fails {
				t.Errorf("AckAll = %v", err)
			}
			if err := tt.end(tx); err != nil {
				t.Error(err)
			}
			s, err := q.Stats(t.Context())
			if err != nil || s.Total != tt.left {
				t.Errorf("%d messages are left, want %d, %v", s.Total, tt.left, err)
			}
			if name == "rollback" || name == "settled" { // the others can still be settled
				ack(t, ds[0])
			}
		})
	}
	_, q := openTx(t)
	if err := q.Tx(nil).AckAll(t.Context(), nil); !errors.Is(err, mq.ErrInvalid) {
		t.Errorf("AckAll without a transaction = %v", err)
	}
}

func ack(t *testing.T, d *mq.Delivery) {
	t.Helper()
	if err := d.Ack(t.Context()); err != nil {
		t.Error(err)
	}
}

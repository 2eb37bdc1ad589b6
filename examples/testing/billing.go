// Package billing is a handler, and its tests show how to test one: what its
// errors lead to, what it sends, hours of waiting in no time, and a backend that
// fails on purpose.
package billing

import (
	"context"
	"errors"
	"time"

	"github.com/portmq/mq"
)

// Order is what the handler gets.
type Order struct {
	ID   int
	Card string
}

// Errors of a Bank.
var (
	ErrDeclined = errors.New("card declined")
	ErrBusy     = errors.New("bank is busy")
)

// Bank charges cards. Charging an order twice must have no effect.
type Bank interface {
	Charge(ctx context.Context, o Order) error
}

// Biller charges orders and has their receipts mailed a day later.
type Biller struct {
	Bank  Bank
	Mails *mq.Queue
}

// Handle charges one order. A busy bank is asked again in half an hour.
func (b *Biller) Handle(ctx context.Context, o Order) error {
	err := b.Bank.Charge(ctx, o)
	switch {
	case errors.Is(err, ErrDeclined):
		return mq.Reject(err)
	case errors.Is(err, ErrBusy):
		return mq.Retry(30*time.Minute, err)
	case err != nil:
		return err
	}
	_, err = mq.Of[Order](b.Mails).Send(ctx, o, mq.Delay(24*time.Hour))
	return err
}

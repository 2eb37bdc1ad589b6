package main

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Order is one line of the input.
type Order struct {
	ID       int64  `json:"id"`
	Customer string `json:"customer"`
	Item     string `json:"item"`
	Cents    int64  `json:"cents"`
	Bank     string `json:"bank"`
}

// check says why an order can never be processed.
func (o Order) check() error {
	switch {
	case o.ID <= 0:
		return errors.New("order without an id")
	case o.Customer == "":
		return errors.New("order without a customer")
	case o.Cents <= 0:
		return errors.New("order without an amount")
	}
	return nil
}

var (
	errDeclined  = errors.New("card declined")
	errBusy      = errors.New("bank is busy")
	errDown      = errors.New("bank is down")
	errDuplicate = errors.New("order was processed before")
)

// bank stands for a service of somebody else. The order says which one it is:
// "flaky" answers at the third call, "down" never, and "strict" declines.
type bank struct {
	mu    sync.Mutex
	calls map[int64]int // of flaky orders
}

// charge takes a few milliseconds. The order's id is the idempotency key: a
// second charge of one order is none.
func (b *bank) charge(ctx context.Context, o Order) error {
	select {
	case <-time.After(time.Duration(4+o.ID%9) * time.Millisecond):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	switch {
	case o.Bank == "strict":
		return errDeclined
	case o.Bank == "down":
		return errDown
	case o.Bank == "flaky" && b.call(o.ID) < 3:
		return errBusy
	}
	return nil
}

// call returns how often the bank was called for an order.
func (b *bank) call(id int64) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls[id]++
	return b.calls[id]
}

// ledger is the effect of the job. Delivery is at least once, so it is the
// ledger that sees to it that an order takes effect once.
type ledger struct {
	mu      sync.Mutex
	entries []entry
	posted  map[int64]string // order to message
}

type entry struct {
	message  string
	customer string
	cents    int64
	at       time.Time
}

// post enters an order that came in a message, and reports whether it is new.
func (l *ledger) post(o Order, message string) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch by, ok := l.posted[o.ID]; {
	case ok && by != message:
		return false, errDuplicate
	case ok:
		return false, nil // the message was delivered again after its effect
	}
	l.posted[o.ID] = message
	l.entries = append(l.entries, entry{message, o.Customer, o.Cents, time.Now()})
	return true, nil
}

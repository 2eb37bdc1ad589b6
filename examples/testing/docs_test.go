package billing_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/mqtest"
)

// The tests that README.md and docs/testing.md show. remind, book and outbox
// stand for the code of a program that is to be tested.

// Order is what their queue holds.
type Order struct {
	ID   int    `json:"id"`
	Card string `json:"card"`
}

var errCardDeclined = errors.New("card declined")

func pay(_ context.Context, o Order) error {
	if o.Card == "stolen" {
		return errCardDeclined
	}
	return nil
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// remind sends an order to those who send mails, in half an hour.
func remind(ctx context.Context, mails *mq.Queue, o Order) error {
	_, err := mq.Of[Order](mails).Send(ctx, o, mq.Delay(30*time.Minute))
	return err
}

// book is a handler.
func book(ctx context.Context, o Order) error {
	err := pay(ctx, o)
	if errors.Is(err, errCardDeclined) {
		return mq.Reject(err)
	}
	return err
}

// transaction is what outbox needs of *sql.Tx.
type transaction interface {
	mq.SQLTx
	Commit() error
	Rollback() error
}

// outbox sends a mail if and only if the order is stored.
func outbox(ctx context.Context, tx transaction, mails *mq.Queue, store func(Order) error, o Order) error {
	defer func() { _ = tx.Rollback() }()
	if err := store(o); err != nil { // in SQL, with tx.ExecContext
		return err
	}
	out := mails.Tx(tx)
	if _, err := out.Send(ctx, &mq.Message{Body: []byte("thank you")}); err != nil {
		return err
	}
	return tx.Commit()
}

func TestDocsCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, err := mqtest.New(t).EnsureQueue(t.Context(), "orders", mq.QueueOptions{})
		check(err)
		_, err = q.Send(t.Context(), &mq.Message{Body: []byte("order 1")})
		check(err)
		half := mq.ReceiveOptions{Visibility: 30 * time.Minute}
		_, err = q.Receive(t.Context(), half) // a worker takes it, and crashes
		check(err)

		time.Sleep(30 * time.Minute)
		ds, err := q.Receive(t.Context(), half)
		if err != nil || len(ds) != 1 || ds[0].ReadCount != 2 {
			t.Errorf("after half an hour: %v, %v", ds, err)
		}
	})
}

func TestDocsReminder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mails, err := mqtest.New(t).EnsureQueue(t.Context(), "mails", mq.QueueOptions{})
		check(err)
		check(remind(t.Context(), mails, Order{ID: 7}))

		o := mqtest.RequireSent(t, mails, func(o Order) bool { return o.ID == 7 })
		if o.Card != "" {
			t.Error("the card's name must not be mailed")
		}
		start := time.Now()
		ds, err := mails.Receive(t.Context(), mq.ReceiveOptions{Wait: mq.Forever})
		check(err)
		if after := time.Since(start); after != 30*time.Minute {
			t.Errorf("reminded after %v", after)
		}
		check(ds[0].Ack(t.Context()))
		mqtest.RequireEmpty(t, mails)
	})
}

func TestDocsOutcome(t *testing.T) {
	handler := mq.Of[Order](mqtest.New(t).Queue("orders")).Handler(book)

	got := mqtest.Deliver(t, handler, mq.Message{Body: []byte(`{"id":2,"card":"stolen"}`)})
	if !got.DeadLettered || got.Reason != "card declined" {
		t.Errorf("a declined card: %+v", got)
	}
	got = mqtest.Deliver(t, handler, mq.Message{Body: []byte(`{"id":3,"card":"visa"}`)})
	if !got.Acked {
		t.Errorf("a good card: %+v", got)
	}
}

func TestDocsLostAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := mqtest.Faulty(mem.New(), mqtest.Fault{
			Op:      "settle",
			When:    mqtest.Nth(1),
			Applied: true, // the ack arrives, its answer does not
			Err:     mq.ErrUnavailable,
		})
		c := mq.New(p, mq.Config{})
		defer c.Close()
		q, err := c.EnsureQueue(t.Context(), "orders", mq.QueueOptions{})
		check(err)
		_, err = mq.Of[Order](q).Send(t.Context(), Order{ID: 1})
		check(err)

		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		booked := 0
		check(mq.Of[Order](q).Consume(ctx, func(context.Context, Order) error {
			booked++
			return nil
		}, mq.ConsumerConfig{}))
		if booked != 1 {
			t.Errorf("booked %d times", booked)
		}
		mqtest.RequireEmpty(t, q)
	})
}

func TestDocsOutbox(t *testing.T) {
	p := mem.New()
	c := mq.New(p, mq.Config{})
	defer c.Close()
	mails, err := c.EnsureQueue(t.Context(), "mails", mq.QueueOptions{})
	check(err)

	full := func(Order) error { return errors.New("disk full") }
	if err := outbox(t.Context(), p.Begin(), mails, full, Order{ID: 1}); err == nil {
		t.Error("no error")
	}
	mqtest.RequireEmpty(t, mails)

	stored := func(Order) error { return nil }
	check(outbox(t.Context(), p.Begin(), mails, stored, Order{ID: 1}))
	if s, err := mails.Stats(t.Context()); err != nil || s.Total != 1 {
		t.Errorf("%+v, %v", s, err)
	}
}

package billing_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/drivers/rabbitstub"
	billing "github.com/portmq/mq/examples/testing"
	"github.com/portmq/mq/mqtest"
)

// bank answers as planned, call after call, and then with nil.
type bank struct {
	answers []error
	calls   int
}

func (b *bank) Charge(context.Context, billing.Order) (err error) {
	b.calls++
	if len(b.answers) > 0 {
		err, b.answers = b.answers[0], b.answers[1:]
	}
	return err
}

// queue makes a queue, or ends the test.
func queue(t *testing.T, c *mq.Client, name string) *mq.Queue {
	t.Helper()
	q, err := c.EnsureQueue(t.Context(), name, mq.QueueOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

var silent = mq.Config{Logger: slog.New(slog.DiscardHandler)}

// What the queue makes of the handler's result.
func TestOutcome(t *testing.T) {
	for _, tt := range []struct {
		answer error
		want   mqtest.Outcome
	}{
		{nil, mqtest.Outcome{Acked: true}},
		{billing.ErrBusy, mqtest.Outcome{Retried: true, After: 30 * time.Minute}},
		{billing.ErrDeclined, mqtest.Outcome{DeadLettered: true, Reason: "card declined"}},
	} {
		mails := queue(t, mqtest.New(t), "mails")
		biller := &billing.Biller{Bank: &bank{answers: []error{tt.answer}}, Mails: mails}
		handler := mq.Of[billing.Order](mails).Handler(biller.Handle)

		got := mqtest.Deliver(t, handler, mq.Message{Body: []byte(`{"ID":1}`)})
		if !errors.Is(got.Err, tt.answer) {
			t.Errorf("%v: the handler returned %v", tt.answer, got.Err)
		}
		if got.Err = nil; got != tt.want {
			t.Errorf("%v: %+v, want %+v", tt.answer, got, tt.want)
		}
	}
}

// bill runs the biller on one order until the queue is empty.
func bill(t *testing.T, c *mq.Client, b *bank) (mails *mq.Queue) {
	t.Helper()
	orders, mails := queue(t, c, "orders"), queue(t, c, "mails")
	biller := &billing.Biller{Bank: b, Mails: mails}
	if _, err := mq.Of[billing.Order](orders).Send(t.Context(), billing.Order{ID: 1}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 12*time.Hour)
	defer stop()
	if err := mq.Of[billing.Order](orders).Consume(ctx, biller.Handle, mq.ConsumerConfig{}); err != nil {
		t.Fatal(err)
	}
	return mails
}

// In a bubble the twelve hours take no time.
func TestBusyBank(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bank{answers: []error{billing.ErrBusy, billing.ErrBusy}}
		mails := bill(t, mqtest.New(t), b)
		if b.calls != 3 {
			t.Errorf("the bank was asked %d times", b.calls)
		}
		mqtest.RequireSent(t, mails, func(o billing.Order) bool { return o.ID == 1 })
	})
}

// The first mail cannot be sent, so that the order is charged again. To give it
// back takes three attempts, which mq makes by itself.
func TestBrokenBackend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := mqtest.Faulty(mem.New())
		c := mq.New(p, silent)
		defer c.Close()
		p.Plan(
			mqtest.Fault{Op: "send", When: mqtest.Nth(2), Err: mq.ErrUnavailable}, // the first is the order's
			mqtest.Fault{Op: "settle", When: mqtest.First(2), Err: mq.ErrBadConn},
		)
		b := new(bank)
		mails := bill(t, c, b)
		if b.calls != 2 {
			t.Errorf("the bank was asked %d times", b.calls)
		}
		mqtest.RequireSent[billing.Order](t, mails, nil)
		mqtest.RequireEmpty(t, c.Queue("orders"))
	})
}

// RabbitMQ closes the connection in the middle of a charge: the message comes
// again, so that the bank is asked twice.
func TestLostConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := rabbitstub.New()
		c := mq.New(p, silent)
		defer c.Close()
		b := &hangingBank{hang: p.Broker().Disconnect}
		orders, mails := queue(t, c, "orders"), queue(t, c, "mails")
		biller := &billing.Biller{Bank: b, Mails: mails}
		if _, err := mq.Of[billing.Order](orders).Send(t.Context(), billing.Order{ID: 1}); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		if err := mq.Of[billing.Order](orders).Consume(ctx, biller.Handle, mq.ConsumerConfig{}); err != nil {
			t.Fatal(err)
		}
		if b.calls != 2 || !errors.Is(b.cause, mq.ErrStaleReceipt) {
			t.Errorf("the bank was asked %d times, the first was ended by %v", b.calls, b.cause)
		}
	})
}

// hangingBank does something at its first call, and then waits for its context.
type hangingBank struct {
	hang  func()
	calls int
	cause error
}

func (b *hangingBank) Charge(ctx context.Context, _ billing.Order) error {
	if b.calls++; b.calls > 1 {
		return nil
	}
	b.hang()
	<-ctx.Done()
	b.cause = context.Cause(ctx)
	return b.cause
}

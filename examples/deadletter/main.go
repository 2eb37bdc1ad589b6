// Deadletter shows what becomes of messages that cannot be processed: they are
// set aside with a reason, somebody looks at them, and those whose cause is
// mended come back.
//
//	go run ./examples/deadletter
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/portmq/mq"
	_ "github.com/portmq/mq/drivers/mem"
)

// Order is what the queue carries.
type Order struct {
	ID   int
	Card string
}

func main() {
	dsn := flag.String("dsn", "mem://", "the `provider` to use, one that can show its archive")
	flag.Parse()
	if err := run(context.Background(), *dsn, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "deadletter:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dsn string, out io.Writer) error {
	c, err := mq.Open(dsn)
	if err != nil {
		return err
	}
	defer c.Close()
	q, err := c.EnsureQueue(ctx, "orders", mq.QueueOptions{})
	if err != nil {
		return err
	}
	for _, body := range []string{`{"ID":1,"Card":"visa"}`, `{"ID":2,"Card":"stolen"}`, `{"ID":3,"Card":"amex"}`, `order 4`} {
		if _, err := q.Send(ctx, &mq.Message{Body: []byte(body)}); err != nil {
			return err
		}
	}
	if err := work(ctx, q, charge); err != nil {
		return err
	}
	mended, err := inspect(ctx, q, out)
	if err != nil {
		return err
	}
	n, err := q.Redrive(ctx, mq.RedriveOptions{IDs: mended})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "came back:", n)
	if err := work(ctx, q, chargeMended); err != nil {
		return err
	}
	n, err = q.PurgeArchive(ctx, mq.AnyAge)
	fmt.Fprintln(out, "thrown away:", n)
	return err
}

// work processes orders until none is left.
func work(ctx context.Context, q *mq.Queue, charge func(Order) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		defer stop()
		for s, err := q.Stats(ctx); err == nil && s.Total > 0; s, err = q.Stats(ctx) {
			time.Sleep(5 * time.Millisecond)
		}
	}()
	return mq.Of[Order](q).Consume(ctx, func(_ context.Context, o Order) error {
		return charge(o)
	}, mq.ConsumerConfig{
		MaxAttempts: 3, // then it is a dead letter; without a limit it would come for ever
		Backoff:     mq.Exponential(5*time.Millisecond, time.Second),
		OnEvent: func(_ context.Context, e mq.Event) {
			if e.Kind == mq.EventDeadLetter {
				alarm(e.Reason)
			}
		},
	})
}

// alarm is the place for an alarm. Each failure is a line in the log as well.
func alarm(string) {}

var errDown = errors.New("bank is down")

func charge(o Order) error {
	switch o.Card {
	case "stolen":
		return mq.Reject(errors.New("card declined")) // no use in trying again
	case "amex":
		return errDown // may get better: again, up to MaxAttempts
	}
	return nil
}

// chargeMended is charge a day later.
func chargeMended(o Order) error {
	if err := charge(o); !errors.Is(err, errDown) {
		return err
	}
	return nil
}

// inspect pages through the archive and returns the ids of those orders that
// deserve another chance.
func inspect(ctx context.Context, q *mq.Queue, out io.Writer) (mended []string, err error) {
	page := mq.BrowseOptions{Limit: 2}
	for {
		dead, err := q.Archived(ctx, page)
		if err != nil || len(dead) == 0 {
			return mended, err
		}
		for _, r := range dead {
			fmt.Fprintf(out, "dead letter %s, read %d times: %s\n", r.ID, r.ReadCount, r.Reason())
			if r.ReadCount > 1 { // it was tried until the limit
				mended = append(mended, r.ID)
			}
		}
		page.After = dead[len(dead)-1].ID
	}
}

// Delayed sends for later, and tries again later: after a pause that the
// handler names, or one that grows with each failure.
//
//	go run ./examples/delayed
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
	_ "github.com/portmq/mq/drivers/rabbitstub"
)

func main() {
	dsn := flag.String("dsn", "mem://", "the `provider` to use: mem:// or rabbitstub://")
	flag.Parse()
	if err := run(context.Background(), *dsn, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "delayed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dsn string, out io.Writer) error {
	c, err := mq.Open(dsn)
	if err != nil {
		return err
	}
	defer c.Close()
	q, err := c.EnsureQueue(ctx, "mails", mq.QueueOptions{})
	if err != nil {
		return err
	}
	mails := mq.Of[string](q)
	if err := remind(ctx, mails, out); err != nil {
		return err
	}
	return deliver(ctx, mails, out)
}

// remind sends a message that nobody gets before its time.
func remind(ctx context.Context, mails mq.TypedQueue[string], out io.Writer) error {
	const later = 200 * time.Millisecond
	if _, err := mails.Send(ctx, "reminder", mq.Delay(later)); err != nil {
		return err
	}
	sent := time.Now()
	ds, err := mails.Receive(ctx, mq.ReceiveOptions{Wait: mq.Forever})
	if err != nil {
		return err
	}
	mail, err := ds[0].Value()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: at least %v later: %v\n", mail, later, time.Since(sent) >= later-time.Millisecond)
	return ds[0].Ack(ctx)
}

var (
	errNoAnswer = errors.New("no answer")
	errTooMany  = errors.New("too many mails")
)

// smtp stands for a server with a bad day.
func smtp(try int) error {
	switch try {
	case 1, 2:
		return errNoAnswer
	case 3:
		return errTooMany
	}
	return nil
}

// deliver tries until the mail is gone.
func deliver(ctx context.Context, mails mq.TypedQueue[string], out io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if _, err := mails.Send(ctx, "invoice"); err != nil {
		return err
	}
	return mails.Consume(ctx, func(ctx context.Context, mail string) error {
		d, _ := mq.FromContext(ctx)
		err := smtp(d.ReadCount)
		fmt.Fprintf(out, "%s, try %d: %v\n", mail, d.ReadCount, err)
		switch {
		case err == nil:
			stop()
		case errors.Is(err, errTooMany):
			return mq.Retry(100*time.Millisecond, err) // as the server asked for
		}
		return err // any other error: after Backoff
	}, mq.ConsumerConfig{
		Backoff:     mq.Exponential(10*time.Millisecond, time.Second), // 10 ms, 20 ms, 40 ms ... by a fifth either way
		MaxAttempts: 10,                                               // then it is a dead letter
	})
}

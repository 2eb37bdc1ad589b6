package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/portmq/mq"
	_ "github.com/portmq/mq/drivers/rabbitmq"
)

const (
	bodySize = 512
	senders  = 64  // how many send at the same time
	workers  = 16  // of the Consumer
	prefetch = 100 // of those who have no Consumer
)

// body is what is sent.
var body = bytes.Repeat([]byte("x"), bodySize)

// plan says how much to do.
type plan struct {
	rounds int
	quick  bool
}

// size returns n, or little of it for a quick run.
func (p plan) size(n int) int {
	if p.quick {
		return n / 50
	}
	return n
}

// span is size for durations.
func (p plan) span(d time.Duration) time.Duration {
	if p.quick {
		return d / 10
	}
	return d
}

// lab is the place of one figure: mq, a connection without it, and queues.
type lab struct {
	plan
	dsn    string
	client *mq.Client
	conn   *amqp.Connection
	admin  *amqp.Channel // fills, empties and counts; one goroutine at a time
	queues []string
}

func open(ctx context.Context, p plan, dsn string) (*lab, error) {
	client, err := mq.Open(dsn)
	if err != nil {
		return nil, err
	}
	l := &lab{plan: p, dsn: dsn, client: client}
	if err := l.connect(ctx); err != nil {
		return nil, errors.Join(err, l.close(ctx))
	}
	return l, nil
}

// connect opens what is used by hand. Its connection ends with ctx, and so
// does whatever waits for the broker.
func (l *lab) connect(ctx context.Context) (err error) {
	if l.conn, err = amqp.Dial(l.dsn); err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = l.conn.Close() })
	if l.admin, err = l.conn.Channel(); err != nil {
		return err
	}
	return l.admin.Confirm(false)
}

// close drops the queues and ends the connections.
func (l *lab) close(ctx context.Context) error {
	var errs []error
	for _, q := range l.queues {
		errs = append(errs, l.client.DropQueue(ctx, q))
	}
	if l.conn != nil {
		_ = l.conn.Close()
	}
	return errors.Join(append(errs, l.client.Close())...)
}

// queue makes a queue for one of those who are measured.
func (l *lab) queue(ctx context.Context, whose string) (string, error) {
	name := fmt.Sprintf("mq_bench_%s_%d", whose, os.Getpid())
	l.queues = append(l.queues, name)
	_, err := l.client.EnsureQueue(ctx, name, mq.QueueOptions{})
	return name, err
}

// clear empties a queue.
func (l *lab) clear(queue string) error {
	_, err := l.admin.QueuePurge(queue, false)
	return err
}

// settling is how long peers keep a channel open after their last ack, off the
// clock: of messages that were acked right before it is closed RabbitMQ 3.10
// may give some back. mq gets no such time, since its acks are to be certain.
// It is also how long to wait for messages that come back.
const settling = 200 * time.Millisecond

// patience is how long the broker may take to give back what a channel held
// that was closed.
const patience = 5 * time.Second

// holds fails if a queue does not hold n messages: who loses some is fast.
func (l *lab) holds(queue string, n int) error {
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		info, err := l.admin.QueueDeclarePassive(queue, true, false, false, false, nil)
		if err != nil || info.Messages == n {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s holds %d messages, want %d", queue, info.Messages, n)
		}
	}
}

// A store puts n messages into a queue and returns when they are confirmed.
type store func(ctx context.Context, queue string, n int) error

// fillSize is how many messages are stored at a time.
const fillSize = 1000

// fill empties a queue and puts n messages into it.
func (l *lab) fill(ctx context.Context, queue string, n int, some store) error {
	if err := l.clear(queue); err != nil {
		return err
	}
	for left := n; left > 0; left -= fillSize {
		if err := some(ctx, queue, min(left, fillSize)); err != nil {
			return err
		}
	}
	return l.holds(queue, n)
}

// stored publishes what next makes.
func (l *lab) stored(next func() (amqp.Publishing, error)) store {
	return func(ctx context.Context, queue string, n int) error {
		confirms := make([]*amqp.DeferredConfirmation, n)
		for i := range confirms {
			msg, err := next()
			if err != nil {
				return err
			}
			if confirms[i], err = l.admin.PublishWithDeferredConfirm("", queue, true, false, msg); err != nil {
				return err
			}
		}
		for _, dc := range confirms {
			if err := confirmed(ctx, dc); err != nil {
				return err
			}
		}
		return nil
	}
}

// confirmed waits until the broker has stored a message.
func confirmed(ctx context.Context, dc *amqp.DeferredConfirmation) error {
	acked, err := dc.WaitContext(ctx)
	if err == nil && !acked {
		err = errors.New("a message was not confirmed")
	}
	return err
}

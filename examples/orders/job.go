package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/portmq/mq"
)

// workers is how many orders are processed at once.
const workers = 8

// job sends orders to a queue and processes them.
type job struct {
	queue    *mq.Queue
	consumer *mq.Consumer
	inOrder  bool          // each customer's orders one after the other
	patience time.Duration // without any progress
	bank     bank
	ledger   ledger
	tally    *tally
}

func newJob(queue *mq.Queue, t *tally) (*job, error) {
	j := &job{
		queue:    queue,
		inOrder:  queue.Client().Caps().Groups,
		patience: time.Minute,
		bank:     bank{calls: make(map[int64]int)},
		ledger:   ledger{posted: make(map[int64]string)},
		tally:    t,
	}
	var err error
	j.consumer, err = mq.NewConsumer(queue, mq.Of[Order](queue).Handler(j.process), j.config())
	return j, err
}

func (j *job) config() mq.ConsumerConfig {
	cfg := mq.ConsumerConfig{
		Concurrency: workers,
		MaxAttempts: 4,
		Backoff:     mq.Exponential(20*time.Millisecond, 80*time.Millisecond), // seconds, in real life
		SoftStop:    5 * time.Second,
	}
	if j.inOrder {
		cfg.Groups = mq.ByGroup()
	}
	return cfg
}

// process is the handler. What it returns decides what becomes of the message:
// nil deletes it, mq.Reject makes it a dead letter, and any other error lets
// it come back after a while, four times at most. A line that is no order does
// not get here: it is a dead letter already.
func (j *job) process(ctx context.Context, o Order) error {
	if err := o.check(); err != nil {
		return mq.Reject(err)
	}
	switch err := j.bank.charge(ctx, o); {
	case errors.Is(err, errDeclined):
		return mq.Reject(err)
	case err != nil:
		return err
	}
	d, _ := mq.FromContext(ctx)
	isNew, err := j.ledger.post(o, d.ID)
	if err != nil {
		return mq.Reject(err)
	}
	if isNew {
		j.tally.update(func(t *tally) { t.Processed++ })
	}
	return nil
}

// run feeds the queue and consumes it until all that was sent is finished, or
// ctx ends.
func (j *job) run(ctx context.Context, in io.Reader) error {
	work, stop := context.WithCancel(ctx)
	defer stop()
	consumed := make(chan error, 1)
	go func() {
		consumed <- j.consumer.Run(work)
		stop() // without a consumer there is no use in feeding
	}()
	err := j.feed(work, in)
	if err == nil {
		err = j.await(work)
	}
	stop()
	err = cmp.Or(<-consumed, err)
	if err != nil && ctx.Err() != nil {
		return j.tally.snapshot().unfinished()
	}
	return err
}

// await waits until all is finished, but not for what never comes.
func (j *job) await(ctx context.Context) error {
	tick := time.NewTicker(j.patience)
	defer tick.Stop()
	for before := j.tally.snapshot(); ; {
		select {
		case <-j.tally.done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		now := j.tally.snapshot()
		if now.finished() == before.finished() {
			return fmt.Errorf("nothing was finished for %v: %w", j.patience, now.unfinished())
		}
		before = now
	}
}

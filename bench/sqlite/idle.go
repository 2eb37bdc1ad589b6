package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/bench/internal/measure"
)

// idleFor is how long a process is observed, after as much as idleAfter.
const (
	idleFor   = 10 * time.Second
	idleAfter = 3 * time.Second
)

// idle measures the CPU time of a process with an idle Consumer, and of one that
// only sleeps, side by side.
func idle(ctx context.Context, l *lab) ([]row, error) {
	if _, err := l.queue(ctx, "mq.db"); err != nil {
		return nil, err
	}
	dsn := l.dsn("mq.db", l.synchronous)
	if err := l.close(); err != nil {
		return nil, err
	}
	names := []string{"consumer", "empty"}
	used := make([][]float64, len(names))
	for range l.rounds {
		round := make([]time.Duration, len(names))
		errs := make(chan error)
		for i, name := range names {
			go func() { errs <- runChild(ctx, name, dsn, &round[i]) }()
		}
		if err := errors.Join(<-errs, <-errs); err != nil {
			return nil, err
		}
		for i := range names {
			used[i] = append(used[i], round[i].Seconds()/idleFor.Seconds())
		}
	}
	share := func(xs []float64) string { return fmt.Sprintf("%.3f %%", 100*measure.Median(xs)) }
	return []row{{
		what: "CPU of an idle Consumer", ours: share(used[0]), peer: "an empty program " + share(used[1]),
		spread: spread(millis(used[0]), "%.2f ms/s"),
	}}, nil
}

// idleConsumer is the main function of a process that waits for messages.
func idleConsumer(ctx context.Context, dsn string) error {
	return onQueue(dsn, func(q *mq.Queue) error {
		ctx, stop := context.WithCancel(ctx)
		consumed := make(chan error, 1)
		go func() {
			consumed <- q.Consume(ctx, func(context.Context, *mq.Delivery) error { return nil }, mq.ConsumerConfig{})
		}()
		err := printUse(ctx)
		stop()
		return errors.Join(err, <-consumed)
	})
}

// emptyProgram is that of one that does nothing.
func emptyProgram(ctx context.Context, _ string) error { return printUse(ctx) }

// printUse prints the CPU time that the process takes from now on.
func printUse(ctx context.Context) error {
	pause(ctx, idleAfter)
	before, err := cpuTime()
	if err != nil {
		return err
	}
	pause(ctx, idleFor)
	after, err := cpuTime()
	fmt.Println(int64(after - before))
	return err
}

// cpuTime is that of the process until now.
func cpuTime() (time.Duration, error) {
	var u syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err
}

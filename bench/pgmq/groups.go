package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
)

var grouped, limited = indexed(mq.GroupBy{}), indexed(mq.GroupBy{Limit: 4})

func indexed(by mq.GroupBy) mq.QueueOptions {
	return mq.QueueOptions{Drivers: []mq.DriverOptions{pgmq.QueueOptions{GroupIndexes: []mq.GroupBy{by}}}}
}

func groups(ctx context.Context, l *lab) (rows []row, err error) {
	for _, n := range []int{100, 10_000, 100_000} {
		what := fmt.Sprintf("heads of %d groups, 1,000,000 messages", n)
		r, err := l.heads(ctx, what, fmt.Sprintf("'g' || i %% %d", l.groups(n)), false, 5*time.Millisecond)
		if rows = append(rows, r...); err != nil {
			return rows, err
		}
	}
	size := l.size(100_000)
	r, err := l.heads(ctx, "heads behind a group of 100,000 whose head is leased",
		fmt.Sprintf("CASE WHEN i <= %d THEN 'big' ELSE 'g' || i %% %d END", size, l.groups(10_000)), true, 10*time.Millisecond)
	if rows = append(rows, r...); err != nil {
		return rows, err
	}
	ordered, err := l.orderedDrain(ctx)
	return append(rows, ordered...), err
}

// groups is size for a number of groups: ReceiveHeads shall find ten.
func (l *lab) groups(n int) int { return max(l.size(n), 50) }

// heads measures ReceiveHeads on a queue of 1,000,000 messages with these
// groups. If blocked the head of the oldest group is leased before.
func (l *lab) heads(ctx context.Context, what, group string, blocked bool, most time.Duration) (rows []row, err error) {
	q, err := l.client.EnsureQueue(ctx, "grouped", grouped)
	if err != nil {
		return nil, err
	}
	if err := l.fillGroups(ctx, q.Name(), l.size(1_000_000), visible, group); err != nil {
		return nil, err
	}
	if blocked {
		ds, err := q.ReceiveHeads(ctx, mq.ByGroup(), mq.ReceiveOptions{Visibility: time.Hour})
		if err != nil || len(ds) != 1 || ds[0].GroupKey != "big" {
			return nil, fmt.Errorf("leased %v, %w; want the head of group big", ds, err)
		}
	}
	for _, n := range []int{1, 10} {
		r, err := l.headsOf(ctx, q, what, n, most)
		if err != nil {
			return rows, err
		}
		rows = append(rows, r)
	}
	return rows, l.client.DropQueue(ctx, q.Name())
}

// headsOf times receives of n heads. The acks are not measured.
func (l *lab) headsOf(ctx context.Context, q *mq.Queue, what string, n int, most time.Duration) (row, error) {
	got, calls := 0, 0
	took, err := timed(l.size(1000), func() (took time.Duration, err error) {
		var ds []*mq.Delivery
		took, err = clock(func() error {
			ds, err = q.ReceiveHeads(ctx, mq.ByGroup(), mq.ReceiveOptions{Max: n})
			return err
		})
		got, calls = got+len(ds), calls+1
		return took, errors.Join(err, ackAll(ctx, q, ds))
	})
	if err == nil && got < n*calls*9/10 { // a call may find fewer
		err = fmt.Errorf("received %d heads of %d", got, n*calls)
	}
	return within(fmt.Sprintf("%s, Max %d, p50", what, n), took, most), err
}

// orderedDrain compares a Consumer with Groups to one without, on a queue without group
// indexes, and one with a limit above 1 to one with a limit of 1.
func (l *lab) orderedDrain(ctx context.Context) ([]row, error) {
	n := l.size(100_000)
	group := fmt.Sprintf("'g' || i %% %d", l.groups(10_000))
	drain := func(name string, o mq.QueueOptions, by *mq.GroupBy) entrant {
		return func() (float64, error) {
			q, err := l.client.EnsureQueue(ctx, name, o)
			if err != nil {
				return 0, err
			}
			if err := l.fillGroups(ctx, name, n, visible, group); err != nil {
				return 0, err
			}
			return l.consume(ctx, q, n, 0, mq.ConsumerConfig{Concurrency: workers, Groups: by})
		}
	}
	r, err := contest(l.rounds,
		drain("ordered", grouped, &mq.GroupBy{}),
		drain("unordered", mq.QueueOptions{}, nil),
		drain("limited", limited, &mq.GroupBy{Limit: 4}),
	)
	if err != nil {
		return nil, err
	}
	return []row{
		faster("ordered drain of 100,000 in 10,000 groups", r[0], "without Groups", r[1], 0.15),
		faster("drain of 100,000 in 10,000 groups, Limit 4", r[2], "Limit 1", r[0], 1),
	}, nil
}

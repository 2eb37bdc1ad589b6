package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/portmq/mq"
)

// heads is how many groups' heads a receive asks for.
const heads = 10

// arrangement is how the messages of groups are put into the queue.
type arrangement struct {
	name  string
	group func(i, n, groups int) int // of message i of n
}

var arrangements = []arrangement{
	{"interleaved", func(i, _, groups int) int { return i % groups }},
	{"contiguous", func(i, n, groups int) int { return i * groups / n }},
}

// grouping is how the groups are found.
type grouping struct {
	name string
	by   *mq.GroupBy
	most time.Duration
}

var groupings = []grouping{
	{"by key", mq.ByGroup(), 5 * time.Millisecond},
	{"by JSON path", mq.ByPath("g"), 10 * time.Millisecond},
}

func groups(ctx context.Context, l *lab) (rows []row, err error) {
	for _, a := range arrangements {
		if err := l.fillGroups(ctx, a); err != nil {
			return rows, err
		}
		for _, g := range groupings {
			r, err := l.heads(ctx, a, g)
			if rows = append(rows, r...); err != nil {
				return rows, err
			}
		}
	}
	return rows, nil
}

// counts is of how many messages and groups. A receive shall find enough heads
// when half of the groups are blocked.
func (l *lab) counts() (messages, groups int) { return l.size(million), max(l.size(10_000), 4*heads) }

func (l *lab) fillGroups(ctx context.Context, a arrangement) error {
	n, groups := l.counts()
	return l.filled(ctx, a.name+".db", func(ctx context.Context, q *mq.Queue) error {
		return send(ctx, q, n, func(i int) *mq.Message {
			group := "g" + strconv.Itoa(a.group(i, n, groups))
			return &mq.Message{Group: group, Body: bodyOf(group)}
		})
	})
}

// heads measures ReceiveHeads on a copy of the file, with all groups free and
// with the first half of them blocked.
func (l *lab) heads(ctx context.Context, a arrangement, g grouping) ([]row, error) {
	const copied = "copy.db"
	if err := l.copyFile(a.name+".db", copied); err != nil {
		return nil, err
	}
	defer func() { _ = os.Remove(l.path(copied)) }() // the folder goes with it
	on := &lab{plan: l.plan}
	defer func() { _ = on.close() }() // nothing of the copy is needed
	q, err := on.queue(ctx, copied)
	if err != nil {
		return nil, err
	}
	if err := build(ctx, q, g.by); err != nil {
		return nil, err
	}
	what := fmt.Sprintf("%d group heads %s, 1,000,000 in 10,000 groups, %s", heads, g.name, a.name)
	free, err := l.headsOf(ctx, q, g, what)
	if err != nil {
		return nil, err
	}
	if err := l.block(ctx, q, g.by); err != nil {
		return nil, err
	}
	blocked, err := l.headsOf(ctx, q, g, what+", half blocked")
	return []row{free, blocked}, err
}

// build makes the driver enter the messages in their groups, as the first
// receive does. A call that runs out of time returns no messages, and the next one
// continues.
func build(ctx context.Context, q *mq.Queue, by *mq.GroupBy) error {
	start := time.Now()
	for calls := 1; ; calls++ {
		ds, err := q.ReceiveHeads(ctx, by, mq.ReceiveOptions{})
		switch {
		case err == nil && len(ds) == 0:
		case err == nil:
			fmt.Fprintf(os.Stderr, "groups took %v and %d calls to build\n", time.Since(start).Round(time.Second), calls)
			return ackAll(ctx, q, ds)
		case ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded):
			return err
		}
	}
}

// block leases the heads of the first half of the groups.
func (l *lab) block(ctx context.Context, q *mq.Queue, by *mq.GroupBy) error {
	_, groups := l.counts()
	for leased := 0; leased < groups/2; {
		ds, err := q.ReceiveHeads(ctx, by, mq.ReceiveOptions{Max: min(fillSize, groups/2-leased), Visibility: time.Hour})
		if err != nil {
			return err
		}
		if len(ds) == 0 {
			return fmt.Errorf("leased %d heads of %d", leased, groups/2)
		}
		leased += len(ds)
	}
	return nil
}

// headsOf times receives of heads. The acks are not measured.
func (l *lab) headsOf(ctx context.Context, q *mq.Queue, g grouping, what string) (row, error) {
	r, err := contest(l.rounds, timed(l.size(100), func() (float64, error) {
		ds, took, err := received(func() ([]*mq.Delivery, error) {
			return q.ReceiveHeads(ctx, g.by, mq.ReceiveOptions{Max: heads})
		})
		if err == nil && len(ds) != heads {
			err = fmt.Errorf("received %d heads of %d", len(ds), heads)
		}
		return took, errors.Join(err, ackAll(ctx, q, ds))
	}))
	if err != nil {
		return row{}, err
	}
	return within(what, r[0], g.most), nil
}

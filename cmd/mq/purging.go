package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portmq/mq"
)

// purgeTries is how often in a row a purge may come to nothing before it is
// given up.
const purgeTries = 3

// purgeAll calls purge until it has deleted everything. A server that ends
// statements early lets each call do a part of it.
func (a *app) purgeAll(ctx context.Context, q *mq.Queue, purge func(context.Context) (int64, error)) error {
	bar := a.newProgress(-1, "purging", "messages")
	total, err := untilDone(ctx, func(ctx context.Context) (int64, error) {
		n, err := purge(ctx)
		bar.add(int(n))
		return n, err
	})
	bar.end()
	if err != nil {
		return fmt.Errorf("%w (purged %s; the command can be run again)", err, plural(total, "message"))
	}
	return a.done(doneLine{Done: "purged", Count: total, Queue: q.Name()})
}

func untilDone(ctx context.Context, part func(context.Context) (int64, error)) (total int64, err error) {
	for fruitless := 0; ; {
		n, err := part(ctx)
		if total += n; err == nil {
			return total, nil
		}
		if fruitless++; n > 0 {
			fruitless = 0
		}
		if !errors.Is(err, mq.ErrUnavailable) || fruitless >= purgeTries || !waitFor(ctx, 100*time.Millisecond) {
			return total, err
		}
	}
}

// olderThan returns how old something is that was older than d at the begin.
func olderThan(d time.Duration, begin time.Time) time.Duration {
	if d == 0 {
		return mq.AnyAge
	}
	return d + time.Since(begin)
}

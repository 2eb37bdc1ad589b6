package faults

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
)

// TestLockedTableIsNamed: calls that wait for a lock of another session name it when
// they end by their deadline.
func TestLockedTableIsNamed(t *testing.T) {
	b := newBase(t)
	n := 0
	for name, c := range map[string]*mq.Client{
		"pgx":         b.client("driver=pgx", "pool_max_conns=2"),
		"pq":          b.client("driver=pq", "pool_max_conns=2"),
		"FromPool":    b.pooled(2),
		"borrowed pq": b.borrowed(b.single("pq"), pgmq.Config{}),
	} {
		n++
		queue := fmt.Sprint("jobs", n)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := b.of(t)
			q := b.stage(c, queue)
			pid, end := b.sits(sql.LevelReadCommitted, "LOCK TABLE pgmq.q_"+q.Name()+" IN ACCESS EXCLUSIVE MODE")
			defer end()
			for _, op := range operations {
				switch op.name {
				case "send", "send many", "stats", "purge", "ack", "receive", "receive heads", "receive a group", "pop":
					b.names(untilNamed(pid, func() error {
						ctx, cancel := context.WithTimeout(t.Context(), 1200*time.Millisecond)
						defer cancel()
						return op.run(ctx, b, q)
					}), pid)
				}
			}
		})
	}
}

// TestLockedTargetIsNamed: the lock is on the queue to which a message moves.
func TestLockedTargetIsNamed(t *testing.T) {
	b := newBase(t)
	for name, c := range map[string]*mq.Client{
		"pgx": b.client("driver=pgx", "pool_max_conns=2"),
		"pq":  b.client("driver=pq", "pool_max_conns=2"),
	} {
		t.Run(name, func(t *testing.T) {
			b := b.of(t)
			q, target := b.stage(c, "from_"+name), b.stage(c, "to_"+name)
			pid, end := b.sits(sql.LevelReadCommitted, "LOCK TABLE pgmq.q_"+target.Name()+" IN ACCESS EXCLUSIVE MODE")
			defer end()
			b.names(untilNamed(pid, func() error {
				ctx, cancel := context.WithTimeout(t.Context(), 1200*time.Millisecond)
				defer cancel()
				return q.Settle(ctx, mq.Settlement{Receipt: pgmq.Unfenced(q.Name(), "1"), Op: mq.OpMove, To: target.Name()})
			}), pid)
		})
	}
}

// untilNamed makes a call again if its error does not name a session: on a slow machine
// the time may have been over before the statement had waited.
func untilNamed(pid int, call func() error) (err error) {
	for range 5 {
		if err = call(); err != nil && strings.Contains(err.Error(), fmt.Sprintf("session %d", pid)) {
			break
		}
	}
	return err
}

// TestLockedBoundIsNamed: the lock is on one of the queues of a topic.
func TestLockedBoundIsNamed(t *testing.T) {
	b := newBase(t)
	c := b.client("driver=pgx", "pool_max_conns=2")
	free, locked := b.queue(c, "free"), b.queue(c, "locked")
	for _, q := range []*mq.Queue{free, locked} {
		b.ok(q.Bind(t.Context(), "a"))
	}
	publish := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 1200*time.Millisecond)
		defer cancel()
		_, err := c.Publish(ctx, "a", message())
		return err
	}
	b.ok(publish())
	pid, end := b.sits(sql.LevelReadCommitted, "LOCK TABLE pgmq.q_locked IN ACCESS EXCLUSIVE MODE")
	defer end()
	b.names(untilNamed(pid, publish), pid)
	if n := len(b.take(free, 10)); n != 1 {
		t.Errorf("%d messages were stored in the other queue, want 1", n)
	}
}

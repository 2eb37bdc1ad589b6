package pgmq

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/portmq/mq/driver"
)

// notifyThrottle is the interval of the trigger of a new queue, as PGMQ has it
// by default.
const notifyThrottle = 250 * time.Millisecond

// maxNewName is the longest name that PGMQ takes for a new queue.
const maxNewName = 47

// EnsureQueue makes the queue through pgmq.create where that is installed, and
// by itself otherwise, in the form of PGMQ 1.13; schema and meta too, if need
// be. It looks first: a queue that is there needs no right to make one.
func (p *Provider) EnsureQueue(ctx context.Context, name string, o driver.QueueOptions) error {
	if err := p.check(ctx); err != nil {
		return err
	}
	_, complete, err := readShape(ctx, p.pool, name)
	if errors.Is(err, driver.ErrQueueNotFound) || err == nil && !complete {
		err = p.create(ctx, name, o)
	}
	if err != nil {
		return err
	}
	for _, by := range o.GroupIndexes {
		if err := p.indexGroups(ctx, name, by); err != nil {
			return err
		}
	}
	return nil
}

func (p *Provider) create(ctx context.Context, name string, o driver.QueueOptions) error {
	if len(name) > maxNewName || strings.ContainsAny(name, "$;'") || strings.Contains(name, "--") {
		return fmt.Errorf("%w: PGMQ takes no queue name of more than %d bytes, nor with $ ; ' or --", driver.ErrInvalid, maxNewName)
	}
	defer p.queues.Delete(name)
	return p.inTx(ctx, func(tx *sql.Tx) error {
		if err := exec(ctx, tx, statement("lock queue", nil), name); err != nil {
			return err
		}
		_, complete, err := readShape(ctx, tx, name) // another program may have been faster
		if complete || err != nil && !errors.Is(err, driver.ErrQueueNotFound) {
			return err
		}
		has, err := readInstalled(ctx, tx)
		if err != nil {
			return err
		}
		c := creation{ctx: ctx, tx: tx, queue: name, n: namesOf(name, shape{}, "")}
		every := o.NotifyInterval
		if every == 0 {
			every = notifyThrottle
		}
		if has.create {
			return c.upstream(every, has.notify)
		}
		return c.own(every)
	})
}

// creation makes one queue.
type creation struct {
	ctx   context.Context
	tx    *sql.Tx
	queue string
	n     tableNames
	err   error // the first; nothing is run after it
}

func (c *creation) run(name string, data any, args ...any) {
	if c.err == nil {
		c.err = exec(c.ctx, c.tx, statement(name, data), args...)
	}
}

// upstream leaves it to PGMQ's functions.
func (c *creation) upstream(every time.Duration, canNotify bool) error {
	c.run("pgmq create", nil, c.queue)
	if canNotify && every > 0 {
		c.run("pgmq enable notify", nil, c.queue, max(1, every.Milliseconds()))
	}
	c.run("tune queue", c.n)
	return c.err
}

// own makes what PGMQ's functions would.
func (c *creation) own(every time.Duration) error {
	if err := install(c.ctx, c.tx); err != nil {
		return err
	}
	c.run("make queue", c.n)
	c.run("make index", struct{ VTIndex, Q string }{ident("q_" + c.queue + "_vt_idx"), c.n.Q})
	c.run("make archive", c.n)
	c.run("make archive index", struct{ ArchivedAtIndex, A string }{ident("archived_at_idx_" + c.queue), c.n.A})
	c.run("tune queue", c.n)
	c.run("make meta row", nil, c.queue, c.n.Q)
	if every > 0 && c.err == nil {
		c.notify(every)
	}
	return c.err
}

// notify gives the queue a trigger, unless it has one.
func (c *creation) notify(every time.Duration) {
	s, _, err := readShape(c.ctx, c.tx, c.queue)
	if c.err = err; err != nil || s.notifies {
		return
	}
	ms := max(1, every.Milliseconds())
	c.run("make trigger", struct {
		Q, Literal string
		Every      int64
	}{c.n.Q, literal(c.queue), ms})
	c.run("make throttle row", nil, c.queue, ms)
}

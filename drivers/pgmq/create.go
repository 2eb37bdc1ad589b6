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
	ctx, cancel := p.untilClosed(ctx)
	defer cancel()
	missing, err := p.lookAt(ctx, name)
	if missing {
		err = p.create(ctx, name, o)
	}
	if err != nil {
		return p.orClosed(err)
	}
	for _, by := range o.GroupIndexes {
		if err := p.indexGroups(ctx, name, by); err != nil {
			return p.orClosed(err)
		}
	}
	return nil
}

// lookAt reports whether a queue, or part of it, is missing, and mends one that
// is there.
func (p *Provider) lookAt(ctx context.Context, name string) (missing bool, err error) {
	short, cancel := bounded(ctx, probeLimit)
	defer cancel()
	s, complete, err := readShape(short, p.pool, name)
	if errors.Is(err, driver.ErrQueueNotFound) || err == nil && !complete {
		return true, nil
	}
	if err == nil {
		err = p.examine(short, name, s)
	}
	return false, readErrorOf(ctx, err)
}

// examine mends what may be wrong with a queue that is there.
func (p *Provider) examine(ctx context.Context, name string, s shape) error {
	c, err := readCondition(ctx, p.pool, name)
	if err != nil {
		return err
	}
	if c.waits {
		p.log.Warn("pgmq: PGMQ's own trigger makes senders wait for each other's transactions (docs/pgmq.md, Waiting)", "queue", name)
	}
	if c.mine && s.UniqueArchive {
		return readError(exec(ctx, p.pool, statement("raise ids", namesOf(name, s, ""))))
	}
	return nil
}

func (p *Provider) create(ctx context.Context, name string, o driver.QueueOptions) error {
	if len(name) > maxNewName || strings.ContainsAny(name, "$;'") || strings.Contains(name, "--") {
		return fmt.Errorf("%w: PGMQ takes no queue name of more than %d bytes, nor with $ ; ' or --", driver.ErrInvalid, maxNewName)
	}
	defer p.queues.Delete(name)
	c := creation{ctx: ctx, queue: name, n: namesOf(name, shape{}, ""), every: o.NotifyInterval}
	if c.every == 0 {
		c.every = notifyThrottle
	}
	for _, by := range o.GroupIndexes {
		if p.checkGroupBy(by) == nil {
			c.groups = append(c.groups, by)
		}
	}
	return ddl{p.db, p.log, name}.run(ctx, func(tx *sql.Tx) error {
		c.tx, c.err = tx, nil
		return c.make()
	})
}

// creation makes one queue.
type creation struct {
	ctx    context.Context
	tx     *sql.Tx
	queue  string
	n      tableNames
	every  time.Duration // negative: no trigger
	groups []driver.GroupBy
	err    error // the first; nothing is run after it
}

func (c *creation) run(name string, data any, args ...any) {
	if c.err == nil {
		c.err = exec(c.ctx, c.tx, statement(name, data), args...)
	}
}

// make takes the lock of the installation first, and then that of the queue, as
// everybody does.
func (c *creation) make() error {
	has, err := readInstalled(c.ctx, c.tx)
	if err == nil && (!has.create || has.notify && c.every > 0) {
		err = install(c.ctx, c.tx, !has.create)
	}
	if err != nil {
		return err
	}
	c.run("lock queue", nil, c.queue)
	if c.err != nil {
		return c.err
	}
	before, complete, err := readShape(c.ctx, c.tx, c.queue) // another program may have been faster
	missing := errors.Is(err, driver.ErrQueueNotFound)
	if complete || err != nil && !missing {
		return err
	}
	if err := c.refused(); err != nil {
		return err
	}
	if has.create {
		c.run("pgmq create", nil, c.queue)
	} else {
		c.own()
	}
	if missing {
		c.run("tune queue", c.n)
	}
	return c.finish(missing, !before.notifies && (!has.create || has.notify))
}

// refused returns an error if tables of another kind have the queue's names.
func (c *creation) refused() error {
	table, parent, err := inTheWay(c.ctx, c.tx, c.queue)
	switch {
	case err != nil || table == "":
		return err
	case parent != "":
		return fmt.Errorf("%w: no queue can be named %q, since %s is a partition of %s", driver.ErrInvalid, c.queue, table, parent)
	}
	return fmt.Errorf("%w: no queue can be named %q, since %s is not a table", driver.ErrInvalid, c.queue, table)
}

// own makes what pgmq.create would.
func (c *creation) own() {
	c.run("make queue", c.n)
	c.run("make index", struct{ VTIndex, Q string }{ident("q_" + c.queue + "_vt_idx"), c.n.Q})
	c.run("make archive", c.n)
	c.run("make archive index", struct{ ArchivedAtIndex, A string }{ident("archived_at_idx_" + c.queue), c.n.A})
	c.run("make meta row", nil, c.queue, c.n.Q)
}

// finish adds what PGMQ has not: ids above those of an archive that was there
// before, the trigger, and in a new queue, where it takes no time, the indexes of
// groups.
func (c *creation) finish(fresh, notify bool) error {
	if c.err != nil {
		return c.err
	}
	s, _, err := readShape(c.ctx, c.tx, c.queue)
	if err != nil {
		return err
	}
	condition, err := readCondition(c.ctx, c.tx, c.queue)
	if err != nil {
		return err
	}
	if condition.mine && s.UniqueArchive {
		c.run("raise ids", namesOf(c.queue, s, ""))
	}
	if notify && !s.notifies && c.every > 0 {
		c.notify()
	}
	for _, by := range c.groups {
		indexes, _ := indexesOf(c.queue, s, by, false) // if it cannot have them, indexGroups tells
		for _, x := range indexes {
			if fresh && c.err == nil {
				c.err = exec(c.ctx, c.tx, x.statement)
			}
		}
	}
	return c.err
}

// notify gives the queue a trigger.
func (c *creation) notify() {
	ms := max(1, c.every.Milliseconds())
	c.run("make trigger", struct {
		Q, Literal string
		Every      int64
	}{c.n.Q, literal(c.queue), ms})
	c.run("make throttle row", nil, c.queue, ms)
}

// inTheWay returns the table that keeps a queue from having its name, or "", and
// what it is a partition of.
func inTheWay(ctx context.Context, at querier, queue string) (table, parent string, err error) {
	err = query(ctx, at, statement("in the way", nil), []any{"q_" + queue, "a_" + queue}, func(rows row) error {
		return rows.Scan(&table, &parent)
	})
	return table, parent, err
}

// condition is what the catalog says of a queue beyond its shape.
type condition struct {
	mine    bool // the role owns the tables
	waits   bool // the trigger is PGMQ's
	indexed bool // by vt
}

func readCondition(ctx context.Context, at querier, queue string) (c condition, err error) {
	err = query(ctx, at, statement("condition", nil), []any{"q_" + queue, "a_" + queue}, func(rows row) error {
		return rows.Scan(&c.mine, &c.waits, &c.indexed)
	})
	return c, readError(err)
}

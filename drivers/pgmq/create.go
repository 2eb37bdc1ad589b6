package pgmq

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/portmq/mq/driver"
)

// maxNewName is the longest name that PGMQ takes for a new queue.
const maxNewName = 47

// EnsureQueue makes the queue through pgmq.create where that is installed, and
// by itself otherwise, in the form of PGMQ 1.13; schema and meta too, if need
// be. It looks first: an existing queue needs no privilege to create one. See
// [QueueOptions] for what is particular to this driver.
func (p *Provider) EnsureQueue(ctx context.Context, name string, o driver.QueueOptions) error {
	own, err := ownOptions(o)
	if err != nil {
		return err
	}
	if err := p.check(ctx); err != nil {
		return err
	}
	ctx, cancel := p.untilClosed(ctx)
	defer cancel()
	if err := p.ensure(ctx, name, own); err != nil {
		return p.orClosed(err)
	}
	for _, by := range own.GroupIndexes {
		if err := p.indexGroups(ctx, name, by); err != nil {
			return p.orClosed(err)
		}
	}
	return nil
}

// ensure makes the queue, except for its groups' indexes, or sees to one that is
// there, also if another program has just made it.
func (p *Provider) ensure(ctx context.Context, name string, o QueueOptions) error {
	missing, same, err := p.lookAt(ctx, name, o)
	if missing && err == nil {
		made := false
		if made, err = p.create(ctx, name, o); made || err != nil {
			return err
		}
		missing, same, err = p.lookAt(ctx, name, o)
	}
	if err == nil && !missing && !same {
		err = p.setNotify(ctx, name, o)
	}
	return err
}

// lookAt reports whether a queue, or part of it, is missing, mends one that is
// there, and reports whether it notifies as it is to.
func (p *Provider) lookAt(ctx context.Context, name string, o QueueOptions) (missing, same bool, err error) {
	short, cancel := bounded(ctx, probeLimit)
	defer cancel()
	s, complete, err := readShape(short, p.pool, name)
	if errors.Is(err, driver.ErrQueueNotFound) || err == nil && !complete {
		return true, false, nil
	}
	var c condition
	if err == nil {
		c, err = p.examine(short, name, s)
	}
	if err == nil {
		err = o.conflict(name, s, c)
	}
	if err == nil {
		same, err = p.notifiesAs(short, name, o, s, c)
	}
	return false, same, readErrorOf(ctx, err)
}

// examine mends what may be wrong with a queue that is there.
func (p *Provider) examine(ctx context.Context, name string, s shape) (condition, error) {
	c, err := readCondition(ctx, p.pool, name)
	if err != nil {
		return c, err
	}
	if c.waits {
		p.log.Warn("pgmq: PGMQ's own trigger makes senders wait for each other's transactions (docs/pgmq.md, Waiting)", "queue", name)
	}
	if c.mine && s.UniqueArchive {
		err = readError(exec(ctx, p.pool, statement("raise ids", namesOf(name, s, ""))))
	}
	return c, err
}

// create makes a queue, or what it lacks. made is false if the queue was there
// before, in part or in whole.
func (p *Provider) create(ctx context.Context, name string, o QueueOptions) (made bool, err error) {
	if len(name) > maxNewName || strings.ContainsAny(name, "$;'") || strings.Contains(name, "--") {
		return false, fmt.Errorf("%w: PGMQ takes no queue name of more than %d bytes, nor with $ ; ' or --", driver.ErrInvalid, maxNewName)
	}
	defer p.queues.Delete(name)
	c := creation{ctx: ctx, queue: name, n: namesOf(name, shape{}, ""), o: o}
	c.n.Unlogged = o.Unlogged
	for _, by := range o.GroupIndexes {
		if p.checkGroupBy(by) == nil {
			c.groups = append(c.groups, by)
		}
	}
	err = ddl{p.db, p.log, name}.run(ctx, func(tx *sql.Tx) (err error) {
		c.tx, c.err = tx, nil
		made, err = c.make()
		return err
	})
	return made, err
}

// creation makes one queue.
type creation struct {
	ctx    context.Context
	tx     *sql.Tx
	queue  string
	n      tableNames
	o      QueueOptions
	groups []driver.GroupBy // of o, those that are valid
	err    error            // the first; nothing is run after it
}

func (c *creation) run(name string, data any, args ...any) {
	if c.err == nil {
		c.err = exec(c.ctx, c.tx, statement(name, data), args...)
	}
}

// make makes the queue, or what it lacks. It takes the lock of the installation
// first, and then that of the queue, as everybody does.
func (c *creation) make() (made bool, err error) {
	has, err := c.prepare()
	if err != nil {
		return false, err
	}
	c.run("lock queue", nil, c.queue)
	if c.err != nil {
		return false, c.err
	}
	before, complete, err := readShape(c.ctx, c.tx, c.queue) // another program may have been faster
	missing := errors.Is(err, driver.ErrQueueNotFound)
	if complete || err != nil && !missing {
		return false, err
	}
	if err := c.refused(); err != nil {
		return false, err
	}
	c.tables(has.create)
	if missing {
		c.tune()
	}
	return missing, c.finish(missing, !before.notifies && has.mayNotify())
}

// prepare checks that the options are possible, and installs what is missing.
func (c *creation) prepare() (has installed, err error) {
	has, err = readInstalled(c.ctx, c.tx)
	if err == nil {
		err = c.o.possible(has)
	}
	if err == nil && (!has.create || has.notify && c.o.millis() > 0) {
		parts := installation
		if has.create {
			parts = []string{"make notify function"}
		}
		err = install(c.ctx, c.tx, parts...)
	}
	return has, err
}

// tables makes the tables, through PGMQ's functions if it has them.
func (c *creation) tables(functions bool) {
	switch p := c.o.Partitioned; {
	case p != nil:
		c.run("pgmq create partitioned", nil, c.queue, cmp.Or(p.Interval, "10000"), cmp.Or(p.Retention, "100000"))
	case !functions:
		c.own()
	case c.o.Unlogged:
		c.run("pgmq create unlogged", nil, c.queue)
	default:
		c.run("pgmq create", nil, c.queue)
	}
}

// tune does for a new queue what PGMQ does not.
func (c *creation) tune() {
	if c.o.Partitioned != nil { // it has no settings of its own, but also no index
		c.index()
		return
	}
	c.run("tune queue", c.n)
}

func (c *creation) index() {
	c.run("make index", struct{ VTIndex, Q string }{ident("q_" + c.queue + "_vt_idx"), c.n.Q})
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
	c.index()
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
	if notify && !s.notifies && c.o.millis() > 0 {
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
	mine     bool  // the role owns the tables
	waits    bool  // the trigger is PGMQ's
	indexed  bool  // by vt
	unlogged bool  // the queue, not the archive
	every    int64 // the interval of the trigger in milliseconds, if it is ours
}

func readCondition(ctx context.Context, at querier, queue string) (c condition, err error) {
	err = query(ctx, at, statement("condition", nil), []any{"q_" + queue, "a_" + queue}, func(rows row) error {
		return rows.Scan(&c.mine, &c.waits, &c.indexed, &c.unlogged, &c.every)
	})
	return c, readError(err)
}

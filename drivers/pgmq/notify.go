package pgmq

import (
	"context"
	"database/sql"
)

// notifiesAs reports whether inserts into an existing queue notify as often as o
// asks for. It compares the argument of the driver's own trigger, which restores the
// row of the throttle, and that row, which counts.
func (p *Provider) notifiesAs(ctx context.Context, name string, o QueueOptions, s shape, c condition) (same bool, err error) {
	switch {
	case o.NotifyInterval == 0:
		return true, nil
	case o.NotifyInterval == NoNotify:
		return !s.notifies, nil
	case c.every != o.millis():
		return false, nil
	}
	same = true
	err = query(ctx, p.pool, sqlThrottle, []any{name}, func(rows row) error {
		var spelling string
		var ms int64
		err := rows.Scan(&spelling, &ms)
		same = same && ms == o.millis()
		return err
	})
	if sqlState(err) == "42501" { // a worker, which may not change it either
		return true, nil
	}
	return same, err
}

// setNotify gives an existing queue a trigger with the interval of o, or none.
func (p *Provider) setNotify(ctx context.Context, name string, o QueueOptions) error {
	defer p.queues.Delete(name)
	return ddl{p.db, p.log, name}.run(ctx, func(tx *sql.Tx) error {
		c := creation{ctx: ctx, tx: tx, queue: name, n: namesOf(name, shape{}, ""), o: o}
		has, err := c.prepare()
		if err != nil {
			return err
		}
		c.run("lock queue", nil, name)
		c.run("drop trigger", c.n)
		if o.millis() > 0 {
			c.run("set throttle row", nil, name, o.millis())
			c.notify()
		} else if has.mayNotify() {
			c.run("drop throttle row", nil, name)
		}
		return c.err
	})
}

// notify gives the queue a trigger. Its argument is the queue's name as PGMQ spells
// it.
func (c *creation) notify() {
	spelling := c.queue
	if c.err == nil {
		c.err = query(c.ctx, c.tx, statement("spelling", nil), []any{c.queue}, func(rows row) error { return rows.Scan(&spelling) })
	}
	c.run("make trigger", struct {
		Q, Literal string
		Every      int64
	}{c.n.Q, literal(spelling), c.o.millis()})
	c.run("make throttle row", nil, c.queue, c.o.millis())
}

package pgmq

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
)

// Install makes in db what queues need besides their own tables, in the form
// of PGMQ 1.13: schema pgmq, the tables meta and notify_insert_throttle, and a
// trigger function; the table topic_bindings for topics; and the tables mq_keys for
// messages with a DedupKey, mq_paused for queues that are paused and mq_consumers for what
// Consumers report. EnsureQueue and the first call that needs one of them do the same;
// Install is for those whose programs have no right to.
//
// It also brings queues up to date that an older PGMQ or another program has
// made: the columns headers and last_read_at, the index on vt, and the row in
// meta. Adding a column locks the table for a moment; making an index locks
// out senders for as long as it takes. Where a transaction of another session
// is in the way Install tries for some seconds, lets the queue's users pass in
// between, and then returns an error that names the session; other queues are
// brought up to date all the same.
//
// Where PGMQ itself is installed, as an extension or as plain SQL, Install makes
// the tables that begin with mq_, and changes nothing else: upgrading is PGMQ's own business.
//
// It may run any number of times, and many times at once. The role needs
// CREATE on the database if there is no schema, else only to own the schema
// and the queues' tables.
func Install(ctx context.Context, db *sql.DB) error {
	if err := installAll(ctx, db); err != nil {
		return fmt.Errorf("pgmq: install: %w", err)
	}
	return nil
}

// installAll brings one queue after the other up to date, each in a transaction
// of its own. One that fails does not keep the others from it.
func installAll(ctx context.Context, db *sql.DB) error {
	var queues []string
	err := ddl{db: db}.run(ctx, func(tx *sql.Tx) error {
		has, err := readInstalled(ctx, tx)
		if err != nil {
			return err
		}
		if has.create {
			return install(ctx, tx, ownTables...)
		}
		if err := install(ctx, tx, installation...); err != nil {
			return err
		}
		queues = nil
		return query(ctx, tx, sqlList, nil, func(rows row) error {
			var name string
			err := rows.Scan(&name)
			queues = append(queues, name)
			return err
		})
	})
	errs := []error{err}
	for _, q := range queues {
		if err == nil && ctx.Err() == nil {
			errs = append(errs, upgradeQueue(ctx, db, q))
		}
	}
	return errors.Join(append(errs, ctx.Err())...)
}

// lockInstall takes the lock of the installation. It is waited for longer than those of
// tables: a session that waits for it blocks nobody, and the one ahead may take a while.
func lockInstall(ctx context.Context, tx *sql.Tx) error {
	for _, name := range []string{"lock timeout of install", "lock install", "lock timeout"} {
		if err := exec(ctx, tx, statement(name, nil)); err != nil {
			return err
		}
	}
	return nil
}

// installation is what queues need besides their tables. Beside PGMQ it is the trigger
// function and the driver's own tables.
var installation = []string{
	"make schema", "make meta", "make throttle", "make notify function", "make keys", "make bindings", "make paused", "make consumers",
}

// install makes some of that, if it is missing. It looks first, since even what has no
// effect needs the right to.
func install(ctx context.Context, tx *sql.Tx, parts ...string) error {
	if err := lockInstall(ctx, tx); err != nil {
		return err
	}
	var there [8]bool
	err := query(ctx, tx, statement("has schema", nil), nil, func(rows row) error {
		return rows.Scan(&there[0], &there[1], &there[2], &there[3], &there[4], &there[5], &there[6], &there[7])
	})
	for i, what := range installation {
		if err == nil && !there[i] && slices.Contains(parts, what) {
			err = exec(ctx, tx, statement(what, nil))
		}
	}
	return err
}

func upgradeQueue(ctx context.Context, db *sql.DB, queue string) error {
	err := ddl{db: db, queue: queue}.run(ctx, func(tx *sql.Tx) error {
		c := creation{ctx: ctx, tx: tx, queue: queue}
		if c.run("lock queue", nil, queue); c.err != nil {
			return c.err
		}
		return c.upgrade()
	})
	if err != nil {
		return fmt.Errorf("queue %q: %w", queue, err)
	}
	return nil
}

// upgrade makes what the tables lack.
func (c *creation) upgrade() error {
	s, complete, err := readShape(c.ctx, c.tx, c.queue)
	if err != nil {
		return err
	}
	is, err := readCondition(c.ctx, c.tx, c.queue)
	if err != nil {
		return err
	}
	if c.n = namesOf(c.queue, s, ""); !complete {
		if err := c.refused(); err != nil {
			return err
		}
		c.run("make archive", c.n)
		s.ArchivedHeaders, s.Kept = true, append(s.Kept, "last_read_at")
	}
	if !s.Headers {
		c.run("add headers", c.n.Q)
	}
	if !s.ArchivedHeaders {
		c.run("add headers", c.n.A)
	}
	if !s.LastReadAt {
		c.run("add last_read_at", c.n.Q)
	}
	if !slices.Contains(s.Kept, "last_read_at") {
		c.run("add last_read_at", c.n.A)
	}
	if !is.indexed {
		c.index()
	}
	c.run("make meta row", nil, c.queue, c.n.Q)
	return c.err
}

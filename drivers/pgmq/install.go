package pgmq

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// Install makes in db what queues need besides their own tables, in the form
// of PGMQ 1.13: schema pgmq, the tables meta and notify_insert_throttle, and a
// trigger function. EnsureQueue does the same when it first makes a queue;
// Install is for those whose programs have no right to.
//
// It also brings queues up to date that an older PGMQ or another program has
// made: the columns headers and last_read_at, the index on vt, and the row in
// meta. Adding a column locks the table for a moment; making an index locks
// out senders for as long as it takes.
//
// Where PGMQ itself is installed, as an extension or as plain SQL, Install
// changes nothing: upgrading is PGMQ's own business.
//
// It may run any number of times, and many times at once. The role needs
// CREATE on the database if there is no schema, else only to own the schema
// and the queues' tables.
func Install(ctx context.Context, db *sql.DB) error {
	err := inTx(ctx, db, func(tx *sql.Tx) error {
		has, err := readInstalled(ctx, tx)
		if err != nil || has.create {
			return err
		}
		if err := install(ctx, tx); err != nil {
			return err
		}
		return upgrade(ctx, tx)
	})
	if err != nil {
		return fmt.Errorf("pgmq: install: %w", err)
	}
	return nil
}

// install makes what is missing. It looks first, since even what has no effect
// needs the right to.
func install(ctx context.Context, tx *sql.Tx) error {
	if err := exec(ctx, tx, statement("lock install", nil)); err != nil {
		return err
	}
	var there [4]bool
	err := query(ctx, tx, statement("has schema", nil), nil, func(rows row) error {
		return rows.Scan(&there[0], &there[1], &there[2], &there[3])
	})
	for i, what := range []string{"make schema", "make meta", "make throttle", "make notify function"} {
		if err == nil && !there[i] {
			err = exec(ctx, tx, statement(what, nil))
		}
	}
	return err
}

// upgrade brings the tables of all queues up to date.
func upgrade(ctx context.Context, tx *sql.Tx) error {
	var queues []string
	err := query(ctx, tx, sqlList, nil, func(rows row) error {
		var name string
		err := rows.Scan(&name)
		queues = append(queues, name)
		return err
	})
	for _, q := range queues {
		if err == nil {
			err = upgradeQueue(ctx, tx, q)
		}
	}
	return err
}

func upgradeQueue(ctx context.Context, tx *sql.Tx, queue string) error {
	s, complete, err := readShape(ctx, tx, queue)
	if err != nil {
		return err
	}
	c := creation{ctx: ctx, tx: tx, queue: queue, n: namesOf(queue, s, "")}
	c.run("lock queue", nil, queue)
	if !complete {
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
	if !slices.ContainsFunc(s.indexes, func(name string) bool { return strings.HasSuffix(name, "vt_idx") }) {
		c.run("make index", struct{ VTIndex, Q string }{ident("q_" + queue + "_vt_idx"), c.n.Q})
	}
	c.run("make meta row", nil, queue, c.n.Q)
	return c.err
}

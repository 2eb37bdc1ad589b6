package pgmq

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/portmq/mq/driver"
)

// ListQueues returns what the catalog shows.
func (p *Provider) ListQueues(ctx context.Context) ([]string, error) {
	if err := p.check(ctx); err != nil {
		return nil, err
	}
	names := []string{}
	err := p.within(ctx, callLimit, sqlList, nil, func(rows row) error {
		var name string
		err := rows.Scan(&name)
		if name == strings.ToLower(name) {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		return nil, readError(err)
	}
	return names, nil
}

// DropQueue drops through pgmq.drop_queue where it is there, for each spelling
// in meta, and then whatever is left. Those who wait for messages are woken.
func (p *Provider) DropQueue(ctx context.Context, name string) error {
	ctx, cancel := p.untilClosed(ctx)
	defer cancel()
	err := p.drop(ctx, name)
	p.queues.Delete(name)
	p.hub(name).wakeAll()
	if err == nil {
		p.pauses.wake()
		p.forget(name)
	}
	return p.orClosed(err)
}

func (p *Provider) drop(ctx context.Context, name string) error {
	if err := p.check(ctx); err != nil {
		return err
	}
	return ddl{p.db, p.log, name}.run(ctx, func(tx *sql.Tx) error {
		has, err := readInstalled(ctx, tx)
		if err != nil {
			return err
		}
		if err := exec(ctx, tx, statement("lock queue", nil), name); err != nil {
			return err
		}
		switch table, parent, err := inTheWay(ctx, tx, name); {
		case err != nil:
			return err
		case table != "":
			return fmt.Errorf("%w: %s is not a queue's table: it is a partition of %q, or not a table", driver.ErrQueueNotFound, table, parent)
		}
		if has.meta && has.drop {
			if err := dropSpellings(ctx, tx, name); err != nil {
				return err
			}
		}
		n := namesOf(name, shape{}, "")
		for _, what := range []string{"drop queue", "drop archive"} {
			if err := exec(ctx, tx, statement(what, n)); err != nil {
				return err
			}
		}
		if has.meta {
			if err := exec(ctx, tx, statement("drop meta rows", nil), name); err != nil {
				return err
			}
		}
		if err := dropPause(ctx, tx, name); err != nil {
			return err
		}
		return exec(ctx, tx, sqlNotify, arrayOf(channel(name))) // those who wait shall see it
	})
}

func dropSpellings(ctx context.Context, tx *sql.Tx, name string) error {
	var spellings []string
	err := query(ctx, tx, statement("spellings", nil), []any{name}, func(rows row) error {
		var s string
		err := rows.Scan(&s)
		spellings = append(spellings, s)
		return err
	})
	for _, s := range spellings {
		if err == nil {
			err = exec(ctx, tx, statement("pgmq drop", nil), s)
		}
	}
	return err
}

// installed is which of PGMQ's own functions and tables there are. notify and
// partitioned say that they can be used, too.
type installed struct{ create, notify, drop, meta, unlogged, partitioned bool }

// mayNotify reports whether queues can have the driver's trigger.
func (i installed) mayNotify() bool { return !i.create || i.notify }

func readInstalled(ctx context.Context, at querier) (i installed, err error) {
	err = query(ctx, at, statement("has pgmq", nil), nil, func(rows row) error {
		return rows.Scan(&i.create, &i.notify, &i.drop, &i.meta, &i.unlogged, &i.partitioned)
	})
	return i, err
}

// exec runs a statement whose answer, if any, does not matter.
func exec(ctx context.Context, at querier, text string, args ...any) error {
	return query(ctx, at, text, args, ignore)
}

// inTx runs f in a transaction, and maps its errors.
func inTx(ctx context.Context, db *sql.DB, f func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return readError(noneFree(ctx, err, db))
	}
	defer func() { _ = tx.Rollback() }()
	if err := f(tx); err != nil {
		return ddlError(err)
	}
	return mapError(tx.Commit())
}

// ddlError maps an error in front of a commit: nothing has been applied. Two
// programs that make the same thing at the same time may collide; one of them
// then finds it made.
func ddlError(err error) error {
	if waited(err) {
		return err
	}
	switch sqlState(err) {
	case "23505", "42P07", "42710", "42P06", "XX000": // XX000: tuple concurrently updated
		return notApplied(err)
	case "":
		for _, ours := range []error{driver.ErrInvalid, driver.ErrNotSupported, driver.ErrQueueNotFound} {
			if errors.Is(err, ours) {
				return err
			}
		}
	}
	return readError(err)
}

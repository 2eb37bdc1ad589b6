package sqlite

import (
	"context"
	"database/sql"
	"slices"

	"github.com/portmq/mq/driver"
)

// Bind binds the queue to a pattern.
func (p *Provider) Bind(ctx context.Context, name, pattern string) error {
	return p.write(ctx, func(t *txn) error {
		q, err := t.queue(name)
		if err == nil {
			_, err = t.exec(sqlBind, q.id, pattern)
		}
		return err
	})
}

// Unbind removes a binding. A queue that is not there has none.
func (p *Provider) Unbind(ctx context.Context, name, pattern string) error {
	return p.write(ctx, func(t *txn) error {
		_, err := t.exec(sqlUnbind, name, pattern)
		return err
	})
}

// Bindings returns the bindings of one queue, or of all.
func (p *Provider) Bindings(ctx context.Context, name string) (all []driver.Binding, err error) {
	err = p.read(ctx, func(run driver.SQLTx) error {
		if name == "" {
			all, err = bindings(ctx, run)
		} else {
			all, err = bindingsOf(ctx, run, name)
		}
		return err
	})
	return all, err
}

// bindings returns all bindings, sorted by queue and pattern.
func bindings(ctx context.Context, run driver.SQLTx) (all []driver.Binding, err error) {
	err = query(ctx, run, func(rows *sql.Rows) error {
		var b driver.Binding
		err := rows.Scan(&b.Queue, &b.Pattern)
		all = append(all, b)
		return err
	}, sqlBindings)
	return all, err
}

// bindingsOf returns those of one queue, which has a row without a pattern if there are
// none.
func bindingsOf(ctx context.Context, run driver.SQLTx, name string) (of []driver.Binding, err error) {
	found := false
	err = query(ctx, run, func(rows *sql.Rows) error {
		var pattern sql.NullString
		err := rows.Scan(&pattern)
		if found = true; pattern.Valid {
			of = append(of, driver.Binding{Queue: name, Pattern: pattern.String})
		}
		return err
	}, sqlBindingsOf, name)
	if err == nil && !found {
		err = driver.ErrQueueNotFound
	}
	return of, err
}

// Publish stores all messages in all queues whose patterns match, or nothing.
func (p *Provider) Publish(ctx context.Context, topic string, msgs []driver.Message) (out []driver.Published, err error) {
	rows, err := newRows(msgs)
	if err != nil {
		return nil, err
	}
	err = p.write(ctx, func(t *txn) error {
		out, err = t.publish(topic, rows)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Publish stores msgs in the queues that are bound now.
func (t txProvider) Publish(ctx context.Context, topic string, msgs []driver.Message) (out []driver.Published, err error) {
	rows, err := newRows(msgs)
	if err != nil {
		return nil, t.abort(ctx, err)
	}
	err = t.do(ctx, func(tx *txn) error {
		out, err = tx.publish(topic, rows)
		return err
	})
	return out, err
}

// publish stores rows in each queue with a pattern that matches. Nobody binds or drops
// one meanwhile, since the transaction is the writer.
func (t *txn) publish(topic string, rows []row) (out []driver.Published, err error) {
	all, err := bindings(t.ctx, t.run)
	if err != nil {
		return nil, err
	}
	for _, name := range matched(all, topic) {
		ids, err := t.send(name, rows)
		if err != nil {
			return nil, err
		}
		out = append(out, driver.Published{Queue: name, IDs: ids})
	}
	return out, nil
}

// matched returns the queues that are bound to a topic, once each.
func matched(all []driver.Binding, topic string) (names []string) {
	for _, b := range all {
		if driver.MatchTopic(b.Pattern, topic) {
			names = append(names, b.Queue)
		}
	}
	return slices.Compact(names)
}

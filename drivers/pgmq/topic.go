package pgmq

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/portmq/mq/driver"
)

// Bind enters a binding, as pgmq.bind_topic does.
func (p *Provider) Bind(ctx context.Context, name, pattern string) error {
	if err := p.bindable(ctx, name); err != nil {
		return err
	}
	var spelling string
	err := p.bindings(ctx, name, statement("bind", nil), []any{name, pattern}, func(rows row) error { return rows.Scan(&spelling) })
	switch {
	case sqlState(err) == "23503": // it was dropped just now
		return driver.ErrQueueNotFound
	case err == nil && spelling == "":
		return fmt.Errorf("%w in pgmq.meta, where bindings need it (pgmq.Install enters it)", driver.ErrQueueNotFound)
	}
	return err
}

// Unbind deletes a binding, however PGMQ spells the queue.
func (p *Provider) Unbind(ctx context.Context, name, pattern string) error {
	return p.bindings(ctx, name, statement("unbind", nil), []any{name, pattern}, ignore)
}

// Bindings returns bindings, those of other programs as well.
func (p *Provider) Bindings(ctx context.Context, name string) ([]driver.Binding, error) {
	if name != "" {
		if err := p.bindable(ctx, name); err != nil {
			return nil, err
		}
	}
	var all []driver.Binding
	err := p.bindings(ctx, name, statement("bindings", nil), []any{name}, func(rows row) error {
		var b driver.Binding
		err := rows.Scan(&b.Queue, &b.Pattern)
		all = append(all, b)
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b driver.Binding) int {
		return cmp.Or(cmp.Compare(a.Queue, b.Queue), cmp.Compare(a.Pattern, b.Pattern))
	})
	return all, nil
}

// bindable returns an error if there are no bindings here, or no such queue.
func (p *Provider) bindable(ctx context.Context, name string) error {
	err := p.check(ctx)
	if err == nil {
		err = p.ensureBindings(ctx, p.pool)
	}
	if err == nil {
		_, err = p.attach(ctx, p.pool, name)
	}
	return err
}

// bindings runs a statement on the table of bindings, which may be repeated.
func (p *Provider) bindings(ctx context.Context, name, text string, args []any, scan func(row) error) error {
	err := p.check(ctx)
	if err == nil {
		err = p.ensureBindings(ctx, p.pool)
	}
	if err == nil {
		err = p.within(ctx, callLimit, text, args, scan)
		p.forgetBindings(err)
	}
	p.detach(name, err)
	return readErrorOf(ctx, err)
}

// ensureBindings makes the table of bindings, if it is missing. Where PGMQ is installed
// that is its own business.
func (p *Provider) ensureBindings(ctx context.Context, at querier) error {
	if p.routes.bindings.Load() {
		return nil
	}
	var there, functions bool
	short, cancel := bounded(ctx, probeLimit)
	defer cancel()
	err := query(short, at, statement("has bindings", nil), nil, func(rows row) error { return rows.Scan(&there, &functions) })
	switch {
	case err == nil && !there && functions:
		return fmt.Errorf("%w: topics need PGMQ 1.11 or later (ALTER EXTENSION pgmq UPDATE)", driver.ErrNotSupported)
	case err == nil && !there:
		err = p.makeBindings(ctx)
	}
	p.routes.bindings.Store(err == nil)
	return readErrorOf(ctx, err)
}

func (p *Provider) makeBindings(ctx context.Context) error {
	err := ddl{db: p.db, log: p.log}.run(ctx, func(tx *sql.Tx) error {
		if err := install(ctx, tx, "make schema", "make meta"); err != nil {
			return err
		}
		return exec(ctx, tx, statement("make bindings", nil))
	})
	if sqlState(err) == "42501" {
		return fmt.Errorf("%w: the table pgmq.topic_bindings is missing, and the role may not create it (pgmq.Install does)", driver.ErrNotSupported)
	}
	return err
}

// forgetBindings looks for the table again if err says that a table is missing.
func (p *Provider) forgetBindings(err error) {
	if sqlState(err) == "42P01" {
		p.routes.bindings.Store(false)
	}
}

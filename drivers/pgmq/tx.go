package pgmq

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/portmq/mq/driver"
)

// Tx returns a view that runs its statements inside tx, a transaction on the
// same database, of whatever pool: a *sql.Tx, what wraps one, or Tx of a pgx.Tx.
func (p *Provider) Tx(tx driver.SQLTx) (driver.TxProvider, error) {
	if p.closed() {
		return nil, driver.ErrClosed
	}
	if own, ok := tx.(pgxTx); ok && own.tx == nil {
		return nil, fmt.Errorf("%w: Tx of nil", driver.ErrInvalid)
	}
	return txProvider{p, tx}, nil
}

// txProvider works inside a caller's transaction.
type txProvider struct {
	p  *Provider
	tx driver.SQLTx
}

// Send inserts msgs. The notification leaves with the commit.
func (t txProvider) Send(ctx context.Context, name string, msgs []driver.Message) ([]string, error) {
	q, err := t.attach(ctx, name)
	if err != nil {
		return nil, err
	}
	i, err := t.p.insertion(q, msgs)
	if err != nil {
		return nil, t.abort(ctx, err)
	}
	ids := make([]string, 0, len(msgs))
	text, args := i.statement(q, q.hub.takeTxNotify(t.p))
	if err := query(ctx, t.tx, text, args, scanIDs(&ids)); err != nil {
		return nil, t.fail(ctx, name, err)
	}
	return ids, nil
}

// Settle fails the whole transaction if one of the settlements fails.
func (t txProvider) Settle(ctx context.Context, name string, s []driver.Settlement) error {
	q, err := t.attach(ctx, name)
	if err != nil {
		return err
	}
	b := newBatch(q, s)
	b.waits = true
	for _, part := range b.parts {
		text, args, err := t.p.settlement(ctx, t.tx, b, part)
		if err != nil {
			return t.abort(ctx, err)
		}
		if err := query(ctx, t.tx, text, args, b.failures(part)); err != nil {
			t.p.detach(part.to, err)
			return t.fail(ctx, name, err)
		}
	}
	if err := b.outcome(); err != nil {
		return t.abort(ctx, err)
	}
	for _, to := range woken(name, s) {
		if err := query(ctx, t.tx, sqlNotify, []any{arrayOf(channel(to))}, ignore); err != nil {
			return t.fail(ctx, to, err)
		}
	}
	return nil
}

// woken returns the queues in which s makes messages visible.
func woken(name string, s []driver.Settlement) (queues []string) {
	for i := range s {
		to := s[i].To
		switch {
		case s[i].Op == driver.OpNack && s[i].Delay != driver.AtTimeout:
			to = name
		case s[i].Op != driver.OpMove:
			continue
		}
		if !slices.Contains(queues, to) {
			queues = append(queues, to)
		}
	}
	return queues
}

// attach looks the queue up inside the transaction: the pool may have no other
// connection, and the transaction may have made the queue.
func (t txProvider) attach(ctx context.Context, name string) (*queue, error) {
	q, err := t.p.attach(ctx, t.tx, name)
	if err != nil {
		return nil, t.abort(ctx, err)
	}
	return q, nil
}

// fail maps an error of the server, which has aborted the transaction. The
// connection that broke has not committed either, so that nothing is in doubt.
func (t txProvider) fail(ctx context.Context, queue string, err error) error {
	t.p.detach(queue, err)
	return t.abort(ctx, isolated(mapError(err)))
}

// isolated names the isolation where that is why a caller's transaction failed:
// below REPEATABLE READ there is no 40001.
func isolated(err error) error {
	var e *dbError
	if !errors.As(err, &e) || e.code != "40001" {
		return err
	}
	return &dbError{
		text: "a concurrent transaction changed the message after this one began, as does the extension of its lease, and this one is REPEATABLE READ or SERIALIZABLE (use READ COMMITTED, or settle before the work)",
		code: e.code, is: e.is, cause: e.cause,
	}
}

// abort keeps the transaction from being committed as if nothing had failed,
// which is all the more needed if ctx has ended. So nothing is in doubt, even if the
// answer was lost.
func (t txProvider) abort(ctx context.Context, err error) error {
	if errors.Is(err, driver.ErrUnavailable) {
		err = notApplied(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimGrace)
	defer cancel()
	_ = query(ctx, t.tx, sqlAbort, nil, ignore)
	return fmt.Errorf("%w (roll the transaction back)", err)
}

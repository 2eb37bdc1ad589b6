package sqldriver

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"regexp"
	"slices"
	"time"

	"github.com/portmq/mq/driver"
)

// A receipt is a lease and a queue. A lease is random, so that it is of one file only.
var receiptForm = regexp.MustCompile(`^([A-Z2-7]{26}[1-9][0-9]*)/(.*)$`)

// each runs a statement for each receipt. One that changes no row fails alone.
func (p *provider) each(ctx context.Context, name string, receipts []driver.Receipt,
	run func(ctx context.Context, tx *sql.Tx, i int, lease string) (sql.Result, error),
) error {
	leases, errs := make([]string, len(receipts)), make([]error, len(receipts))
	for i, r := range receipts {
		part := receiptForm.FindStringSubmatch(string(r))
		if part == nil || part[2] != name {
			errs[i] = driver.ErrInvalidReceipt
			continue
		}
		leases[i] = part[1]
	}
	if !slices.Contains(errs, nil) {
		return driver.Batch(errs)
	}
	err := p.change(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for i, lease := range leases {
			if errs[i] != nil {
				continue
			}
			r, err := run(ctx, tx, i, lease)
			if err != nil {
				return err
			}
			errs[i] = affected(r, nil, driver.ErrStaleReceipt)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return driver.Batch(errs)
}

func (p *provider) Settle(ctx context.Context, name string, s []driver.Settlement) error {
	receipts := make([]driver.Receipt, len(s))
	for i := range s {
		receipts[i] = s[i].Receipt
	}
	return p.each(ctx, name, receipts, func(ctx context.Context, tx *sql.Tx, i int, lease string) (sql.Result, error) {
		now := time.Now().UnixMicro()
		switch {
		case s[i].Op == driver.OpAck:
			return tx.ExecContext(ctx, "DELETE FROM messages WHERE lease = ?", lease)
		case s[i].Op == driver.OpArchive:
			return tx.ExecContext(ctx, `UPDATE messages SET lease = NULL, archived_at = ?,
				headers = CASE WHEN ?2 = '' THEN headers ELSE json_set(headers, '$."mq-reason"', ?2) END WHERE lease = ?3`, now, s[i].Reason, lease)
		case s[i].Delay == driver.AtTimeout:
			return sqldriver.RowsAffected(1), nil
		}
		return tx.ExecContext(ctx, "UPDATE messages SET lease = NULL, visible_at = ? WHERE lease = ?", later(now, s[i].Delay), lease)
	})
}

func (p *provider) Extend(ctx context.Context, name string, rs []driver.Receipt, d time.Duration) error {
	return p.each(ctx, name, rs, func(ctx context.Context, tx *sql.Tx, _ int, lease string) (sql.Result, error) {
		now := time.Now().UnixMicro()
		return tx.ExecContext(ctx, "UPDATE messages SET visible_at = ? WHERE lease = ? AND visible_at > ?", later(now, d), lease, now)
	})
}

// Stats counts, which is slow on a long queue. A driver for programs keeps counters.
func (p *provider) Stats(ctx context.Context, name string) (s driver.Stats, err error) {
	s.ScrapedAt = time.Now()
	age := func(t sql.NullInt64, none time.Duration) time.Duration {
		if !t.Valid {
			return none
		}
		return s.ScrapedAt.Sub(time.UnixMicro(t.Int64))
	}
	err = p.do(ctx, func(ctx context.Context, c *sql.Conn) error {
		var oldest, newest, due sql.NullInt64
		err := c.QueryRowContext(ctx, `SELECT sent, count(archived_at), count(live), count(live) FILTER (WHERE visible_at <= ?1),
			count(lease) FILTER (WHERE visible_at > ?1), min(live), max(live), min(visible_at) FILTER (WHERE visible_at <= ?1 AND live)
			FROM queues LEFT JOIN (SELECT *, CASE WHEN archived_at IS NULL THEN enqueued_at END AS live FROM messages) ON queue = name
			WHERE name = ?2 GROUP BY name`, s.ScrapedAt.UnixMicro(), name).
			Scan(&s.TotalSent, &s.Archived, &s.Total, &s.Visible, &s.Leased, &oldest, &newest, &due)
		if errors.Is(err, sql.ErrNoRows) {
			err = driver.ErrQueueNotFound
		}
		s.Delayed = s.Total - s.Visible - s.Leased
		s.OldestAge, s.NewestAge, s.Lag = age(oldest, -1), age(newest, -1), age(due, 0)
		return err
	})
	return s, err
}

package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"slices"
	"time"

	"github.com/portmq/mq/driver"
)

// Report stores a report, and removes those whose time is over. Its commit does not wait
// for the disk if it is alone.
func (p *Provider) Report(ctx context.Context, r driver.ConsumerReport, ttl time.Duration) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return p.writeLazily(ctx, func(t *txn) error {
		if _, err := t.exec(sqlForgetExpired, t.now); err != nil {
			return err
		}
		if ttl <= 0 {
			_, err := t.exec(sqlForgetReport, r.ID)
			return err
		}
		n, err := t.exec(sqlReport, r.ID, r.Queue, t.now, later(t.now, ttl), string(text))
		if err == nil && n == 0 {
			err = driver.ErrQueueNotFound
		}
		return err
	})
}

// Consumers returns the reports whose time is not over. A queue that is not there has
// none.
func (p *Provider) Consumers(ctx context.Context, name string) (reports []driver.ConsumerReport, err error) {
	err = p.read(ctx, func(run driver.SQLTx) error {
		reports = nil
		return query(ctx, run, func(rows *sql.Rows) error {
			r, err := scanReport(rows)
			reports = append(reports, r)
			return err
		}, sqlConsumers, name, now())
	})
	slices.SortFunc(reports, func(a, b driver.ConsumerReport) int {
		return cmp.Or(cmp.Compare(a.Queue, b.Queue), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return reports, err
}

func scanReport(rows *sql.Rows) (r driver.ConsumerReport, err error) {
	var queue, id string
	var seen int64
	var text []byte
	if err := rows.Scan(&queue, &id, &seen, &text); err != nil {
		return r, err
	}
	err = json.Unmarshal(text, &r)
	r.Queue, r.ID, r.At = queue, id, timeOf(seen)
	return r, err
}

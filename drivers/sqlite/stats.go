package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/portmq/mq/driver"
)

// Stats reads counters, so that its cost does not grow with the queue; only that of
// blocked messages does, with their number.
func (p *Provider) Stats(ctx context.Context, name string) (s driver.Stats, err error) {
	err = p.snapshot(ctx, func(run driver.SQLTx) error {
		s, err = stats(ctx, run, name)
		return err
	})
	return s, err
}

// AllStats counts all queues at one moment.
func (p *Provider) AllStats(ctx context.Context) (all map[string]driver.Stats, err error) {
	err = p.snapshot(ctx, func(run driver.SQLTx) error {
		names, err := list(ctx, run)
		all = make(map[string]driver.Stats, len(names))
		for _, name := range names {
			if err == nil {
				all[name], err = stats(ctx, run, name)
			}
		}
		return err
	})
	return all, err
}

// snapshot runs do, whose statements see the file at one moment, which is before the clock
// is read in do: else what others commit meanwhile would be in the future. BeginTx would take the
// write lock on a program's pool with _txlock=immediate.
func (p *Provider) snapshot(ctx context.Context, do func(driver.SQLTx) error) error {
	return p.read(ctx, func(driver.SQLTx) error {
		conn, err := p.looks.db.Conn(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }() // it goes back to the pool
		defer rollback(ctx, conn)           // it has changed nothing
		if _, err := conn.ExecContext(ctx, "BEGIN DEFERRED"); err != nil {
			return err
		}
		if err := query(ctx, conn, func(*sql.Rows) error { return nil }, sqlVersion); err != nil { // the moment
			return err
		}
		return do(conn)
	})
}

func stats(ctx context.Context, run driver.SQLTx, name string) (s driver.Stats, err error) {
	at := now()
	var id, grouped int64
	var oldest, newest, due sql.NullInt64
	var found bool
	err = query(ctx, run, into(&found, &id, &s.Total, &s.Archived, &s.TotalSent, &grouped, &s.Leased, &s.Delayed, &oldest, &newest, &due),
		sqlStats, name, at, bucket(at), (bucket(at)+1)<<bucketBits)
	if err == nil && !found {
		err = driver.ErrQueueNotFound
	}
	if err == nil && grouped != 0 {
		err = blocked(ctx, run, &s, &due, id, at)
	}
	if err != nil {
		return driver.Stats{}, err
	}
	s.Visible = max(0, s.Total-s.Leased-s.Delayed-s.Blocked)
	s.OldestAge, s.NewestAge = age(at, oldest, -1), age(at, newest, -1)
	s.Lag = age(at, due, 0)
	s.ScrapedAt = timeOf(at)
	return s, nil
}

// blocked counts the blocked messages, and leaves them out of what is due.
func blocked(ctx context.Context, run driver.SQLTx, s *driver.Stats, due *sql.NullInt64, id, at int64) error {
	var found bool
	if err := query(ctx, run, into(&found, &s.Blocked), sqlBlocked, id, at); err != nil || s.Blocked == 0 {
		return err
	}
	*due = sql.NullInt64{}
	return query(ctx, run, into(&found, due), sqlLag, id, at)
}

// age returns how long ago t was, or none if there is no t.
func age(at int64, t sql.NullInt64, none time.Duration) time.Duration {
	if !t.Valid {
		return none
	}
	return time.Duration(max(0, at-t.Int64)) * time.Microsecond
}

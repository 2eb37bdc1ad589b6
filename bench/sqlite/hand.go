package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

const (
	batchSize = 100
	claimSize = 100
)

// handSchema is what an expert makes of one queue.
const handSchema = `
CREATE TABLE job (
  id INTEGER PRIMARY KEY,
  due INTEGER NOT NULL,
  reads INTEGER NOT NULL DEFAULT 0,
  sent INTEGER NOT NULL,
  body BLOB NOT NULL
) STRICT;
CREATE INDEX job_due ON job (due);`

// hand is what an expert writes for it. Statements are prepared.
type hand struct {
	db                        *sql.DB
	one, many, claim, discard *sql.Stmt
}

func (l *lab) hand(ctx context.Context) (h *hand, err error) {
	h = new(hand)
	if h.db, err = l.db(ctx, "hand.db", handSchema); err != nil {
		return nil, err
	}
	const insert = "INSERT INTO job (due, sent, body) VALUES "
	for stmt, text := range map[**sql.Stmt]string{
		&h.one:  insert + "(?, ?, ?)",
		&h.many: insert + strings.Repeat("(?, ?, ?), ", batchSize-1) + "(?, ?, ?)",
		&h.claim: `UPDATE job SET due = ?1, reads = reads + 1
			WHERE id IN (SELECT id FROM job WHERE due <= ?2 ORDER BY due LIMIT ?3)
			RETURNING id, reads, sent, body`,
		&h.discard: "DELETE FROM job WHERE id IN (SELECT value FROM json_each(?))",
	} {
		if *stmt, err = h.db.PrepareContext(ctx, text); err != nil {
			return nil, err
		}
		l.opened = append(l.opened, *stmt)
	}
	return h, nil
}

// send stores one message in a transaction of its own.
func (h *hand) send(ctx context.Context) error {
	now := time.Now().UnixMicro()
	_, err := h.one.ExecContext(ctx, now, now, body)
	return err
}

// sendEach stores a batch in one transaction, message by message.
func (h *hand) sendEach(ctx context.Context) error {
	tx, err := h.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it does nothing
	one := tx.StmtContext(ctx, h.one)
	for range batchSize {
		now := time.Now().UnixMicro()
		if _, err := one.ExecContext(ctx, now, now, body); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// sendAll stores a batch by one statement.
func (h *hand) sendAll(ctx context.Context) error {
	var args []any
	for range batchSize {
		now := time.Now().UnixMicro()
		args = append(args, now, now, body)
	}
	_, err := h.many.ExecContext(ctx, args...)
	return err
}

// clear empties the table.
func (h *hand) clear(ctx context.Context) error {
	_, err := h.db.ExecContext(ctx, "DELETE FROM job")
	return err
}

// drain claims n messages and deletes them, each in transactions of 100.
func (h *hand) drain(ctx context.Context, n int) error {
	for done := 0; done < n; {
		ids, err := h.claimed(ctx)
		if err != nil {
			return err
		}
		list, err := json.Marshal(ids)
		if err != nil {
			return err
		}
		r, err := h.discard.ExecContext(ctx, string(list))
		if err != nil {
			return err
		}
		if gone, err := r.RowsAffected(); err != nil || gone == 0 || int(gone) != len(ids) {
			return fmt.Errorf("claimed %d messages and deleted %d, %w", len(ids), gone, err)
		}
		done += len(ids)
	}
	return nil
}

// claimed leases messages and returns their ids.
func (h *hand) claimed(ctx context.Context) (ids []int64, err error) {
	now := time.Now()
	rows, err := h.claim.QueryContext(ctx, now.Add(30*time.Second).UnixMicro(), now.UnixMicro(), claimSize)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err reports it
	for rows.Next() {
		var id, reads, sent int64
		var body []byte
		if err := rows.Scan(&id, &reads, &sent, &body); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// What those who write by hand found to be best.
const (
	handConns = 64
	flights   = 2 // statements of a kind at the same time
	claimSize = 100
)

// hand is what an expert writes for one queue table.
type hand struct {
	pool                           *pgxpool.Pool
	table                          string
	one, many, byDue, byID, delete string
}

func newHand(pool *pgxpool.Pool, queue string) *hand {
	t := table(queue)
	claim := func(due string) string {
		return `WITH c AS MATERIALIZED (SELECT msg_id FROM ` + t + ` WHERE ` + due + ` LIMIT $1 FOR UPDATE SKIP LOCKED)
			UPDATE ` + t + ` SET vt = clock_timestamp() + interval '30 seconds', last_read_at = clock_timestamp(), read_ct = read_ct + 1
			WHERE msg_id = ANY(ARRAY(SELECT msg_id FROM c))
			RETURNING msg_id, read_ct, enqueued_at, vt, message, headers`
	}
	return &hand{
		pool: pool, table: t,
		one: `INSERT INTO ` + t + ` (vt, message) VALUES (clock_timestamp(), $1) RETURNING msg_id`,
		many: `INSERT INTO ` + t + ` (vt, message)
			SELECT clock_timestamp(), b::jsonb FROM unnest($1::text[]) AS b RETURNING msg_id`,
		byDue: claim("vt <= statement_timestamp() ORDER BY vt"),
		byID:  claim("vt <= clock_timestamp() ORDER BY msg_id"),
		delete: `DELETE FROM ` + t + ` WHERE msg_id = ANY($1::bigint[])
			AND (msg_id, read_ct) IN (SELECT * FROM unnest($1::bigint[], $2::int[]))`,
	}
}

// send stores one message.
func (h *hand) send(ctx context.Context) error {
	var id int64
	return h.pool.QueryRow(ctx, h.one, body).Scan(&id)
}

// sendAll stores a batch and returns the ids.
func (h *hand) sendAll(ctx context.Context, bodies []string) ([]int64, error) {
	rows, err := h.pool.Query(ctx, h.many, bodies)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

// handMessage is a claimed row.
type handMessage struct {
	ID            int64
	Reads         int32
	Enqueued, VT  time.Time
	Body, Headers []byte
}

// drain claims n messages, hands them to the workers and deletes them.
func (h *hand) drain(ctx context.Context, claim string, n int) error {
	work, done := make(chan handMessage, 2*claimSize), make(chan handMessage, 2*claimSize)
	var left, deleted atomic.Int64
	left.Store(int64(n))
	fetched := start(flights, func() error { return h.fetch(ctx, claim, &left, work) })
	worked := start(workers, func() error {
		for m := range work {
			done <- m
		}
		return nil
	})
	settled := start(flights, func() error { return h.settle(ctx, done, &deleted) })

	err := fetched()
	close(work)
	_ = worked()
	close(done)
	err = errors.Join(err, settled())
	if got := int(deleted.Load()); err == nil && got != n {
		err = fmt.Errorf("deleted %d of %d", got, n)
	}
	return err
}

// fetch claims until none of the messages is left to claim. A message may be
// deleted only when its claim has committed, so a claim is handed on as a
// whole.
func (h *hand) fetch(ctx context.Context, claim string, left *atomic.Int64, out chan<- handMessage) error {
	for left.Load() > 0 {
		rows, err := h.pool.Query(ctx, claim, claimSize)
		if err != nil {
			return err
		}
		ms, err := pgx.CollectRows(rows, pgx.RowToStructByPos[handMessage])
		if err != nil {
			return err
		}
		left.Add(-int64(len(ms)))
		for _, m := range ms {
			out <- m
		}
	}
	return nil
}

// settle deletes what the workers are done with, as much as there is at a
// time.
func (h *hand) settle(ctx context.Context, done <-chan handMessage, deleted *atomic.Int64) (err error) {
	for m := range done {
		ids, reads := []int64{m.ID}, []int32{m.Reads}
		for len(ids) < claimSize {
			m, ok := next(done)
			if !ok {
				break
			}
			ids, reads = append(ids, m.ID), append(reads, m.Reads)
		}
		if err == nil { // else let the workers go
			var tag pgconn.CommandTag
			tag, err = h.pool.Exec(ctx, h.delete, ids, reads)
			deleted.Add(tag.RowsAffected())
		}
	}
	return err
}

// next takes what is there.
func next[T any](c <-chan T) (x T, ok bool) {
	select {
	case x, ok = <-c:
	default:
	}
	return x, ok
}

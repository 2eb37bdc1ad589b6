package main

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// Statements over tables of which the catalog has told the names. They have been
// quoted by the server, and the types of their operators are exact.

// stray is how many rows are in a default partition.
type stray struct {
	table string
	rows  int64
}

// readTables looks into the tables of a queue, as far as the role may.
func (q *pgQueue) readTables(ctx context.Context, db *sql.DB) error {
	for _, read := range []func(context.Context, *sql.DB) error{q.readIDs, q.readStrays, q.readGroups} {
		if err := read(ctx, db); err != nil && sqlState(err) != denied {
			q.unread = true
			return err
		}
	}
	return nil
}

// maxCounted is how many rows are counted.
const maxCounted = 10_000

// readStrays counts the rows of default partitions.
func (q *pgQueue) readStrays(ctx context.Context, db *sql.DB) error {
	for table := range strings.FieldsFuncSeq(q.defaults, func(r rune) bool { return r == '\n' }) {
		query := fmt.Sprintf("SELECT pg_catalog.count(*) FROM (SELECT FROM %s LIMIT %d) AS r", table, maxCounted)
		err := readOnly(ctx, db, func(ctx context.Context, tx *sql.Tx) error {
			var n int64
			err := tx.QueryRowContext(ctx, query).Scan(&n)
			if err == nil && n > 0 {
				q.strays = append(q.strays, stray{table, n})
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// readIDs reads the sequence last: it is never behind ids that are drawn
// meanwhile. A role without the right to it does not learn them.
func (q *pgQueue) readIDs(ctx context.Context, db *sql.DB) error {
	if q.sequence == "" || q.partitioned || q.mayNot("SELECT") || strings.Contains(q.archiveLacks, "SELECT") {
		return nil
	}
	highest := "(SELECT pg_catalog.max(msg_id) FROM " + q.table + ")"
	if q.archive != "" {
		highest = "greatest(" + highest + ", (SELECT pg_catalog.max(msg_id) FROM " + q.archive + "))"
	}
	return readOnly(ctx, db, func(ctx context.Context, tx *sql.Tx) error {
		var used, next sql.NullInt64
		err := tx.QueryRowContext(ctx, "SELECT "+highest).Scan(&used)
		if err == nil {
			err = tx.QueryRowContext(ctx, "SELECT CASE WHEN is_called THEN last_value + 1::bigint ELSE last_value END FROM "+q.sequence).Scan(&next)
		}
		if err == nil {
			q.max, q.next = used.Int64, next.Int64
		}
		return err
	})
}

// contents judges what readTables has found. Ids come again after TRUNCATE ...
// RESTART IDENTITY, a restore or, if the queue is unlogged, a crash.
func (d *doctor) contents(q pgQueue) {
	if q.next <= q.max && q.max > 0 {
		d.problem(q.name, "ids come again: the next message gets %d, and there are messages up to %d: sends fail, or dead letters find no place (SELECT setval(%s, %d))",
			q.next, q.max, literal(q.sequence), q.max)
	}
	for _, s := range q.strays {
		rows := plural(s.rows, "row")
		if s.rows == maxCounted {
			rows = fmt.Sprintf("%d rows or more", s.rows)
		}
		d.problem(q.name, "%s in the default partition %s: partitions are missing, and cannot be made for ids of these rows (partman.partition_data_proc of pg_partman moves them)", rows, s.table)
	}
}

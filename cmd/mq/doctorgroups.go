package main

import (
	"context"
	"database/sql"
)

// grouping is what the statement "groupings" returns: one way in which the
// messages of a queue have indexes for groups.
type grouping struct {
	queue, by string // as -group-by takes it
	indexes   int    // that are valid
}

// groupIndexes is how many a grouping needs: with one of them receives read
// the whole queue as well.
const groupIndexes = 2

// readGroupings adds the groupings to the queues.
func (d *doctor) readGroupings(ctx context.Context, queues []pgQueue) error {
	groupings, err := rowsOf(ctx, d.db, "groupings", func(g *grouping) []any { return []any{&g.queue, &g.by, &g.indexes} })
	for i := range queues {
		queues[i].ungrouped = err != nil
		for _, g := range groupings {
			if g.queue == queues[i].name {
				queues[i].groupings = append(queues[i].groupings, g)
			}
		}
	}
	return d.unseen(ctx, look{"queues", "indexes for groups", nil}, err)
}

// readGroups looks for groups in the oldest messages of a queue that needs
// indexes for groups. By which paths of the body somebody receives does not show
// anywhere.
func (q *pgQueue) readGroups(ctx context.Context, db *sql.DB) error {
	if q.live <= manyRows || !q.headers || q.mayNot("SELECT") {
		return nil
	}
	query := "SELECT pg_catalog.count(*) > 0 FROM (SELECT headers FROM " + q.table + " ORDER BY msg_id LIMIT 100) AS r " +
		"WHERE pg_catalog.jsonb_typeof(r.headers -> 'x-pgmq-group'::text) <> 'null'::text"
	return readOnly(ctx, db, func(ctx context.Context, tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, query).Scan(&q.hasGroups)
	})
}

func (d *doctor) groups(q pgQueue) {
	byHeader := false
	for _, g := range q.groupings {
		if g.by == "header" {
			byHeader = true
		}
		if g.indexes < groupIndexes {
			d.problem(q.name, "unless they are being made now, the indexes for groups by %s failed half way: each receive by it reads the whole queue (mq create %s -group-by %s)", g.by, q.name, g.by)
		}
	}
	switch {
	case q.live <= manyRows, q.ungrouped:
	case q.hasGroups && !byHeader:
		d.advice(q.name, "messages have groups, and there is no index for them: each receive by group reads the whole queue (mq create %s -group-by header)", q.name)
	case len(q.groupings) == 0:
		d.advice(q.name, "no index for groups: if you receive by group, each receive reads the whole queue (mq create %s -group-by header, or a path in the body as in repo.id)", q.name)
	}
}

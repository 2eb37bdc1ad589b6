package main

import (
	"context"
	"database/sql"

	"github.com/portmq/mq"
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
func readGroupings(ctx context.Context, db *sql.DB, queues []pgQueue) error {
	groupings, err := rowsOf(ctx, db, "groupings", func(g *grouping) []any { return []any{&g.queue, &g.by, &g.indexes} })
	for i := range queues {
		for _, g := range groupings {
			if g.queue == queues[i].name {
				queues[i].groupings = append(queues[i].groupings, g)
			}
		}
	}
	return err
}

// hasGroups reports whether the oldest messages of a queue that needs indexes
// for groups have some. By which paths of the body somebody receives does not
// show anywhere.
func (d *doctor) hasGroups(ctx context.Context, q pgQueue) bool {
	if q.live <= manyRows || !q.headers {
		return false
	}
	records, _ := d.client.Queue(q.name).Peek(ctx, mq.BrowseOptions{Limit: 100}) // what it may not read it cannot tell
	for _, r := range records {
		if r.Group != "" {
			return true
		}
	}
	return false
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
	case q.live <= manyRows:
	case q.hasGroups && !byHeader:
		d.advice(q.name, "messages have groups, and there is no index for them: each receive by group reads the whole queue (mq create %s -group-by header)", q.name)
	case len(q.groupings) == 0:
		d.advice(q.name, "no index for groups: if you receive by group, each receive reads the whole queue (mq create %s -group-by header, or a path in the body as in repo.id)", q.name)
	}
}

package sqlite

import (
	"context"
	"database/sql"
)

// counted are a queue's counters, and how many rows there are.
type counted struct {
	id                                 int64
	name                               sql.NullString // NULL once it is dropped
	total, rows, archived, archiveRows int64
}

// checkQueues compares counters with rows, and looks for rows of dropped queues and
// for groups that wait.
func (p *Provider) checkQueues(ctx context.Context) ([]Finding, error) {
	all, err := ask(ctx, p, sqlCounters, func(c *counted) []any {
		return []any{&c.id, &c.name, &c.total, &c.rows, &c.archived, &c.archiveRows}
	})
	if err != nil {
		return nil, err
	}
	var f findings
	var dropped, left int64
	for _, c := range all {
		if !c.name.Valid {
			dropped, left = dropped+1, left+c.rows+c.archiveRows
			continue
		}
		s, err := p.Stats(ctx, c.name.String)
		if err != nil {
			continue // it was dropped in this moment
		}
		f.judge(c, s.Blocked)
	}
	if dropped > 0 {
		f.add(Advice, "queues", "%d dropped queues have left %d rows: their removal goes on, or was cut off (the next drop of any queue removes them)", dropped, left)
	}
	return f, nil
}

// manyBlocked is how many blocked messages are worth a word.
const manyBlocked = 1000

func (f *findings) judge(c counted, blocked int64) {
	before := len(*f)
	if c.total != c.rows || c.archived != c.archiveRows {
		f.add(Problem, c.name.String, "the counters say %d messages and %d archived ones, and there are %d and %d: stats are wrong (UPDATE mq_queue SET total = (SELECT count(*) FROM mq_message WHERE queue = %[5]d), archived = (SELECT count(*) FROM mq_archive WHERE queue = %[5]d) WHERE id = %[5]d)",
			c.total, c.archived, c.rows, c.archiveRows, c.id)
	}
	if blocked > manyBlocked && blocked > c.rows/2 {
		f.add(Advice, c.name.String, "%d of %d messages wait for an earlier one of their group, which is leased or delayed (peek shows the heads, and how often they were read)", blocked, c.rows)
	}
	if len(*f) == before {
		f.add(OK, c.name.String, "%d messages, %d in the archive", c.rows, c.archiveRows)
	}
}

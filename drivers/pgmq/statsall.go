package pgmq

import (
	"context"
	"fmt"
	"strings"

	"github.com/portmq/mq/driver"
)

// statsTogether is how many queues one statement of AllStats counts: its plan grows with
// them.
const statsTogether = 50

// AllStats counts the queues 50 to a statement, once each has been looked up. It leaves
// out those that Stats would have to estimate, and, where one of 50 cannot be counted,
// all of them.
func (p *Provider) AllStats(ctx context.Context) (map[string]driver.Stats, error) {
	names, err := p.ListQueues(ctx)
	if err != nil {
		return nil, err
	}
	all := make(map[string]driver.Stats, len(names))
	for len(names) > 0 && ctx.Err() == nil {
		n := min(len(names), statsTogether)
		p.statsOf(ctx, names[:n], all)
		names = names[n:]
	}
	return all, ctx.Err()
}

// statsOf counts queues in one statement, as far as that is possible.
func (p *Provider) statsOf(ctx context.Context, names []string, all map[string]driver.Stats) {
	var parts, found []string
	for _, name := range names {
		if q, err := p.attach(ctx, p.pool, name); err == nil {
			parts = append(parts, fmt.Sprintf("SELECT %d AS i, s.* FROM (%s) s", len(found), q.texts.stats))
			found = append(found, name)
		}
	}
	if len(parts) == 0 {
		return
	}
	// If it fails each queue says why, when it is asked alone.
	_ = p.within(ctx, callLimit, strings.Join(parts, " UNION ALL "), []any{exactUpTo}, func(rows row) error {
		var i int
		var c counted
		if err := rows.Scan(append([]any{&i}, c.dest()...)...); err != nil {
			return err
		}
		if max(c.due, c.hidden, c.archived) <= exactUpTo {
			all[found[i]] = c.stats(sample{}, sample{})
		}
		return nil
	})
}

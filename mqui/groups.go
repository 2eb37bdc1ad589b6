package mqui

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/portmq/mq"
)

const (
	// groupScan is how many messages are looked at to count groups.
	groupScan = 1000
	maxGroups = 50
)

// groups are the groups among the oldest messages of a queue.
type groups struct {
	Counts []groupCount
	More   int // groups that are left out
	Looked int
	Err    string
}

type groupCount struct {
	Group                    string
	Waiting, Leased, Delayed int
	Oldest                   time.Time
	URL                      string

	count int
}

// countGroups looks at the oldest messages. The largest groups come first.
func (u *UI) countGroups(ctx context.Context, s *source, q *mq.Queue) *groups {
	g := &groups{}
	byName := make(map[string]*groupCount)
	l := listing{queue: q, limit: min(groupScan, q.Client().Caps().BatchLimit())}
	for end := false; !end && g.Looked < groupScan; {
		found, err := l.page(ctx, 1)
		if err != nil {
			g.Err = describe(err)
			break
		}
		for _, r := range found.Records {
			shown := u.redact(q.Name(), r)
			addToGroup(byName, &shown)
		}
		g.Looked += found.Looked
		l.after, end = found.Last, found.End
	}
	for _, c := range byName {
		c.URL = address("queue", "source", s.Name, "queue", q.Name(), "tab", "all", "group", c.Group) + "#messages"
		g.Counts = append(g.Counts, *c)
	}
	slices.SortFunc(g.Counts, func(a, b groupCount) int {
		return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.Group, b.Group))
	})
	if len(g.Counts) > maxGroups {
		g.More = len(g.Counts) - maxGroups
		g.Counts = g.Counts[:maxGroups]
	}
	return g
}

// addToGroup counts a message. One without a group is not counted.
func addToGroup(byName map[string]*groupCount, r *mq.Record) {
	if r.Group == "" {
		return
	}
	c := byName[r.Group]
	if c == nil {
		c = &groupCount{Group: r.Group, Oldest: r.EnqueuedAt}
		byName[r.Group] = c
	}
	c.count++
	c.Oldest = earlier(c.Oldest, r.EnqueuedAt)
	switch r.State {
	case mq.StateLeased:
		c.Leased++
	case mq.StateDelayed:
		c.Delayed++
	default:
		c.Waiting++
	}
}

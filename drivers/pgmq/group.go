package pgmq

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/portmq/mq/driver"
)

// grouping is one queue seen by one GroupBy.
type grouping struct {
	q             *queue
	indexed       bool
	choose, claim string
	lock, drain   string
	cursor        *cursor // outlives this
	key           string  // the expression for a message's group
}

// names returns what the statements are made of.
func (g *grouping) names() tableNames {
	n := g.q.names
	n.Key, n.Indexed = g.key, g.indexed
	return n
}

// cursor is where the walk over all groups goes on, so that each has its turn.
type cursor struct {
	mu sync.Mutex
	at string
}

func (c *cursor) get() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *cursor) set(at string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}

// groupKey returns the expression for a message's group. It is the same text
// in the indexes and in the statements, or the indexes are of no use; that is
// why the path is not bound.
func groupKey(by driver.GroupBy) string {
	if by.Path == nil {
		return `(headers ->> '` + headerGroup + `') COLLATE "C"`
	}
	var path array
	for _, step := range by.Path {
		path.text(step)
	}
	return `(message #>> ` + literal(path.String()) + `) COLLATE "C"`
}

// grouping returns the queue seen by by.
func (p *Provider) grouping(ctx context.Context, name string, by driver.GroupBy) (*grouping, error) {
	if err := p.checkGroupBy(by); err != nil {
		return nil, err
	}
	q, err := p.attach(ctx, p.pool, name)
	if err != nil {
		return nil, err
	}
	if by.Path == nil && !q.names.Headers {
		return nil, noHeaders(q)
	}
	key := groupKey(by)
	id := name + "\x00" + key
	known, ok := p.groups.Load(id)
	if ok && known.(*grouping).q == q {
		return known.(*grouping), nil
	}
	g := &grouping{q: q, cursor: new(cursor)}
	if ok {
		g.cursor = known.(*grouping).cursor
	}
	g.prepare(key)
	if !ok && !g.indexed {
		p.log.Info("pgmq: no indexes for this grouping: each group receive reads the whole queue (see QueueOptions.GroupIndexes)", "queue", name)
	}
	p.groups.Store(id, g)
	return g, nil
}

func (p *Provider) checkGroupBy(by driver.GroupBy) error {
	switch {
	case by.Path != nil && p.cfg.ExactBodies:
		return fmt.Errorf("%w: GroupBy.Path with body=bytes, which hides the bodies from PostgreSQL", driver.ErrNotSupported)
	case slices.ContainsFunc(by.Path, func(s string) bool { return strings.ContainsRune(s, 0) }):
		return fmt.Errorf("%w: NUL in GroupBy.Path", driver.ErrInvalid)
	}
	return nil
}

func (g *grouping) prepare(key string) {
	group, lease := groupIndexes(g.q.name, key)
	indexes := g.q.names.indexes
	g.key, g.indexed = key, slices.Contains(indexes, group) && slices.Contains(indexes, lease)
	n := g.names()
	g.choose = n.choose()
	g.claim = statement("claim groups", n)
	g.lock, g.drain = statement("lock group", n), statement("claim group", n)
}

// choose returns the statement that chooses groups.
func (n tableNames) choose() string {
	if n.Indexed {
		return statement("choose groups", n)
	}
	return statement("choose groups without an index", n)
}

// The bounds of a search for free groups: the rows that are due longest, a few
// times what is wanted, and then so many steps over all groups.
const (
	minWindow, windowTimes = 200, 4
	walkSteps              = 300
)

// ReceiveGroups claims in one short transaction: it chooses groups that look
// free and takes their advisory locks, and then looks again, under a snapshot
// that begins after the locks, and claims. Without indexes for the grouping
// (see [driver.QueueOptions].GroupIndexes) each call reads the whole queue.
func (p *Provider) ReceiveGroups(ctx context.Context, name string, r driver.GroupRequest) ([]driver.Delivery, error) {
	g, err := p.grouping(ctx, name, r.By)
	if err != nil {
		return nil, err
	}
	return p.receive(ctx, g.q, r.Wait, true, func(ctx context.Context) ([]driver.Delivery, error) {
		return p.take(ctx, g.q, r.ReceiveRequest, func(ctx context.Context, r driver.ReceiveRequest, blind bool) (*leases, error) {
			return p.claimGroups(ctx, g, r, blind)
		})
	})
}

func (p *Provider) claimGroups(ctx context.Context, g *grouping, r driver.ReceiveRequest, blind bool) (*leases, error) {
	chooseArgs := []any{r.Max}
	if g.indexed {
		chooseArgs = append(chooseArgs, max(minWindow, windowTimes*r.Max), walkSteps, g.cursor.get())
	}
	choose, text := g.choose, g.claim
	if blind {
		choose, text = g.names().blind().choose(), statement("claim groups", g.names().blind())
	}
	var cursor string
	s, err := p.groupTx(ctx, g, step{choose, chooseArgs, func(rows row) error {
		var groups []byte
		return rows.Scan(&groups, &cursor)
	}}, text, []any{r.Max, micros(r.Visibility)})
	if err == nil {
		g.cursor.set(cursor)
	}
	return s, err
}

// step is a statement inside a transaction.
type step struct {
	text string
	args []any
	scan func(row) error
}

// groupTx runs the two statements of a claim. That takes longer than it should
// if the plan is a bad one, on our own sessions too.
func (p *Provider) groupTx(ctx context.Context, g *grouping, first step, text string, args []any) (*leases, error) {
	start := time.Now()
	s := new(leases)
	s.groupKey = g.key
	err := p.transact(ctx, first, step{text, args, func(rows row) error {
		if err := s.scan(rows, g.q.name, &s.key); err != nil {
			return err
		}
		s.found[len(s.found)-1].GroupKey = s.key.String
		return nil
	}})
	if err = p.rightNode(err); err != nil {
		p.links.judge(ctx, start, err)
		p.detach(g.q.name, err)
		if cutOff(err) && len(s.found) == 0 {
			err = notApplied(err)
		}
		return s, err
	}
	p.replan(g.q, time.Since(start))
	return s, nil
}

// transact runs steps in a transaction of their own, and maps its errors.
func (p *Provider) transact(ctx context.Context, steps ...step) error {
	if direct, ok := directly(p.pool); ok {
		if err := direct.transact(ctx, steps...); err != errWrapped {
			return mapError(err)
		}
	}
	for _, s := range steps {
		if err := p.prepare(ctx, s.text); err != nil {
			return err
		}
	}
	return inTx(ctx, p.db, func(tx *sql.Tx) error {
		at := p.inside(tx)
		for _, s := range steps {
			if err := query(ctx, at, s.text, s.args, s.scan); err != nil {
				return err
			}
		}
		return nil
	})
}

// ReceiveGroup claims under the lock of the group.
func (p *Provider) ReceiveGroup(ctx context.Context, name string, r driver.GroupDrainRequest) ([]driver.Delivery, error) {
	var ids, reads, sent array
	for _, text := range r.Holding {
		held, err := parseReceipt(name, text)
		if err != nil {
			return nil, err
		}
		ids.int(held.id)
		held.appendFence(&reads, &sent)
	}
	g, err := p.grouping(ctx, name, r.By)
	if err != nil {
		return nil, err
	}
	return p.receive(ctx, g.q, r.Wait, true, func(ctx context.Context) ([]driver.Delivery, error) {
		return p.take(ctx, g.q, r.ReceiveRequest, func(ctx context.Context, c driver.ReceiveRequest, blind bool) (*leases, error) {
			text := g.drain
			if blind {
				text = statement("claim group", g.names().blind())
			}
			args := []any{c.Max, micros(c.Visibility), r.Value, ids.String(), reads.String(), sent.String(), r.IncludeDelayed}
			return p.groupTx(ctx, g, step{g.lock, []any{r.Value}, ignore}, text, args)
		})
	})
}

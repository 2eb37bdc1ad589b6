package pgmq

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/portmq/mq/driver"
)

// grouping is one queue seen by one GroupBy.
type grouping struct {
	q             *queue
	indexed       bool
	limited       bool // several messages of a group may be leased
	choose, claim string
	lock, drain   string
	cursor        *cursor // outlives this
	key           string  // the expression for a message's group
}

// names returns what the statements are made of.
func (g *grouping) names() tableNames {
	n := g.q.names
	n.Key, n.Indexed, n.Limited = g.key, g.indexed, g.limited
	return n
}

// groupKey returns the expression for a message's group. It is the same in the
// indexes and in the statements, or the indexes are of no use; that is why the
// path is not bound.
func groupKey(by driver.GroupBy) string {
	if by.Path == nil {
		return `(headers ->> ` + groupHeader(by) + `::text) COLLATE "C"`
	}
	return `(message #>> ` + literal(groupPath(by)) + `::text[]) COLLATE "C"`
}

// groupHeader returns the name of the header that has the group, as a literal.
func groupHeader(by driver.GroupBy) string {
	if by.Header == "" {
		return "'" + headerGroup + "'"
	}
	return literal(by.Header)
}

func groupPath(by driver.GroupBy) string {
	var path array
	for _, step := range by.Path {
		path.text(step)
	}
	return path.String()
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
	id := fmt.Sprintf("%s\x00%t\x00%s", name, by.MaxLeases() > 1, key)
	known, ok := p.groups.Load(id)
	if ok && known.(*grouping).q == q {
		return known.(*grouping), nil
	}
	g := &grouping{q: q, cursor: new(cursor)}
	if ok {
		g.cursor = known.(*grouping).cursor
	}
	g.prepare(by)
	if !ok && !g.indexed {
		p.log.Info("pgmq: no indexes for this grouping: each group receive reads the whole queue (see pgmq.QueueOptions.GroupIndexes)", "queue", name)
	}
	p.groups.Store(id, g)
	return g, nil
}

func (p *Provider) checkGroupBy(by driver.GroupBy) error {
	switch {
	case by.Path != nil && p.cfg.ExactBodies:
		return fmt.Errorf("%w: GroupBy.Path with body=bytes, which hides the bodies from PostgreSQL", driver.ErrNotSupported)
	case slices.ContainsFunc(append([]string{by.Header}, by.Path...), func(s string) bool { return strings.ContainsRune(s, 0) }):
		return fmt.Errorf("%w: NUL in GroupBy", driver.ErrInvalid)
	case by.Limit < 0:
		return fmt.Errorf("%w: GroupBy.Limit %d is negative", driver.ErrInvalid, by.Limit)
	}
	return nil
}

func (g *grouping) prepare(by driver.GroupBy) {
	group, lease := groupIndexes(g.q.name, by)
	indexes := g.q.names.indexes
	g.key, g.indexed = groupKey(by), slices.Contains(indexes, group) && slices.Contains(indexes, lease)
	g.limited = by.MaxLeases() > 1
	n := g.names()
	g.choose = n.choose()
	g.claim = n.claimChosen()
	g.lock, g.drain = statement("lock group", n), statement("claim group", n)
}

// choose returns the statement that chooses groups.
func (n tableNames) choose() string {
	if n.Indexed {
		return statement("choose groups", n)
	}
	return statement("choose groups without an index", n)
}

// claimChosen returns the statement that claims from groups that were chosen.
func (n tableNames) claimChosen() string {
	n.Claims = true
	return statement("claim groups", n)
}

// The bounds of a search for free groups: how many are locked, and so enter the
// lock table of the server, which all sessions share and which by default has room
// for 64 locks per session; how many of the rows that are due longest, and of those
// that are due shortest, are looked at, a few times as many; and then the steps over
// all groups, of the first statement of a call and of the later ones.
const (
	maxGroups            = 48
	groupWindow          = 200
	walkSteps, moreSteps = 300, 5000
	maxGroupLimit        = 1_000_000              // is as good as none
	limitedWindow        = 24                     // instead of groupWindow and walkSteps: the leases of each group are counted
	minWalk              = 100 * time.Millisecond // of a call that does not wait
)

// ReceiveHeads claims in one short transaction: it chooses groups that look
// free and takes their advisory locks, and then looks again, under a snapshot
// that begins after the locks, and claims. Without indexes for the grouping
// (see [QueueOptions].GroupIndexes) each call reads the whole queue.
func (p *Provider) ReceiveHeads(ctx context.Context, name string, r driver.GroupRequest) ([]driver.Delivery, error) {
	g, err := p.grouping(ctx, name, r.By)
	if err != nil {
		return nil, err
	}
	end := time.Now().Add(max(r.Wait, minWalk))
	return p.receive(ctx, g.q, r.Wait, true, func(ctx context.Context) ([]driver.Delivery, error) {
		return p.take(ctx, g.q, r.ReceiveRequest, func(ctx context.Context, c driver.ReceiveRequest, how look) (*leases, error) {
			return p.claimGroups(ctx, g, driver.GroupRequest{ReceiveRequest: c, By: r.By}, how, end)
		})
	})
}

// claimGroups walks on until it has claimed something, has visited all groups or
// has to end, so that a free group is found however many are not.
func (p *Provider) claimGroups(ctx context.Context, g *grouping, r driver.GroupRequest, how look, end time.Time) (*leases, error) {
	l := lap{from: g.cursor.get()}
	s, next, err := p.claimNear(ctx, g, r, how, l.from, walkSteps)
	if l.reached(next); err != nil || len(s.found) > 0 || !g.indexed || how == blind || l.over || !g.cursor.startLap() {
		return s, err
	}
	defer g.cursor.endLap(time.Now())
	for len(s.found) == 0 && !l.over && time.Now().Before(end) {
		if s, next, err = p.claimNear(ctx, g, r, how, next, moreSteps); err != nil {
			return s, err
		}
		l.reached(next)
	}
	return s, nil
}

// claimNear claims once, and walks on from a group.
func (p *Provider) claimNear(ctx context.Context, g *grouping, r driver.GroupRequest, how look, from string, steps int) (s *leases, next string, err error) {
	args, claim := []any{min(r.Max, maxGroups)}, []any{r.Max, micros(r.Visibility)}
	times := steps / walkSteps
	if g.indexed {
		window := groupWindow
		if g.limited {
			window = limitedWindow
			if steps == walkSteps {
				steps = limitedWindow
			}
		}
		args = append(args, window, steps, from)
	}
	if g.limited {
		limit := min(r.By.Limit, maxGroupLimit)
		args, claim = append(args, limit), append(claim, limit)
	}
	choose, text := g.choose, g.claim
	if how != unmeasured {
		text = g.names().read(how).claimChosen()
	}
	if how == blind {
		choose = g.names().blind().choose()
	}
	s, err = p.groupTx(ctx, g, step{choose, args, func(rows row) error {
		var size int // of what stays on the server
		return rows.Scan(&size, &next)
	}}, text, claim, times)
	if err == nil {
		g.cursor.set(next)
	}
	return s, next, err
}

// step is a statement inside a transaction.
type step struct {
	text string
	args []any
	scan func(row) error
}

// groupTx runs the two statements of a claim. A slow one may have a bad plan, on
// our own sessions too. times is how many usual claims it may take as long as.
func (p *Provider) groupTx(ctx context.Context, g *grouping, first step, text string, args []any, times int) (*leases, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.calls, cancel)()
	start := time.Now()
	s := &leases{unnoted: !g.q.names.Headers}
	s.groupKey = g.key
	err := p.transact(ctx, g.q.name, first, step{text, args, func(rows row) error {
		if err := s.scan(rows, g.q.name, &s.key); err != nil {
			return err
		}
		s.found[len(s.found)-1].GroupKey = s.key.String
		return nil
	}})
	if err = p.rightNode(err); err != nil {
		p.links.checkSilence(ctx, start, err)
		p.detach(g.q.name, err)
		if cutOff(err) && len(s.found) == 0 {
			err = notApplied(err)
		}
		return s, err
	}
	p.replan(g.q, time.Since(start)/time.Duration(times))
	return s, nil
}

// transact runs steps on a queue in a transaction of their own, and maps its errors.
func (p *Provider) transact(ctx context.Context, queue string, steps ...step) error {
	start := time.Now()
	if direct, ok := directly(p.pool); ok {
		if err := direct.transact(ctx, steps...); err != errWrapped {
			return mapError(p.blocked(ctx, []string{queue}, start, err))
		}
	}
	for _, s := range steps {
		if err := p.prepare(ctx, s.text); err != nil {
			return readError(p.blocked(ctx, []string{queue}, start, err))
		}
	}
	return inTx(ctx, p.db, func(tx *sql.Tx) error {
		at := p.inside(tx)
		for _, s := range steps {
			if err := query(ctx, at, s.text, s.args, s.scan); err != nil {
				return p.blocked(ctx, []string{queue}, start, err)
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
		return p.take(ctx, g.q, r.ReceiveRequest, func(ctx context.Context, c driver.ReceiveRequest, how look) (*leases, error) {
			text := g.drain
			if how != unmeasured {
				text = statement("claim group", g.names().read(how))
			}
			args := []any{c.Max, micros(c.Visibility), r.Value, ids.String(), reads.String(), sent.String(), r.IncludeDelayed}
			return p.groupTx(ctx, g, step{g.lock, []any{r.Value}, ignore}, text, args, 1)
		})
	})
}

package mem

import (
	"context"
	"slices"

	"github.com/portmq/mq/driver"
)

// ReceiveHeads leases the heads of free groups.
func (p *Provider) ReceiveHeads(ctx context.Context, name string, r driver.GroupRequest) ([]driver.Delivery, error) {
	return p.receive(ctx, name, demand{wait: r.Wait, claim: func(q *queue, _ []view) []view {
		return q.claimHeads(q.index(r.By), r.ReceiveRequest)
	}})
}

// ReceiveGroup leases further messages of one group.
func (p *Provider) ReceiveGroup(ctx context.Context, name string, r driver.GroupDrainRequest) ([]driver.Delivery, error) {
	if err := p.check(ctx); err != nil {
		return nil, err
	}
	for _, receipt := range r.Holding {
		if _, ok := parseReceipt(name, receipt); !ok {
			return nil, driver.ErrInvalidReceipt
		}
	}
	return p.receive(ctx, name, demand{wait: r.Wait, eager: r.IncludeDelayed, claim: func(q *queue, _ []view) []view {
		return q.claimGroup(q.index(r.By), r)
	}})
}

func (q *queue) claimHeads(x *groupIndex, r driver.ReceiveRequest) []view {
	var views []view
	due := later(q.now, r.Visibility)
	for len(views) < r.Max && x.free.len() > 0 {
		g := x.free.min()
		views = append(views, q.leaseOf(g, g.head, due))
	}
	return views
}

func (q *queue) claimGroup(x *groupIndex, r driver.GroupDrainRequest) []view {
	g := x.groups[r.Value]
	if g == nil || g.leased > q.held(g, x.slot, r.Holding) {
		return nil
	}
	var views []view
	due := later(q.now, r.Visibility)
	for m := range g.messages.after(0) {
		if len(views) == r.Max || m.state == delayed && !r.IncludeDelayed {
			break
		}
		if m.state != leased {
			views = append(views, q.leaseOf(g, m, due))
		}
	}
	return views
}

// held counts the messages of g that are leased under one of receipts.
func (q *queue) held(g *group, slot int, receipts []driver.Receipt) int {
	held := make(map[*message]bool, len(receipts))
	for _, r := range receipts {
		if m, err := q.find(parse(q.name, r)); err == nil && m.state == leased && m.groups[slot] == g {
			held[m] = true
		}
	}
	return len(held)
}

func (q *queue) leaseOf(g *group, m *message, due int64) view {
	v := q.lease(m, due)
	v.key = g.key
	return v
}

// groupIndex knows the groups that one GroupBy makes.
type groupIndex struct {
	header string   // "" if the groups are not by header
	path   []string // nil if they are not by path: then by Message.Group
	limit  int      // the most leases of a group
	slot   int      // in queue.indexes and in message.groups
	groups map[string]*group
	free   heap[*group] // by their leases, and the age of their heads
}

// index returns the index of by. The first call makes it.
func (q *queue) index(by driver.GroupBy) *groupIndex {
	for _, x := range q.indexes {
		if x.header == by.Header && slices.Equal(x.path, by.Path) && (x.path == nil) == (by.Path == nil) && x.limit == by.MaxLeases() {
			return x
		}
	}
	x := &groupIndex{header: by.Header, path: slices.Clone(by.Path), limit: by.MaxLeases(), slot: len(q.indexes)}
	x.clear()
	q.indexes = append(q.indexes, x)
	for m := range q.messages.after(0) {
		x.add(m).moved(m, gone)
	}
	return x
}

func (x *groupIndex) clear() {
	x.groups = make(map[string]*group)
	x.free = heap[*group]{}
}

// key returns the key of a message's group.
func (x *groupIndex) key(m *message) (key string, ok bool) {
	switch {
	case x.header != "":
		key, ok = m.headers[x.header]
		return key, ok
	case x.path == nil:
		return m.group, m.group != ""
	}
	return driver.JSONText([]byte(m.body), x.path)
}

// add puts m in its group. What that means for the group is told by moved.
func (x *groupIndex) add(m *message) *group {
	key, ok := x.key(m)
	g := x.groups[key]
	if !ok || g == nil {
		g = &group{index: x, key: key, slot: -1}
	}
	if ok {
		x.groups[key] = g
	}
	g.messages.put(m.id, m)
	m.groups = append(m.groups, g)
	return g
}

// group is the messages with one key, or one message without a key.
type group struct {
	index    *groupIndex
	key      string
	messages table[*message]
	ready    readyHeap // of a group with a limit above 1
	leased   int
	head     *message // what is leased next, while the group is free
	slot     int32    // in index.free, -1 while the group is not free
}

func (g *group) before(o *group) bool {
	switch {
	case g.index.limit == 1:
		return g.head.id < o.head.id
	case g.leased != o.leased:
		return g.leased < o.leased
	}
	return g.head.before(o.head)
}

func (g *group) place() *int32 { return &g.slot }

// moved follows m, which was in another state.
func (g *group) moved(m *message, was state) {
	if was == leased {
		g.leased--
	}
	switch m.state {
	case leased:
		g.leased++
	case gone:
		g.remove(m)
	}
	if g.index.limit > 1 {
		g.ready.moved(m, was)
	}
	if head := g.next(); head != nil && g.leased < g.index.limit {
		g.unblock(head)
		return
	}
	g.block()
}

// next returns the message to lease next, or nil if there is none. It does not check
// the limit.
func (g *group) next() *message {
	if g.index.limit > 1 {
		return g.ready.first()
	}
	head, ok := g.messages.first()
	if !ok || head.state != visible {
		return nil
	}
	return head
}

func (g *group) remove(m *message) {
	g.messages.delete(m.id)
	if g.messages.len() == 0 && g.index.groups[g.key] == g {
		g.index.forget(g.key)
	}
}

// forget drops the key of an empty group, and the map when it is empty, since
// a map does not shrink.
func (x *groupIndex) forget(key string) {
	if delete(x.groups, key); len(x.groups) == 0 {
		x.groups = make(map[string]*group)
	}
}

// unblock makes the group one of the free ones, by the age of head.
func (g *group) unblock(head *message) {
	g.head = head
	if g.slot < 0 {
		g.index.free.push(g)
		return
	}
	g.index.free.fix(g)
}

// block makes the group not one of the free ones.
func (g *group) block() {
	if g.slot < 0 {
		return
	}
	g.index.free.remove(g)
	g.slot, g.head = -1, nil
}

package sqlite

import (
	"context"
	"database/sql"

	"github.com/portmq/mq/driver"
)

// ReceiveHeads leases the heads of free groups.
func (p *Provider) ReceiveHeads(ctx context.Context, name string, r driver.GroupRequest) ([]driver.Delivery, error) {
	spec := specOf(r.By)
	return p.receive(ctx, name, r.Wait, demand{
		look: func(ctx context.Context) (c chance, err error) {
			g, err := p.grouping(ctx, name, spec)
			if err != nil || g == 0 {
				return c, err
			}
			var found bool
			var next sql.NullInt64
			err = p.read(ctx, func(run driver.SQLTx) error {
				return query(ctx, run, into(&found, &c.now, &next), sqlLookHeads, g, now())
			})
			c.next = next.Int64
			return c, err
		},
		claim: func(t *txn) ([]driver.Delivery, error) { return t.claimHeads(name, spec, r) },
	})
}

func (t *txn) claimHeads(name, spec string, r driver.GroupRequest) ([]driver.Delivery, error) {
	q, err := t.queue(name)
	if err != nil {
		return nil, err
	}
	g, err := t.grouping(q, spec)
	if err != nil {
		return nil, err
	}
	var s selection
	add := func(rows *sql.Rows) error {
		var id, size int64
		var key any
		err := rows.Scan(&id, &key, &size)
		s.add(id, size, key)
		return err
	}
	if n := r.By.MaxLeases(); n > 1 {
		err = t.query(add, sqlTurns, g, t.now, r.Max, n)
	} else {
		err = t.query(add, sqlHeads, g, t.now, r.Max)
	}
	if err != nil {
		return nil, err
	}
	return t.lease(name, q, s, r.ReceiveRequest)
}

// selection are messages that are to be leased, as far as there is room for their
// bodies.
type selection struct {
	ids  []int64
	keys map[int64]string
	size int64
	full bool
}

// add adds a message of the group that has key, which is no text if it has none.
func (s *selection) add(id, size int64, key any) {
	if s.full = s.full || len(s.ids) > 0 && s.size+size > claimBytes; s.full {
		return
	}
	if s.keys == nil {
		s.keys = make(map[int64]string)
	}
	s.ids = append(s.ids, id)
	s.size += size
	switch key := key.(type) {
	case string:
		s.keys[id] = key
	case []byte:
		s.keys[id] = string(key)
	}
}

func (t *txn) lease(name string, q queueRow, s selection, r driver.ReceiveRequest) ([]driver.Delivery, error) {
	if len(s.ids) == 0 {
		return nil, nil
	}
	due, lease := later(t.now, r.Visibility), newLease()
	found, err := t.messages(sqlLease, idList(s.ids), due, lease)
	if err != nil {
		return nil, err
	}
	for i := range found {
		found[i].key = s.keys[found[i].id]
	}
	t.hide(q.id, due, true, int64(len(found)))
	return deliveries(name, q, found, due, lease)
}

// ReceiveGroup leases further messages of one group.
func (p *Provider) ReceiveGroup(ctx context.Context, name string, r driver.GroupDrainRequest) ([]driver.Delivery, error) {
	holding := make([]receipt, len(r.Holding))
	for i, text := range r.Holding {
		var err error
		if holding[i], err = parseReceipt(name, text); err != nil {
			return nil, err
		}
	}
	d := drain{name: name, spec: specOf(r.By), request: r, holding: holding}
	return p.receive(ctx, name, r.Wait, demand{
		look: func(ctx context.Context) (chance, error) {
			g, err := p.grouping(ctx, name, d.spec)
			if err != nil || g == 0 {
				return chance{}, err
			}
			return p.lookGroup(ctx, g, d)
		},
		claim: func(t *txn) ([]driver.Delivery, error) { return t.claimGroup(d) },
	})
}

// drain is a request for the messages of one group.
type drain struct {
	name, spec string
	request    driver.GroupDrainRequest
	holding    []receipt
}

// lookGroup looks whether there is something to drain.
func (p *Provider) lookGroup(ctx context.Context, g int64, d drain) (c chance, err error) {
	err = p.read(ctx, func(run driver.SQLTx) error {
		t := begun(ctx, run)
		q, err := t.queue(d.name)
		if err != nil {
			return err
		}
		s, err := t.drain(q, g, d)
		if c.now = len(s.ids) > 0; err != nil || c.now {
			return err
		}
		var found bool
		var next sql.NullInt64
		err = t.query(into(&found, &next), sqlNextMember, g, d.request.Value, t.now)
		c.next = next.Int64
		return err
	})
	return c, err
}

func (t *txn) claimGroup(d drain) ([]driver.Delivery, error) {
	q, err := t.queue(d.name)
	if err != nil {
		return nil, err
	}
	g, err := t.grouping(q, d.spec)
	if err != nil {
		return nil, err
	}
	s, err := t.drain(q, g, d)
	if err != nil {
		return nil, err
	}
	return t.lease(d.name, q, s, d.request.ReceiveRequest)
}

// drain selects the next messages of a group, none if somebody else holds one of them.
// Those whose delay is cut short are no longer counted as delayed: it is to be called
// again where they are leased.
func (t *txn) drain(q queueRow, g int64, d drain) (s selection, err error) {
	mine, err := t.held(q, g, d)
	if err != nil || mine == nil {
		return s, err
	}
	stopped := false
	err = t.query(func(rows *sql.Rows) error {
		var m state
		if err := rows.Scan(&m.id, &m.due, &m.leased, &m.size); err != nil {
			return err
		}
		later := m.due > t.now
		stopped = stopped || len(s.ids) == d.request.Max || later && !m.leased && !d.request.IncludeDelayed
		if stopped || later && m.leased {
			return nil
		}
		n := len(s.ids)
		if s.add(m.id, m.size, d.request.Value); len(s.ids) > n {
			t.hide(q.id, m.due, false, -1)
		}
		return nil
	}, sqlMembers, g, d.request.Value, d.request.Max+len(mine))
	return s, err
}

// held returns the messages of a group that are leased, or nil if one of them is not
// the caller's.
func (t *txn) held(q queueRow, g int64, d drain) (map[int64]bool, error) {
	own := make(map[int64]receipt, len(d.holding))
	for _, r := range d.holding {
		if r.mark == q.mark {
			own[messageID(q.id, r.number)] = r
		}
	}
	held := make(map[int64]bool)
	foreign := false
	err := t.query(func(rows *sql.Rows) error {
		var id, reads, lease int64
		err := rows.Scan(&id, &reads, &lease)
		held[id] = true
		foreign = foreign || own[id].reads != reads || own[id].lease != lease
		return err
	}, sqlHolders, g, d.request.Value, t.now)
	if foreign {
		held = nil
	}
	return held, err
}

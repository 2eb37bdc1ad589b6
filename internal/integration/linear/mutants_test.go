package linear

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
)

// wrong replaces methods of a queue; nil is the right one.
type wrong struct {
	send    func(m *mutant, msgs []driver.Message) ([]string, error)
	receive func(m *mutant, limit int, visibility time.Duration) ([]driver.Delivery, error)
	settle  func(m *mutant, s []driver.Settlement) error
	extend  func(m *mutant, rs []driver.Receipt, d time.Duration) error
}

// mutant is a queue in memory that is wrong.
type mutant struct {
	Target
	wrong

	mu     sync.Mutex
	n      int
	latest map[string]driver.Delivery // by message
	of     map[driver.Receipt]string  // the messages
	kept   map[driver.Receipt]bool    // acked, and not yet carried out
}

// nth is true for every kth call of it.
func (m *mutant) nth(k int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n++
	return m.n%k == 0
}

func (m *mutant) Send(ctx context.Context, msgs []driver.Message) ([]string, error) {
	if m.wrong.send != nil {
		return m.wrong.send(m, msgs)
	}
	return m.Target.Send(ctx, msgs)
}

func (m *mutant) Receive(ctx context.Context, limit int, visibility time.Duration) (ds []driver.Delivery, err error) {
	if m.wrong.receive != nil {
		ds, err = m.wrong.receive(m, limit, visibility)
	} else {
		ds, err = m.Target.Receive(ctx, limit, visibility)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range ds {
		m.latest[d.ID], m.of[d.Receipt] = d, d.ID
	}
	return ds, err
}

func (m *mutant) Settle(ctx context.Context, s []driver.Settlement) error {
	if m.wrong.settle != nil {
		return m.wrong.settle(m, slices.Clone(s))
	}
	return m.Target.Settle(ctx, s)
}

func (m *mutant) Extend(ctx context.Context, rs []driver.Receipt, d time.Duration) error {
	if m.wrong.extend != nil {
		return m.wrong.extend(m, rs, d)
	}
	return m.Target.Extend(ctx, rs, d)
}

// current returns the receipt of the message's last lease.
func (m *mutant) current(r driver.Receipt) driver.Receipt {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.latest[m.of[r]].Receipt
}

var never = context.Background()

// each settles items one by one, as change says.
func (m *mutant) each(s []driver.Settlement, change func(*driver.Settlement) (error, bool)) error {
	errs := make([]error, len(s))
	for i := range s {
		err, answered := change(&s[i])
		if !answered {
			err = errorsOf(m.Target.Settle(never, s[i:i+1]), 1)[0]
		}
		errs[i] = err
	}
	return driver.Batch(errs)
}

// mutants are the faults that the check must find.
var mutants = map[string]wrong{
	"acks go by id": {settle: func(m *mutant, s []driver.Settlement) error {
		return m.each(s, func(one *driver.Settlement) (error, bool) {
			if one.Op == driver.OpAck {
				one.Receipt = m.current(one.Receipt)
			}
			return nil, false
		})
	}},
	"nacks go by id": {settle: func(m *mutant, s []driver.Settlement) error {
		return m.each(s, func(one *driver.Settlement) (error, bool) {
			if one.Op == driver.OpNack {
				one.Receipt = m.current(one.Receipt)
			}
			return nil, false
		})
	}},
	"extensions go by id": {extend: func(m *mutant, rs []driver.Receipt, d time.Duration) error {
		return m.Target.Extend(never, []driver.Receipt{m.current(rs[0])}, d)
	}},
	"a lost ack is reported as done": {settle: func(m *mutant, s []driver.Settlement) error {
		return m.each(s, func(one *driver.Settlement) (error, bool) {
			return nil, one.Op == driver.OpAck && m.nth(4)
		})
	}},
	"an ack that took effect is reported as stale": {settle: func(m *mutant, s []driver.Settlement) error {
		return m.each(s, func(one *driver.Settlement) (error, bool) {
			if one.Op != driver.OpAck || !m.nth(4) {
				return nil, false
			}
			return errors.Join(m.Target.Settle(never, []driver.Settlement{*one}), driver.ErrStaleReceipt), true
		})
	}},
	"a settlement that took effect is reported as refused": {settle: func(m *mutant, s []driver.Settlement) error {
		err := m.Target.Settle(never, s)
		if m.nth(10) {
			return driver.ErrBadConn
		}
		return err
	}},
	"a claim is given out twice": {receive: func(m *mutant, limit int, visibility time.Duration) ([]driver.Delivery, error) {
		ds, err := m.Target.Receive(never, limit, visibility)
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, d := range m.latest {
			if m.n++; m.n%10 == 0 && len(ds) == 0 {
				d.Receipt += "'" // so that it is another one
				return []driver.Delivery{d}, nil
			}
		}
		return ds, err
	}},
	"two receivers have leases side by side": {receive: func(m *mutant, limit int, visibility time.Duration) ([]driver.Delivery, error) {
		if m.nth(5) {
			m.mu.Lock()
			all := slices.Collect(maps.Values(m.latest))
			m.mu.Unlock()
			for _, d := range all {
				_ = m.Target.Settle(never, []driver.Settlement{{Receipt: d.Receipt, Op: driver.OpNack}})
			}
		}
		return m.Target.Receive(never, limit, visibility)
	}},
	"the read count does not grow": {receive: func(m *mutant, limit int, visibility time.Duration) ([]driver.Delivery, error) {
		ds, err := m.Target.Receive(never, limit, visibility)
		for i := range ds {
			ds[i].ReadCount = 1
		}
		return ds, err
	}},
	"attempts count what does not count": {receive: func(m *mutant, limit int, visibility time.Duration) ([]driver.Delivery, error) {
		ds, err := m.Target.Receive(never, limit, visibility)
		for i := range ds {
			ds[i].Attempt = ds[i].ReadCount
		}
		return ds, err
	}},
	"leases end early": {receive: func(m *mutant, limit int, visibility time.Duration) ([]driver.Delivery, error) {
		if visibility < long {
			visibility /= 4
		}
		return m.Target.Receive(never, limit, visibility)
	}},
	"a receive loses what it has leased": {receive: func(m *mutant, limit int, visibility time.Duration) ([]driver.Delivery, error) {
		ds, err := m.Target.Receive(never, limit, visibility)
		if m.nth(8) {
			return nil, err
		}
		return ds, err
	}},
	"a receive says that there is nothing": {receive: func(m *mutant, limit int, visibility time.Duration) ([]driver.Delivery, error) {
		if m.nth(8) {
			return nil, nil
		}
		return m.Target.Receive(never, limit, visibility)
	}},
	"a late nack revives an acked message": {settle: func(m *mutant, s []driver.Settlement) error {
		return m.each(s, func(one *driver.Settlement) (error, bool) {
			m.mu.Lock()
			kept := m.kept[one.Receipt]
			m.kept[one.Receipt] = kept || one.Op == driver.OpAck
			m.mu.Unlock()
			switch {
			case kept && one.Op == driver.OpNack: // it is carried out, and answered as if it were not
				_ = m.Target.Settle(never, []driver.Settlement{*one})
				return driver.ErrMessageNotFound, true
			case kept:
				return driver.ErrMessageNotFound, true
			case one.Op != driver.OpAck:
				return nil, false
			}
			rs := []driver.Receipt{one.Receipt} // not acked but out of the way
			return errorsOf(m.Target.Extend(never, rs, 10*long), 1)[0], true
		})
	}},
	"a lost send is reported as stored": {send: func(m *mutant, msgs []driver.Message) ([]string, error) {
		if !m.nth(3) {
			return m.Target.Send(never, msgs)
		}
		ids, err := m.Target.Send(never, msgs[1:])
		return append([]string{"4711"}, ids...), err
	}},
	"a send is stored twice": {send: func(m *mutant, msgs []driver.Message) ([]string, error) {
		if m.nth(3) {
			_, _ = m.Target.Send(never, msgs)
		}
		return m.Target.Send(never, msgs)
	}},
	"an archive deletes": {settle: func(m *mutant, s []driver.Settlement) error {
		return m.each(s, func(one *driver.Settlement) (error, bool) {
			if one.Op == driver.OpArchive {
				one.Op = driver.OpAck
			}
			return nil, false
		})
	}},
	"a nack loses its reason": {settle: func(m *mutant, s []driver.Settlement) error {
		return m.each(s, func(one *driver.Settlement) (error, bool) {
			if one.Op == driver.OpNack {
				one.Reason = ""
			}
			return nil, false
		})
	}},
	"an extension is forgotten": {extend: func(m *mutant, rs []driver.Receipt, d time.Duration) error {
		return m.Target.Extend(never, rs, min(d, time.Millisecond))
	}},
}

// TestMutants: every fault is found, most of them within a few histories.
func TestMutants(t *testing.T) {
	for name, wrong := range mutants {
		t.Run(name, func(t *testing.T) {
			for i := range uint64(500) {
				w := Workload{Seed: i, Clients: 6, Steps: 8, Messages: 4, Ends: i%2 == 1, Apart: true}
				p := ensured(t, mem.New(), "q")
				m := &mutant{
					Target: Provider(p, "q"), wrong: wrong,
					latest: map[string]driver.Delivery{}, of: map[driver.Receipt]string{}, kept: map[driver.Receipt]bool{},
				}
				h := must(t, w, p.Caps(), m)
				if r := h.Check(patience); r.Fault != "" {
					t.Logf("found in history %d:\n%s", i+1, r.Fault)
					return
				}
			}
			t.Error("not found in 500 histories")
		})
	}
}

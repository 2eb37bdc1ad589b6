package drivertest

import (
	"context"
	"slices"
	"sync"

	"github.com/portmq/mq/driver"
)

// Attempts, and the reasons of nacks.

var attemptMutations = []mutation{
	{"every nack is an attempt", "4: an uncounted nack is none", settling(func(_ *mutant, s *driver.Settlement) { s.Uncounted = false }), "nack/uncounted nack/uncounted-delay nack/uncounted-batch archive/attempts peek/attempts pop/attempts group/attempts"},
	{"no nack is an attempt", "4: a nack is one, unless it is uncounted", settling(func(_ *mutant, s *driver.Settlement) { s.Uncounted = s.Op == driver.OpNack }), "nack/uncounted nack/uncounted-delay nack/uncounted-batch"},
	{"a batch is uncounted together", "Settlement.Uncounted", uncountsAll, "nack/uncounted-batch"},
	{"a repeated nack leaves out another lease", "Settlement.Uncounted: a lease is left out once", uncountsTwice, "nack/uncounted-twice"},
	{"nack at timeout leaves out a lease", "Settlement.Uncounted: with AtTimeout it has no effect", uncountsAtTimeout, "nack/uncounted-at-timeout"},
	{"nothing is unanswered", "Delivery.Unanswered", showing(func(d *driver.Delivery) { d.Unanswered = 0 }), "receive/unanswered nack/uncounted"},
	{"nacks do not answer", "Delivery.Unanswered: since the last nack", showing(func(d *driver.Delivery) { d.Unanswered = d.ReadCount - 1 }), "receive/unanswered nack/uncounted"},
	{"an uncounted nack answers", "Delivery.Unanswered: only a counted nack answers", uncountedAnswers, "nack/uncounted"},
	{"archive counts the uncounted", "5: attempts are kept", archiving(func(r *driver.Record) { r.Attempt = r.ReadCount }), "archive/attempts"},
	{"peek shows no attempts", "Record.Attempt", peeks(withoutAttempts), "peek/attempts"},
	{"pop shows no attempts", "Delivery.Attempt", popsWithoutAttempts, "pop/attempts"},
	{"groups show no attempts", "Delivery.Attempt", groupsWithoutAttempts, "group/attempts"},
	{"redrive leaves leases out", "6: attempts begin anew", showing(uncountedOn), "redrive/attempts move/attempts"},
	{"tx counts every nack", "4: an uncounted nack is none", inTx(func(s *driver.Settlement) { s.Uncounted = false }), "tx/uncounted"},
}

func uncountsAll(m *mutant) {
	m.settle = func(ctx context.Context, queue string, s []driver.Settlement) error {
		s = slices.Clone(s)
		any := slices.ContainsFunc(s, func(s driver.Settlement) bool { return s.Uncounted })
		for i := range s {
			s[i].Uncounted = any && s[i].Op == driver.OpNack
		}
		return m.Provider.Settle(ctx, queue, s)
	}
}

// uncountsTwice takes a nack whose receipt is over for one that leaves out a
// lease.
func uncountsTwice(m *mutant) {
	var mu sync.Mutex
	more := 0
	m.settle = func(ctx context.Context, queue string, s []driver.Settlement) error {
		err := m.Provider.Settle(ctx, queue, s)
		mu.Lock()
		defer mu.Unlock()
		if err != nil && s[0].Uncounted {
			more++
		}
		return err
	}
	showing(func(d *driver.Delivery) {
		mu.Lock()
		defer mu.Unlock()
		d.Attempt = max(1, d.Attempt-more)
	})(m)
}

func uncountsAtTimeout(m *mutant) {
	var mu sync.Mutex
	left := 0
	settling(func(_ *mutant, s *driver.Settlement) {
		mu.Lock()
		defer mu.Unlock()
		if s.Uncounted && s.Delay == driver.AtTimeout {
			left++
		}
	})(m)
	showing(func(d *driver.Delivery) {
		mu.Lock()
		defer mu.Unlock()
		d.Attempt = max(1, d.Attempt-left)
	})(m)
}

func withoutAttempts(rs []driver.Record) []driver.Record {
	for i := range rs {
		rs[i].Attempt = 0
	}
	return rs
}

func popsWithoutAttempts(m *mutant) {
	m.pop = func(ctx context.Context, queue string, limit int) ([]driver.Delivery, error) {
		ds, err := m.Provider.Pop(ctx, queue, limit)
		for i := range ds {
			ds[i].Attempt = ds[i].ReadCount
		}
		return ds, err
	}
}

func groupsWithoutAttempts(m *mutant) {
	m.groups = func(ctx context.Context, queue string, r driver.GroupRequest) ([]driver.Delivery, error) {
		ds, err := m.Provider.ReceiveHeads(ctx, queue, r)
		for i := range ds {
			ds[i].Attempt = 0
		}
		return ds, err
	}
}

// uncountedOn leaves out a lease of the message from before.
func uncountedOn(d *driver.Delivery) {
	if d.Headers[driver.HeaderOrigin] != "" {
		d.Attempt = max(1, d.Attempt-1)
	}
}

// inTx changes settlements on their way into a transaction.
func inTx(change func(*driver.Settlement)) func(*mutant) {
	return func(m *mutant) {
		m.tx = func(tx driver.SQLTx) (driver.TxProvider, error) {
			inner, err := m.Provider.Tx(tx)
			return changingTx{inner, change}, err
		}
	}
}

type changingTx struct {
	driver.TxProvider
	change func(*driver.Settlement)
}

func (t changingTx) Settle(ctx context.Context, queue string, s []driver.Settlement) error {
	s = slices.Clone(s)
	for i := range s {
		t.change(&s[i])
	}
	return t.TxProvider.Settle(ctx, queue, s)
}

var reasonMutations = []mutation{
	{"nack drops its reason", "Caps.NackReasons", nacking(func(s *driver.Settlement) { s.Reason = "" }), "nack/reason nack/reason-delay nack/reason-batch nack/reason-peek archive/keeps-error"},
	{"the first reason stays", "a later reason replaces an earlier one", keepsFirstReason, "nack/reason nack/reason-delay"},
	{"nack without a reason clears it", "a nack without a reason leaves that of an earlier one", nacking(func(s *driver.Settlement) {
		if s.Reason == "" {
			s.Reason = " "
		}
	}), "nack/reason"},
	{"a batch has one reason", "Settlement.Reason", givesOneReason, "nack/reason-batch"},
	{"reason replaces the headers", "a nack leaves other headers alone", showing(onlyError), "nack/reason"},
	{"archive drops the error", "5: headers are kept", archiving(func(r *driver.Record) { delete(r.Headers, driver.HeaderError) }), "archive/keeps-error"},
	{"redrive keeps the error", "6: no header mq-error", showing(errorOn), "redrive/drops-error move/drops-error"},
}

// nacking changes nacks on their way in.
func nacking(change func(*driver.Settlement)) func(*mutant) {
	return settling(func(_ *mutant, s *driver.Settlement) {
		if s.Op == driver.OpNack {
			change(s)
		}
	})
}

func keepsFirstReason(m *mutant) {
	var mu sync.Mutex
	first := ""
	nacking(func(s *driver.Settlement) {
		mu.Lock()
		defer mu.Unlock()
		if first == "" {
			first = s.Reason
		}
		s.Reason = first
	})(m)
}

func givesOneReason(m *mutant) {
	m.settle = func(ctx context.Context, queue string, s []driver.Settlement) error {
		s = slices.Clone(s)
		for i := range s {
			s[i].Reason = s[0].Reason
		}
		return m.Provider.Settle(ctx, queue, s)
	}
}

func onlyError(d *driver.Delivery) {
	if reason := d.Headers[driver.HeaderError]; reason != "" {
		d.Headers = driver.Headers{driver.HeaderError: reason}
	}
}

func errorOn(d *driver.Delivery) {
	if d.Headers[driver.HeaderOrigin] != "" {
		d.Headers[driver.HeaderError] = "card declined"
	}
}

// uncountedAnswers shows nothing unanswered after an uncounted nack.
func uncountedAnswers(m *mutant) {
	last := ""
	m.settle = func(ctx context.Context, queue string, s []driver.Settlement) error {
		for _, x := range s {
			if x.Uncounted {
				last = queue
			}
		}
		return m.Provider.Settle(ctx, queue, s)
	}
	m.receive = func(ctx context.Context, queue string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
		ds, err := m.Provider.Receive(ctx, queue, r)
		for i := range ds {
			if last == queue {
				ds[i].Unanswered, last = 0, ""
			}
		}
		return ds, err
	}
}

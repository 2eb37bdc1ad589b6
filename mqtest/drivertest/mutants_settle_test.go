package drivertest

import (
	"context"
	"fmt"

	"github.com/portmq/mq/driver"
)

// What is said of Settle.

var settleMutations = []mutation{
	{"nack ignores delay", "Caps.Delay: nacks with a positive delay work", settling(func(_ *mutant, s *driver.Settlement) { s.Delay = min(s.Delay, 0) }), "nack/delay"},
	{"nack waits for the timeout", "OpNack gives the message back at once", settling(waitsForTimeout), "nack/now"},
	{"nack at timeout is at once", "AtTimeout leaves the message to its timeout", settling(func(_ *mutant, s *driver.Settlement) { s.Delay = max(s.Delay, 0) }), "nack/at-timeout"},
	{"duplicates fail all", "the receipts of a batch may repeat, and then one of them wins", failsDuplicates, "settle/duplicates"},
	{"ack takes the neighbour", "a settlement has no effect on others", acksAll, "settle/others-stay"},
}

func waitsForTimeout(_ *mutant, s *driver.Settlement) {
	if s.Op == driver.OpNack {
		s.Delay = driver.AtTimeout
	}
}

func failsDuplicates(m *mutant) {
	m.settle = func(ctx context.Context, queue string, s []driver.Settlement) error {
		seen := make(map[driver.Receipt]bool)
		for i := range s {
			if seen[s[i].Receipt] {
				return fmt.Errorf("%w: a receipt repeats", driver.ErrInvalid)
			}
			seen[s[i].Receipt] = true
		}
		return m.Provider.Settle(ctx, queue, s)
	}
}

func acksAll(m *mutant) {
	m.settle = func(ctx context.Context, queue string, s []driver.Settlement) error {
		err := m.Provider.Settle(ctx, queue, s)
		if err == nil {
			_, err = m.PurgeQueue(ctx, queue)
		}
		return err
	}
}

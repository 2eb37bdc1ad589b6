package drivertest

import (
	"context"

	"github.com/portmq/mq/driver"
)

var countMutations = []mutation{
	{"counts what it gives back", "4: what is not handed out is not counted as read", givesBackSurplus, "receive/uncounted-waits receive/uncounted-large"},
}

// givesBackSurplus leases one message more than it was asked for.
func givesBackSurplus(m *mutant) {
	m.receive = func(ctx context.Context, queue string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
		limit := r.Max
		r.Max++
		ds, err := m.Provider.Receive(ctx, queue, r)
		if err != nil || len(ds) <= limit {
			return ds, err
		}
		surplus := driver.Settlement{Receipt: ds[limit].Receipt, Op: driver.OpNack}
		return ds[:limit], m.Provider.Settle(ctx, queue, []driver.Settlement{surplus})
	}
}

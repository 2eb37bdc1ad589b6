package pgmq

import (
	"database/sql"
	"sync/atomic"
	"time"
)

// reserve is a connection for heartbeats where all those of the pool are in use:
// else a lease would end while its extension queues behind the handlers. With
// FromDB there is none, since a *sql.DB does not reveal how to connect.
type reserve struct {
	db     *sql.DB // nil if there is none
	pool   querier
	warned atomic.Int64 // when the log last said that the pool was too small
}

// warnFullEvery bounds what is logged of a pool that is too small.
const warnFullEvery = time.Minute

// forHeartbeats returns the pool, or the reserve if that is all in use.
func (p *Provider) forHeartbeats() querier {
	switch {
	case p.shared != nil && !allAcquired(p.shared):
	case p.shared == nil && !allInUse(p.db):
	case p.reserve.db != nil:
		return p.reserve.pool
	case p.reserve.mayWarn(time.Now()):
		p.log.Warn("pgmq: all connections of the pool are in use: heartbeats wait for one, and leases may end meanwhile (give the pool more connections than there are handlers that use it, or the queue a pool of its own by mq.Open)",
			"connections", p.db.Stats().MaxOpenConnections)
	}
	return p.pool
}

func (r *reserve) mayWarn(now time.Time) bool {
	last := r.warned.Load()
	return (last == 0 || now.UnixNano()-last >= int64(warnFullEvery)) && r.warned.CompareAndSwap(last, now.UnixNano())
}

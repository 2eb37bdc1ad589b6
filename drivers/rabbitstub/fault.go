package rabbitstub

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/portmq/mq/driver"
)

// Disconnect closes the connections of all clients, as rabbitmqctl
// close_all_connections does. All leases are lost: their messages come back at
// once, with one read more, and their receipts are driver.ErrStaleReceipt.
// Calls that wait end, publishers with driver.ErrUnavailable, receivers with
// driver.ErrBadConn. The next call connects again.
func (b *Broker) Disconnect() {
	b.lock()
	defer b.unlock()
	b.closeConnections()
}

// Stop stops the broker: it closes all connections, and until Start calls
// answer driver.ErrBadConn. Queues and messages are kept, as on disk.
func (b *Broker) Stop() {
	b.lock()
	defer b.unlock()
	b.stopped = true
	b.closeConnections()
}

// Start starts a broker that was stopped.
func (b *Broker) Start() {
	b.lock()
	defer b.unlock()
	b.stopped = false
}

// Block blocks publishers, as a broker does that runs out of memory or disk:
// sends, archives and nacks with a delay wait, until their contexts end and
// they answer driver.ErrUnavailable. What was given up so is published all the
// same when publishers may go on, which is the worse of two things that may
// happen on a broker. Receives, acks and other nacks go on. Ping says that
// publishers are blocked.
func (b *Broker) Block() {
	b.lock()
	defer b.unlock()
	b.blocked = true
}

// Unblock lets publishers go on.
func (b *Broker) Unblock() {
	b.lock()
	defer b.unlock()
	b.blocked = false
	for _, x := range b.spool {
		x.end(x.publish())
	}
	b.spool = nil
}

// closeConnections gives back what clients have leased.
func (b *Broker) closeConnections() {
	for p := range b.clients {
		b.closeConnection(p, errLost)
	}
	for _, q := range b.queues {
		q.turnAway(fmt.Errorf("%w: %w", driver.ErrBadConn, errLost))
	}
}

var errLost = errors.New("the broker closed the connection")

// closeConnection gives back what p has leased, in the order of the leases,
// and forgets what p was about to publish.
func (b *Broker) closeConnection(p *Provider, why error) {
	for _, lease := range slices.Sorted(maps.Keys(p.leases)) {
		b.giveBack(p.leases[lease])
	}
	p.lost = b.lastLease
	b.spool = slices.DeleteFunc(b.spool, func(x *publication) bool {
		if x.p == p {
			x.end(fmt.Errorf("%w: %w", driver.ErrUnavailable, why))
		}
		return x.p == p
	})
}

// disconnect ends p for good.
func (b *Broker) disconnect(p *Provider) {
	b.lock()
	defer b.unlock()
	p.closed = true
	delete(b.clients, p)
	b.closeConnection(p, driver.ErrClosed)
}

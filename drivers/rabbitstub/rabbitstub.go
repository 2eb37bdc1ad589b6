package rabbitstub

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/portmq/mq/driver"
)

var (
	_ driver.Driver       = stubDriver{}
	_ driver.Provider     = (*Provider)(nil)
	_ driver.QueueManager = (*Provider)(nil)
	_ driver.Router       = (*Provider)(nil)
	_ driver.Namer        = (*Provider)(nil)
)

type stubDriver struct{}

// Open opens rabbitstub:// or rabbitstub://name.
func (stubDriver) Open(dsn string, _ driver.Env) (driver.Provider, error) {
	u, err := driver.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	if u.User != nil || u.Opaque != "" || u.Path != "" || u.Fragment != "" || strings.Contains(u.Host, ":") {
		return nil, errors.New("a DSN is rabbitstub:// or rabbitstub://name: no user, port, path or fragment")
	}
	return attach(u.Host).connect(), nil
}

// Provider is a client of a [Broker]. It is safe for concurrent use. After its
// connection was closed by the broker the next call has a new one.
type Provider struct {
	broker *Broker
	id     string        // tells its receipts from those of other clients
	done   chan struct{} // closed by Close
	close  sync.Once

	// Guarded by broker.mu.
	closed  bool
	leases  map[uint64]*message // of the connection, by lease
	lost    uint64              // the broker's last lease when the connection was opened
	dropped map[string]uint64   // and when the client dropped a queue
}

// New returns a provider with a broker of its own, as the DSN rabbitstub://
// does.
func New() *Provider { return newBroker("").connect() }

// connect returns one more client.
func (b *Broker) connect() *Provider {
	p := &Provider{
		broker: b, id: rand.Text(), done: make(chan struct{}),
		leases: make(map[uint64]*message), dropped: make(map[string]uint64),
	}
	b.lock()
	defer b.unlock()
	b.clients[p] = true
	p.lost = b.lastLease
	return p
}

// Name returns "rabbitstub".
func (p *Provider) Name() string { return "rabbitstub" }

// Broker returns the broker, to make it fail.
func (p *Provider) Broker() *Broker { return p.broker }

// The limits of drivers/rabbitmq with a broker's default settings: what its
// delay queues can count to, how long a broker waits for an ack, less a margin,
// and so on.
const (
	delayStep   = 100 * time.Millisecond
	delayLevels = 24
	maxDelay    = (1<<delayLevels - 1) * delayStep
	maxHold     = 30 * time.Minute * 8 / 10
	maxBody     = 16 << 20
	maxBatch    = 1000
	maxName     = 255 - len(archiveSuffix)
)

// Caps is that of drivers/rabbitmq, but that nothing is durable, and that only
// a broker with a name is shared.
func (p *Provider) Caps() driver.Caps {
	return driver.Caps{
		Delay:         true,
		Headers:       true,
		Shared:        p.broker.name != "",
		NackFences:    true,
		ExactBodies:   true,
		Attempts:      true,
		NackReasons:   true,
		Flights:       4, // as drivers/rabbitmq
		Order:         driver.Unordered,
		MaxBatch:      maxBatch,
		MaxBody:       maxBody,
		MaxDelay:      maxDelay,
		MaxVisibility: maxHold,
		MaxHold:       maxHold,
		Resolution:    delayStep,
	}
}

// Ping returns why the broker cannot be used. That it blocks publishers is a
// reason.
func (p *Provider) Ping(ctx context.Context) error {
	if err := p.lock(ctx); err != nil {
		return err
	}
	defer p.broker.unlock()
	if p.broker.blocked {
		return fmt.Errorf("%w: the broker blocks publishers", driver.ErrBadConn)
	}
	return nil
}

// Close closes the connection: what the client has leased comes back at once.
func (p *Provider) Close() error {
	p.close.Do(func() {
		close(p.done)
		p.broker.disconnect(p)
		p.broker.detach()
	})
	return nil
}

// lock locks the broker for a call, unless the call must not begin.
func (p *Provider) lock(ctx context.Context) error {
	err := p.enter(ctx)
	if err == nil && p.broker.stopped {
		p.broker.unlock()
		return fmt.Errorf("%w: the broker is stopped", driver.ErrBadConn)
	}
	return err
}

// enter is lock for a call that needs no broker.
func (p *Provider) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p.broker.lock()
	if p.closed {
		p.broker.unlock()
		return driver.ErrClosed
	}
	return nil
}

// lockQueue is lock for a call on a queue.
func (p *Provider) lockQueue(ctx context.Context, name string) (*queue, error) {
	if err := p.lock(ctx); err != nil {
		return nil, err
	}
	q := p.broker.queues[name]
	if q == nil {
		p.broker.unlock()
		return nil, driver.ErrQueueNotFound
	}
	return q, nil
}

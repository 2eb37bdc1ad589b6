package mem

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portmq/mq/driver"
)

var (
	_ driver.Driver        = memDriver{}
	_ driver.Provider      = (*Provider)(nil)
	_ driver.QueueManager  = (*Provider)(nil)
	_ driver.StatsLister   = (*Provider)(nil)
	_ driver.Popper        = (*Provider)(nil)
	_ driver.Deduplicator  = (*Provider)(nil)
	_ driver.Router        = (*Provider)(nil)
	_ driver.Browser       = (*Provider)(nil)
	_ driver.Archivist     = (*Provider)(nil)
	_ driver.ReasonCounter = (*Provider)(nil)
	_ driver.Overrider     = (*Provider)(nil)
	_ driver.Pauser        = (*Provider)(nil)
	_ driver.Registry      = (*Provider)(nil)
	_ driver.GroupReceiver = (*Provider)(nil)
	_ driver.Transactor    = (*Provider)(nil)
	_ driver.Namer         = (*Provider)(nil)
	_ driver.SQLTx         = (*Tx)(nil)
	_ driver.TxProvider    = txProvider{}
	_ driver.Deduplicator  = txProvider{}
	_ driver.TxPublisher   = txProvider{}
)

type memDriver struct{}

// Open opens mem:// or mem://name.
func (memDriver) Open(dsn string, _ driver.Env) (driver.Provider, error) {
	u, err := driver.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	if u.User != nil || u.Opaque != "" || u.Path != "" || u.Fragment != "" || strings.Contains(u.Host, ":") {
		return nil, errors.New("a DSN is mem:// or mem://name: no user, port, path or fragment")
	}
	return newProvider(attach(u.Host)), nil
}

// Provider is a client of a store of queues. It is safe for concurrent use.
type Provider struct {
	store  *store
	closed atomic.Bool
	done   chan struct{} // closed by Close
}

// New returns a provider with a store of its own, as the DSN mem:// does.
func New() *Provider { return newProvider(newStore("")) }

func newProvider(s *store) *Provider {
	return &Provider{store: s, done: make(chan struct{})}
}

// Name returns "mem".
func (p *Provider) Name() string { return "mem" }

// Caps promises everything but durability, and sharing only for a named store.
func (p *Provider) Caps() driver.Caps {
	named := p.store.name != ""
	return driver.Caps{
		Delay:            true,
		HeadStart:        true,
		Headers:          true,
		Groups:           true,
		GroupLimit:       true,
		Shared:           named,
		PortableReceipts: named,
		InProcess:        true,
		LateSettle:       true,
		NackFences:       true,
		ExactBodies:      true,
		ExactReadCount:   true,
		Attempts:         true,
		NackReasons:      true,
		ExactStats:       true,
		AtomicSend:       true,
		AtomicArchive:    true,
		AtomicMove:       true,
		Order:            driver.OrderDue,
		MaxBatch:         1000,
		MaxBody:          16 << 20,
	}
}

// QueueName folds ASCII letters to lower case.
func (p *Provider) QueueName(name string) (string, error) { return driver.FoldName(name, 255) }

// Ping returns nil unless the provider is closed.
func (p *Provider) Ping(ctx context.Context) error { return p.check(ctx) }

// Close ends waiting calls of this provider. The store goes with the last
// provider that has it open.
func (p *Provider) Close() error {
	if p.closed.Swap(true) {
		return nil
	}
	close(p.done)
	p.store.detach()
	return nil
}

// check returns why a call must not begin.
func (p *Provider) check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if p.closed.Load() {
		return driver.ErrClosed
	}
	return nil
}

// queue returns the queue of that name.
func (p *Provider) queue(ctx context.Context, name string) (*queue, error) {
	if err := p.check(ctx); err != nil {
		return nil, err
	}
	if q := p.store.queue(name); q != nil {
		return q, nil
	}
	return nil, driver.ErrQueueNotFound
}

// lock returns the queue of that name, locked.
func (p *Provider) lock(ctx context.Context, name string) (*queue, error) {
	q, err := p.queue(ctx, name)
	if err != nil {
		return nil, err
	}
	q.lock()
	if q.dropped {
		q.unlock()
		return nil, driver.ErrQueueNotFound
	}
	return q, nil
}

// store is a set of queues.
type store struct {
	name  string // "" if private
	nonce uint64 // tells its receipts from those of any other store
	epoch time.Time
	users int // guarded by sharedMu

	queues sync.Map      // of *queue, by name
	made   atomic.Uint64 // queues so far

	pauses  pauses
	reports reports
}

// The stores that have a name and are open.
var (
	sharedMu sync.Mutex
	shared   = make(map[string]*store)
)

func newStore(name string) *store {
	return &store{
		name:  name,
		nonce: rand.Uint64(),
		epoch: time.Now(),
		users: 1,
	}
}

// attach returns the store of that name for one more user.
func attach(name string) *store {
	if name == "" {
		return newStore("")
	}
	sharedMu.Lock()
	defer sharedMu.Unlock()
	if s := shared[name]; s != nil {
		s.users++
		return s
	}
	s := newStore(name)
	shared[name] = s
	return s
}

// detach gives the messages back when the last user leaves.
func (s *store) detach() {
	sharedMu.Lock()
	defer sharedMu.Unlock()
	if s.users--; s.users > 0 {
		return
	}
	if s.name != "" {
		delete(shared, s.name)
	}
	s.queues.Clear()
}

// queue returns the queue of that name, or nil.
func (s *store) queue(name string) *queue {
	v, _ := s.queues.Load(name)
	q, _ := v.(*queue)
	return q
}

// time returns the moment t nanoseconds after the store's beginning.
func (s *store) time(t int64) time.Time { return s.epoch.Add(time.Duration(t)) }

package rabbitmq

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

var (
	_ driver.Provider     = (*Provider)(nil)
	_ driver.QueueManager = (*Provider)(nil)
	_ driver.Router       = (*Provider)(nil)
	_ driver.Namer        = (*Provider)(nil)
)

func init() {
	for _, scheme := range schemes {
		mq.Register(scheme, rabbitDriver{})
	}
}

type rabbitDriver struct{}

// Open opens a rabbitmq://, amqp:// or amqps:// DSN.
func (rabbitDriver) Open(dsn string, env driver.Env) (driver.Provider, error) {
	o, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	return newProvider(o, env.Logger), nil
}

// Provider is RabbitMQ, in one vhost. It is safe for concurrent use.
type Provider struct {
	options options
	log     *slog.Logger
	ids     *idSource

	// A broker that is short of memory or disk stops reading from connections
	// that publish. Nothing else goes that way.
	publisher link
	consumer  link

	mu      sync.Mutex
	queues  map[string]*queue
	sweepAt int
	ladders ladders
	topics  atomic.Bool   // the exchange for topics is there
	unnoted sync.Once     // warns of nacks that change no headers
	making  chan struct{} // holds one: queues are made one at a time

	done   chan struct{} // closed by Close
	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup
}

func newProvider(o options, log *slog.Logger) *Provider {
	if log == nil {
		log = slog.Default()
	}
	p := &Provider{
		options: o, log: log, ids: newIDSource(),
		queues: make(map[string]*queue), done: make(chan struct{}), making: make(chan struct{}, 1),
	}
	p.publisher = link{p: p, purpose: "publish"}
	p.consumer = link{p: p, purpose: "consume"}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// Name returns "rabbitmq".
func (p *Provider) Name() string { return "rabbitmq" }

// Caps describes a queue that EnsureQueue makes.
func (p *Provider) Caps() driver.Caps {
	hold := p.options.maxHold()
	return driver.Caps{
		Delay:         true,
		Headers:       true,
		Durable:       true,
		Shared:        true,
		NackFences:    true,
		ExactBodies:   true,
		Attempts:      true,
		NackReasons:   true,
		Flights:       flights,
		Order:         driver.Unordered,
		MaxBatch:      maxBatch,
		MaxBody:       p.options.maxBody,
		MaxDelay:      maxDelay,
		MaxVisibility: hold,
		MaxHold:       hold,
		Resolution:    delayUnit,
	}
}

// flights is more than the default: the broker takes a batch message by message,
// and has an answer for each.
const flights = 4

// maxBatch keeps a batch within what a channel has under way.
const maxBatch = 1000

// maxName leaves room for the archive's ending in AMQP's 255 bytes.
const maxName = 255 - len(archiveSuffix)

// QueueName takes names as they are.
func (p *Provider) QueueName(name string) (string, error) {
	switch {
	case name == "":
		return "", fmt.Errorf("%w: queue name is empty", driver.ErrInvalid)
	case len(name) > maxName:
		return "", fmt.Errorf("%w: queue name is longer than %d bytes", driver.ErrInvalid, maxName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return "", fmt.Errorf("%w: queue name %q has control characters or is not UTF-8", driver.ErrInvalid, name)
	case strings.HasPrefix(name, "amq."):
		return "", fmt.Errorf("%w: queue name %q begins with amq., which RabbitMQ keeps for itself", driver.ErrInvalid, name)
	case strings.HasPrefix(name, delayPrefix) && name != delayLost:
		return "", fmt.Errorf("%w: queue name %q begins with %s, which is for delays", driver.ErrInvalid, name, delayPrefix)
	case strings.HasPrefix(name, lockPrefix):
		return "", fmt.Errorf("%w: queue name %q begins with %s, which is for locks", driver.ErrInvalid, name, lockPrefix)
	}
	return name, nil
}

// Ping opens a channel, and says if the broker blocks publishers.
func (p *Provider) Ping(ctx context.Context) error {
	err := p.onChannel(ctx, func(*session, *amqp.Channel) error { return nil })
	if err != nil {
		return err
	}
	return p.publisher.blocked()
}

// closeLimit is how long the broker has to answer a goodbye.
const closeLimit = 2 * time.Second

// Close closes both connections, so that the broker gives every leased message
// to others.
func (p *Provider) Close() error {
	p.mu.Lock()
	if p.closed() {
		p.mu.Unlock()
		return nil
	}
	close(p.done)
	p.mu.Unlock()
	var both sync.WaitGroup
	for _, l := range []*link{&p.publisher, &p.consumer} {
		both.Go(l.close)
	}
	both.Wait()
	p.cancel()
	p.tasks.Wait()
	return nil
}

func (p *Provider) closed() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// check returns why a call must not begin.
func (p *Provider) check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if p.closed() {
		return driver.ErrClosed
	}
	return nil
}

// start runs f in a goroutine that Close waits for, unless it is too late.
func (p *Provider) start(f func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed() {
		return false
	}
	p.tasks.Go(f)
	return true
}

// await returns when f has returned, when ctx ends, or when the broker is silent:
// the calls of amqp091-go know neither. What f still does then ends with the
// connection at the latest.
func (p *Provider) await(ctx context.Context, s *session, f func() error) error {
	if err := p.check(ctx); err != nil {
		return err
	}
	done := make(chan error, 1)
	if !p.start(func() { done <- f() }) {
		return driver.ErrClosed
	}
	silent := make(chan struct{})
	defer s.watch(func() { close(silent) })()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-silent:
		return noAnswer(driver.ErrBadConn)
	}
}

// onChannel runs f on a channel of its own: whatever the broker does not like
// costs the channel.
func (p *Provider) onChannel(ctx context.Context, f func(*session, *amqp.Channel) error) error {
	if err := p.check(ctx); err != nil {
		return err
	}
	s, err := p.consumer.get(ctx)
	if err != nil {
		return err
	}
	err = p.await(ctx, s, func() error {
		ch, err := s.Channel()
		if err != nil {
			return err
		}
		defer func() { _ = ch.Close() }() // the broker may have closed it
		return f(s, ch)
	})
	return p.readError(err)
}

// readError is mapError for calls that can be repeated: with the connection
// nothing is lost.
func (p *Provider) readError(err error) error {
	if err != nil && p.closed() {
		return driver.ErrClosed
	}
	return mapError(err, driver.ErrBadConn)
}

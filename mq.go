// Package mq is database/sql for message queues: one small API, and drivers
// that are blank-imported and chosen by DSN.
//
//	import (
//		"github.com/portmq/mq"
//		_ "github.com/portmq/mq/drivers/mem"
//	)
//
//	c, err := mq.Open("mem://")
//	q, err := c.EnsureQueue(ctx, "orders", mq.QueueOptions{})
//	_, err = q.Send(ctx, &mq.Message{Body: []byte(`{"id":1}`)})
//
//	ds, err := q.Receive(ctx, mq.ReceiveOptions{Wait: time.Second})
//	for _, d := range ds {
//		fmt.Println(string(d.Body), d.Attempt)
//		err = d.Ack(ctx)
//	}
//
// # Ideas
//
// A message that is received is leased: no other receiver gets it until its
// visibility timeout ends. The holder of the lease settles it: Ack deletes the
// message, Nack gives it back, Archive sets it aside; Extend prolongs the
// lease. A message that is not settled in time is delivered again, so delivery
// is at least once. A receipt names one lease: a worker whose lease has ended
// cannot touch a message that another worker holds.
//
// [Consumer] does all this for a handler: it fetches, keeps leases alive,
// settles by the handler's error, retries with backoff, dead-letters messages
// that cannot be processed, reports each [Event] and shuts down gracefully.
// [Queue.Consume] is the short form, and [Of] adds types.
//
// # Errors
//
// Every method returns an [*Error] that wraps one of the sentinels of this
// package or the provider's own error, for errors.Is and errors.As. Misuse is
// [ErrInvalid] from the call; only Register, New, Of and SetConcurrency, which
// return no error, panic. Unsupported features fail loudly: they return
// [ErrNotSupported], and Config.Require finds them at Open.
package mq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/portmq/mq/driver"
)

// Provider is one open backend, as a driver makes it.
type Provider = driver.Provider

// Config configures a Client. The zero value is the default.
type Config struct {
	// Logger gets reconnects, lost leases, dead letters and the like; never a
	// body or a password. mq waits for its handler for a second at most; while
	// the handler hangs, lines may be left out. Its WithAttrs, which NewConsumer
	// calls, has no limit. Defaults to slog.Default().
	Logger *slog.Logger

	// Require lists what the program needs of a provider: one that lacks it is
	// refused by Open, and not at the first call that needs it.
	Require Requirements

	// Interceptors run around each call, the first one outermost. Interceptor
	// says what happens if one hangs.
	Interceptors []Interceptor

	// Codec encodes typed payloads. Defaults to JSON.
	Codec Codec

	// CallTimeout bounds every call to the backend whose context has no earlier
	// deadline: sends, settlements, receives (on top of their Wait), lookups, and
	// what mq does on its own. A call that is cut off is ErrUnavailable, and no
	// longer holds up others. Extensions have less, a third of what is left of
	// the lease, but 5 seconds at least and 10 at most: heartbeats wait behind
	// them.
	//
	// EnsureQueue, DropQueue, Purge, PurgeArchive and Redrive may take long for
	// good reason. They end only with their context or Close, and log a warning
	// every CallTimeout until they return. Defaults to 30 seconds.
	CallTimeout time.Duration

	// Name is the name of this process's Consumers in Client.Consumers. Defaults to
	// the host name, a slash and the process ID.
	Name string

	// NoReports stops Consumers from reporting to the backend what they do, see
	// Client.Consumers.
	NoReports bool

	// AllowDuplicateMoves lets Move, and a Consumer's DeadLetter queue, copy
	// the message and then delete it where the provider cannot move it in one
	// step: a crash between the two leaves it in both queues. Otherwise such
	// a move is ErrNotSupported.
	AllowDuplicateMoves bool
}

// Client is an open provider. It is safe for concurrent use and is meant to
// live as long as the program.
type Client struct {
	provider Provider
	name     string
	caps     driver.Caps
	cfg      Config

	mu    sync.Mutex
	lanes map[string]weak.Pointer[lanes] // by canonical queue name

	// base ends when Close begins, which stops consumers and iterators.
	base   context.Context
	cancel context.CancelFunc
	closed atomic.Bool
	// hurry is closed when Shutdown has no more patience with consumers.
	hurry   chan struct{}
	hurried atomic.Bool
	done    chan struct{} // closed with closed
	guard   *guard        // of the program's functions

	consumers tracker
	pauses    pauses
	iterators tracker
	tasks     tracker // flights and other goroutines on behalf of calls

	// flights is the ctx of merged calls, which cannot use a caller's. Close
	// ends it, by ground, when it has waited for them for long enough.
	flights context.Context
	ground  context.CancelCauseFunc
}

// Open opens the provider that dsn names: its scheme is the driver, the rest
// is the driver's. It does no I/O; Ping does.
func Open(dsn string) (*Client, error) { return OpenConfig(dsn, Config{}) }

// OpenConfig is Open with a Config.
func OpenConfig(dsn string, cfg Config) (*Client, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	p, err := openProvider(dsn, driver.Env{Logger: cfg.Logger})
	if err != nil {
		return nil, &openError{&Error{Op: "open", Err: err}}
	}
	if err := cfg.Require.check(p); err != nil {
		_ = p.Close()
		return nil, &Error{Op: "open", Err: err}
	}
	return New(p, cfg), nil
}

// New returns a Client for a provider that was opened without the registry, as by
// pgmq.FromPool or pgmq.FromDB. The Client owns p and closes it. It panics if p is
// nil, cfg is not valid, or p lacks what Config.Require asks for.
func New(p Provider, cfg Config) *Client {
	if p == nil {
		panic("mq: New provider is nil")
	}
	if err := cmp.Or(cfg.validate(), cfg.Require.check(p)); err != nil {
		panic(err)
	}
	c := &Client{
		provider: p,
		name:     p.Name(),
		caps:     p.Caps(),
		cfg:      cfg.withDefaults(),
		lanes:    make(map[string]weak.Pointer[lanes]),
		done:     make(chan struct{}),
		hurry:    make(chan struct{}),
	}
	c.flights, c.ground = context.WithCancelCause(context.Background())
	c.guard = &guard{log: c.cfg.Logger}
	c.base, c.cancel = context.WithCancel(context.Background())
	return c
}

func (cfg Config) validate() error {
	switch {
	case cfg.CallTimeout < 0:
		return &Error{Op: "open", Err: invalid("CallTimeout %v is negative", cfg.CallTimeout)}
	case !isText(cfg.Name):
		return &Error{Op: "open", Err: invalid("Name has a NUL or is not UTF-8")}
	}
	return nil
}

func (cfg Config) withDefaults() Config {
	cfg.Logger = GuardLogger(cfg.Logger)
	if cfg.Name == "" {
		cfg.Name = processName()
	}
	if cfg.Codec == nil {
		cfg.Codec = JSON
	}
	if cfg.CallTimeout == 0 {
		cfg.CallTimeout = 30 * time.Second
	}
	cfg.Interceptors = slices.Clone(cfg.Interceptors)
	return cfg
}

// Provider returns the provider, for what mq does not offer. To call it
// directly bypasses validation, retries and interceptors.
func (c *Client) Provider() Provider { return c.provider }

// Caps returns what the provider can do.
func (c *Client) Caps() driver.Caps { return c.caps }

// Queue returns a handle on a queue. It does no I/O and does not fail: a name
// that is not valid shows in the first call. Handles are cheap, and all
// handles of one queue share its batching.
func (c *Client) Queue(name string) *Queue {
	canonical, err := c.canonical(name)
	if err != nil {
		return &Queue{client: c, name: name, err: err}
	}
	return &Queue{client: c, name: canonical, lanes: c.lanesOf(canonical)}
}

// EnsureQueue creates a queue if it is not there and returns its handle. It is
// idempotent. Unless o.AnyName is set the name must be portable to every
// provider: 1 to 47 letters, digits and underscores, no digit in front.
//
// Options that the provider's driver understands and cannot honour, for a queue
// that exists already or in this backend, are an error. Options of other drivers
// are ignored.
func (c *Client) EnsureQueue(ctx context.Context, name string, o QueueOptions) (*Queue, error) {
	q := c.Queue(name)
	if q.err == nil && !o.AnyName && !portable(name) {
		q.err = invalid("queue name %.64q is not portable: use 1 to 47 letters, digits and underscores, no digit in front, or set QueueOptions.AnyName", name)
	}
	if q.err == nil {
		q.err = checkDriverOptions(o.Drivers)
	}
	err := q.do(ctx, &Call{Op: "ensure"}, func(ctx context.Context) error {
		return c.labour(ctx, "ensure", q.name, func(ctx context.Context) error { return c.provider.EnsureQueue(ctx, q.name, o) })
	})
	if err != nil {
		return nil, err
	}
	return q, nil
}

// DropQueue removes a queue, its messages and its archive. Dropping a queue
// that does not exist is not an error.
func (c *Client) DropQueue(ctx context.Context, name string) error {
	q := c.Queue(name)
	return q.do(ctx, &Call{Op: "drop"}, func(ctx context.Context) error {
		m, err := optional[driver.QueueManager](c.provider)
		if err != nil {
			return err
		}
		return c.labour(ctx, "drop", q.name, func(ctx context.Context) error { return m.DropQueue(ctx, q.name) })
	})
}

// Queues returns the names of all queues, sorted.
func (c *Client) Queues(ctx context.Context) (names []string, err error) {
	err = c.do(ctx, &Call{Op: "list"}, func(ctx context.Context) error {
		m, err := optional[driver.QueueManager](c.provider)
		if err != nil {
			return err
		}
		return c.look(ctx, func(ctx context.Context) (err error) {
			names, err = m.ListQueues(ctx)
			return err
		})
	})
	return names, err
}

// Ping checks that the backend can be reached and used.
func (c *Client) Ping(ctx context.Context) error {
	return c.do(ctx, &Call{Op: "ping"}, func(ctx context.Context) error {
		ctx, cancel := c.untilClosed(ctx)
		defer cancel()
		return theirs(c.limited(ctx, c.provider.Ping))
	})
}

// Verification is the result of Client.Verify.
type Verification struct {
	Healthy []string
	Missing []string         // there is no such queue
	Failed  map[string]error // could not be checked, and why
}

// Err returns nil if every queue is healthy, and else what is wrong.
func (v Verification) Err() error {
	var errs []error
	for _, name := range v.Missing {
		errs = append(errs, &Error{Op: "verify", Queue: name, Err: ErrQueueNotFound})
	}
	for _, name := range slices.Sorted(maps.Keys(v.Failed)) {
		errs = append(errs, v.Failed[name])
	}
	return errors.Join(errs...)
}

// Verify checks that queues exist, for a program that wants to fail at its
// start rather than at its first message.
func (c *Client) Verify(ctx context.Context, names ...string) Verification {
	var v Verification
	for _, name := range names {
		switch _, err := c.Queue(name).Stats(ctx); {
		case err == nil:
			v.Healthy = append(v.Healthy, name)
		case errors.Is(err, ErrQueueNotFound):
			v.Missing = append(v.Missing, name)
		default:
			if v.Failed == nil {
				v.Failed = make(map[string]error)
			}
			v.Failed[name] = err
		}
	}
	return v
}

// Close is Shutdown with Config.CallTimeout as its deadline.
func (c *Client) Close() error {
	ctx, cancel := c.callTimeout().within(context.Background())
	defer cancel()
	return c.Shutdown(ctx)
}

// Shutdown stops the client's consumers and iterators as if their contexts had
// ended, waits for them and for merged calls under way, and closes the provider,
// which ends other calls. It returns nil if all of them ended in time. A call that
// it cuts off is ErrClosed, and ErrUnavailable or, if certainly not applied,
// ErrBadConn as well. Later calls are ErrClosed.
//
// When ctx ends it waits no longer: consumers end the contexts of their
// handlers and give up, merged calls under way end, and the error says what was left
// behind. The provider is closed in any case.
//
// A handler, an OnEvent, or the body of a loop over Messages must not call it: it
// would wait for itself. A second call returns nil.
func (c *Client) Shutdown(ctx context.Context) error {
	c.cancel()
	runs, bodies := c.consumers.close(), c.iterators.close()
	patience := ctx
	left := c.await(ctx, nil, runs, "consumers")
	if ctx.Err() != nil && c.hurried.CompareAndSwap(false, true) {
		close(c.hurry)
		lastWords, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		patience = lastWords
		left = c.await(patience, nil, runs, "consumers")
	}
	left = c.await(patience, left, bodies, "the bodies of loops over Messages")
	if c.closed.Swap(true) {
		return nil
	}
	close(c.done)
	left = c.await(patience, left, c.tasks.close(), "calls under way")
	c.ground(errCutByClose)
	if err := c.provider.Close(); err != nil {
		return &Error{Op: "close", Provider: c.name, Err: err}
	}
	if left != nil {
		return &Error{Op: "close", Err: fmt.Errorf("%s did not end in time: %w", strings.Join(left, ", "), ended(ctx))}
	}
	return nil
}

// await waits for idle, or until ctx ends: then it adds what to those left behind.
func (c *Client) await(ctx context.Context, left []string, idle <-chan struct{}, what string) []string {
	select {
	case <-idle:
		return left
	default:
	}
	select {
	case <-idle:
		return left
	case <-ctx.Done():
		c.cfg.Logger.Warn("mq: Close stops waiting", "for", what)
		return append(left, what)
	}
}

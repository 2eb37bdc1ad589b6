package mq

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

// backend is a provider with true leases, which it ends by its own clock, so
// that a lost lease is not only mq's opinion. Its calls can fail, hang and
// half-succeed: see fault. It runs in bubbles.
type backend struct {
	caps  driver.Caps
	fault func(op string, n int) fault // of the nth call of an operation, from 1

	mu      sync.Mutex
	queues  map[string][]*row
	lastID  int
	calls   map[string]int
	log     []string // "settle ack 1", "send dead 1", ...
	refuse  func(op string, id string) error
	figures Stats         // what Stats answers
	changed chan struct{} // closed when a message may have become visible
}

// row is a message of a backend.
type row struct {
	id             string
	msg            Message
	reads          int
	uncounted      int // nacks
	answered       int // attempts, by the last counted nack
	lastError      string
	due            time.Time // when it is visible
	enqueued       time.Time
	leased         time.Time
	receipt        Receipt
	archived, gone bool
}

// fault is what goes wrong with one call.
type fault struct {
	err     error         // the answer
	hang    bool          // none, until the call's context ends
	delay   time.Duration // before the call
	late    time.Duration // from the call to its answer
	applied bool          // the call takes effect, and then fails or hangs
}

func newBackend(caps driver.Caps, n int) *backend {
	b := &backend{caps: caps, queues: make(map[string][]*row), calls: make(map[string]int), changed: make(chan struct{})}
	b.fault = func(string, int) fault { return fault{} }
	for i := range n {
		b.add("q", Message{Body: fmt.Appendf(nil, "body %d", i)})
	}
	return b
}

// hangs makes the calls from..to of an operation hang.
func hangs(op string, from, to int) func(string, int) fault {
	return func(o string, n int) fault { return fault{hang: o == op && from <= n && n <= to} }
}

// answers makes the calls from..to of an operation fail.
func answers(err error, op string, from, to int) func(string, int) fault {
	return func(o string, n int) fault {
		if o == op && from <= n && n <= to {
			return fault{err: err}
		}
		return fault{}
	}
}

func (b *backend) add(queue string, m Message) string {
	b.lastID++
	id := fmt.Sprint(b.lastID - 1)
	m.Body = bytes.Clone(m.Body)
	b.queues[queue] = append(b.queues[queue], &row{id: id, msg: m, due: time.Now().Add(m.Delay)})
	b.announce()
	return id
}

// announce wakes receivers. b.mu is held.
func (b *backend) announce() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// call carries out one call as the fault allows.
func (b *backend) call(ctx context.Context, op string, do func() error) error {
	b.mu.Lock()
	b.calls[op]++
	f := b.fault(op, b.calls[op])
	b.mu.Unlock()
	if f.delay > 0 {
		_ = sleep(ctx, f.delay)
	}
	if ctx.Err() != nil {
		return cut(ctx)
	}
	if f.applied || !f.hang && f.err == nil {
		b.mu.Lock()
		err := do()
		if op != "receive" {
			b.announce()
		}
		b.mu.Unlock()
		if f.late > 0 {
			_ = sleep(ctx, f.late)
		}
		if err != nil || !f.hang && f.err == nil {
			return err
		}
	}
	if f.hang {
		<-ctx.Done()
		return cut(ctx)
	}
	return f.err
}

// cut is the answer to a call that was cut off.
func cut(ctx context.Context) error { return fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err()) }

func (b *backend) note(format string, args ...any) {
	b.log = append(b.log, fmt.Sprintf(format, args...))
}

// noted returns what the backend has carried out, of one operation.
func (b *backend) noted(prefix string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for _, s := range b.log {
		if rest, ok := strings.CutPrefix(s, prefix+" "); ok {
			out = append(out, rest)
		}
	}
	return fmt.Sprint(out)
}

func (b *backend) called(op string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls[op]
}

// state returns how many messages of a queue are visible, and how many there
// are, the archived ones not counted.
func (b *backend) state(queue string) (visible, total int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.queues[queue] {
		if r.gone || r.archived {
			continue
		}
		total++
		if !r.due.After(time.Now()) {
			visible++
		}
	}
	return visible, total
}

func (b *backend) Name() string      { return "backend" }
func (b *backend) Caps() driver.Caps { return b.caps }
func (b *backend) Close() error      { return nil }

func (b *backend) Ping(ctx context.Context) error {
	return b.call(ctx, "ping", func() error { return nil })
}

func (b *backend) EnsureQueue(ctx context.Context, _ string, _ QueueOptions) error {
	return b.call(ctx, "ensure", func() error { return nil })
}

func (b *backend) Stats(ctx context.Context, _ string) (Stats, error) {
	return b.figures, b.call(ctx, "stats", func() error { return nil })
}

func (b *backend) Send(ctx context.Context, queue string, msgs []driver.Message) (ids []string, err error) {
	err = b.call(ctx, "send", func() error {
		for _, m := range msgs {
			if b.refuse != nil {
				if err := b.refuse("send", string(m.Body)); err != nil {
					return err
				}
			}
		}
		for _, m := range msgs {
			id := b.add(queue, in(m))
			b.note("send %s %s", queue, m.Body)
			ids = append(ids, id)
		}
		return nil
	})
	return ids, err
}

// Receive looks again when a message may have become visible.
func (b *backend) Receive(ctx context.Context, queue string, r driver.ReceiveRequest) (ds []driver.Delivery, err error) {
	err = b.call(ctx, "receive", func() error {
		ds = b.claim(queue, r)
		return nil
	})
	for end := time.Now().Add(r.Wait); err == nil && len(ds) == 0 && time.Now().Before(end); {
		next, changed := b.nextDue(queue, end)
		timer := time.NewTimer(time.Until(next))
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			err = ctx.Err()
		}
		if timer.Stop(); err == nil {
			b.mu.Lock()
			ds = b.claim(queue, r)
			b.mu.Unlock()
		}
	}
	return ds, err
}

// nextDue returns when the next message becomes visible, end at the latest, and a
// channel that is closed when that may have changed.
func (b *backend) nextDue(queue string, end time.Time) (time.Time, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.queues[queue] {
		if !r.gone && !r.archived && r.due.Before(end) {
			end = r.due
		}
	}
	return end, b.changed
}

func (b *backend) claim(queue string, r driver.ReceiveRequest) (ds []driver.Delivery) {
	now := time.Now()
	for _, row := range b.queues[queue] {
		if len(ds) == r.Max || row.gone || row.archived || row.due.After(now) {
			continue
		}
		row.reads++
		row.leased, row.due = now, now.Add(r.Visibility)
		row.receipt = Receipt(fmt.Sprintf("%s/%d", row.id, row.reads))
		m := row.msg
		m.Body = bytes.Clone(m.Body)
		ds = append(ds, driver.Delivery{
			Message: m.out(), ID: row.id, Receipt: row.receipt, ReadCount: row.reads, EnqueuedAt: row.enqueued,
			Attempt: row.reads - row.uncounted, Unanswered: row.reads - row.uncounted - 1 - row.answered,
		})
	}
	return ds
}

// held returns the row of a lease that stands.
func (b *backend) held(queue string, receipt Receipt) (*row, error) {
	for _, r := range b.queues[queue] {
		switch {
		case r.receipt != receipt || receipt == "":
		case r.gone || r.archived:
			return nil, ErrMessageNotFound
		case !r.due.After(time.Now()):
			return nil, ErrStaleReceipt
		default:
			return r, nil
		}
	}
	return nil, ErrStaleReceipt
}

func (b *backend) Settle(ctx context.Context, queue string, ss []Settlement) error {
	return b.call(ctx, "settle", func() error {
		for _, s := range ss { // refused as a whole, for one item's sake
			if r, _ := b.held(queue, s.Receipt); r != nil && b.refuse != nil {
				if err := b.refuse(s.Op.String()+" "+s.Reason, r.id); err != nil {
					return err
				}
			}
		}
		errs := make([]error, len(ss))
		for i, s := range ss {
			errs[i] = b.settle(queue, s)
		}
		return driver.Batch(errs)
	})
}

func (b *backend) settle(queue string, s Settlement) error {
	r, err := b.held(queue, s.Receipt)
	if err != nil {
		return err
	}
	switch s.Op {
	case OpAck:
		r.gone = true
	case OpNack:
		r.due = time.Now().Add(s.Delay)
		if r.lastError = s.Reason; s.Uncounted {
			r.uncounted++
		} else {
			r.answered = r.reads - r.uncounted
		}
		if b.caps.NackFences {
			r.receipt = ""
		}
	case OpArchive:
		r.archived = true
	case OpMove:
		r.gone = true
		b.add(s.To, r.msg)
	}
	b.note("settle %s %s", s.Op, r.id)
	return nil
}

func (b *backend) Extend(ctx context.Context, queue string, rs []Receipt, d time.Duration) error {
	return b.call(ctx, "extend", func() error {
		errs := make([]error, len(rs))
		for i, receipt := range rs {
			r, err := b.held(queue, receipt)
			if err != nil {
				errs[i] = err
				continue
			}
			if b.refuse != nil {
				if err := b.refuse("extend", r.id); err != nil {
					return err
				}
			}
			if r.due = time.Now().Add(d); b.caps.MaxHold > 0 && r.due.After(r.leased.Add(b.caps.MaxHold)) {
				r.due = r.leased.Add(b.caps.MaxHold)
			}
			b.note("extend %s", r.id)
		}
		return driver.Batch(errs)
	})
}

// journal is a logger whose text a test reads.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

func (j *journal) config() Config { return Config{Logger: slog.New(slog.NewTextHandler(j, nil))} }

// running is a Consumer under test.
type running struct {
	*Consumer
	client *Client
	cancel context.CancelFunc
	done   chan error
}

// run starts a Consumer of queue "q" in the bubble of t.
func run(t *testing.T, p Provider, cfg Config, cc ConsumerConfig, h HandlerFunc) *running {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c := New(p, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{newConsumer(t, c.Queue("q"), h, cc), c, cancel, make(chan error, 1)}
	go func() { r.done <- r.Run(ctx) }()
	return r
}

// stop ends the Consumer and closes the client.
func (r *running) stop(t *testing.T) ConsumerStats {
	t.Helper()
	r.cancel()
	if err := <-r.done; err != nil {
		t.Errorf("Run = %v", err)
	}
	_ = r.client.Close()
	return r.Stats()
}

package drivertest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

// awkward is a provider that takes every freedom the contract leaves: the suite
// must not ask for more than that.
type awkward struct {
	driver.Provider
	tokens int64 // which client

	mu     sync.Mutex
	leases map[driver.Receipt]*awkwardLease
	last   int
	broken int // calls that are still to fail
	bug    string
}

type awkwardLease struct {
	queue   string
	receipt driver.Receipt // of the inner provider
	ends    time.Time
}

var awkwardClients atomic.Int64

func newAwkward(p driver.Provider) *awkward {
	return &awkward{Provider: p, tokens: awkwardClients.Add(1), leases: make(map[driver.Receipt]*awkwardLease)}
}

func (p *awkward) Name() string { return "awkward" }

const resolution = 20 * time.Millisecond

// No order, no exactness, no portability, and limits on everything.
func (p *awkward) Caps() driver.Caps {
	return driver.Caps{
		Delay: true, Headers: true, Shared: true, NackFences: true, Durable: true,
		MaxBatch: 3, MaxBody: 1000, MaxDelay: time.Minute,
		MaxVisibility: time.Minute, MaxHold: 2 * time.Minute, Resolution: resolution,
	}
}

func roundUp(d time.Duration) time.Duration {
	return (d + resolution - 1) / resolution * resolution
}

// cut breaks the connection: leases end, their receipts are dead, and the next
// calls fail.
func (p *awkward) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = 1 + rand.N(4)
	if p.bug == "stays broken" {
		p.broken = math.MaxInt
	}
	for token, l := range p.leases {
		if p.bug == "old receipts work" {
			break
		}
		if p.bug != "leases stand" {
			_ = p.Provider.Settle(context.Background(), l.queue, []driver.Settlement{{Receipt: l.receipt, Op: driver.OpNack}})
		}
		delete(p.leases, token)
	}
}

// dial returns ErrBadConn while the connection is broken.
func (p *awkward) dial() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken == 0 {
		return nil
	}
	p.broken--
	return fmt.Errorf("%w: it was cut", driver.ErrBadConn)
}

func (p *awkward) Ping(ctx context.Context) error {
	return cmp.Or(p.dial(), p.Provider.Ping(ctx))
}

func (p *awkward) EnsureQueue(ctx context.Context, queue string, o driver.QueueOptions) error {
	return cmp.Or(p.dial(), p.Provider.EnsureQueue(ctx, queue, o))
}

func (p *awkward) Send(ctx context.Context, queue string, msgs []driver.Message) ([]string, error) {
	if err := p.dial(); err != nil {
		return p.sendBroken(ctx, queue, msgs, err)
	}
	out := make([]driver.Message, len(msgs))
	for i, m := range msgs {
		out[i] = m
		out[i].Delay = roundUp(m.Delay)
	}
	return p.Provider.Send(ctx, queue, out)
}

// sendBroken is a Send whose connection is cut before, or after it was stored.
func (p *awkward) sendBroken(ctx context.Context, queue string, msgs []driver.Message, err error) ([]string, error) {
	switch {
	case p.bug == "says nothing":
		return make([]string, len(msgs)), nil
	case p.bug == "says bad connection":
		_, _ = p.Provider.Send(ctx, queue, msgs)
	case rand.N(2) == 0:
		_, _ = p.Provider.Send(ctx, queue, msgs)
		return nil, fmt.Errorf("%w: it was cut", driver.ErrUnavailable)
	}
	return nil, err
}

// Receive never waits, and seldom returns as much as it could.
func (p *awkward) Receive(ctx context.Context, queue string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
	if err := p.dial(); err != nil {
		return nil, err
	}
	r.Wait, r.Max, r.Visibility = 0, 1+rand.N(r.Max), roundUp(r.Visibility)
	asked := time.Now()
	ds, err := p.Provider.Receive(ctx, queue, r)
	rand.Shuffle(len(ds), func(i, j int) { ds[i], ds[j] = ds[j], ds[i] })
	for i := range ds {
		p.disguise(queue, &ds[i], asked.Add(r.Visibility))
	}
	return ds, err
}

// disguise takes away what is not promised.
func (p *awkward) disguise(queue string, d *driver.Delivery, ends time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last++
	token := driver.Receipt(fmt.Sprintf("%d.%d.%s", p.tokens, p.last, strings.Repeat("x", 8)))
	p.leases[token] = &awkwardLease{queue, d.Receipt, ends}
	d.Receipt = token
	d.ReadCount = rand.N(d.ReadCount + 1)
	d.EnqueuedAt = d.EnqueuedAt.Truncate(time.Second)
	var pretty bytes.Buffer
	if json.Indent(&pretty, d.Body, "", "  ") == nil {
		d.Body = pretty.Bytes()
	}
}

// inner returns the inner provider's receipt.
func (p *awkward) inner(queue string, r driver.Receipt) (driver.Receipt, error) {
	var client int64
	var n int
	if _, err := fmt.Sscanf(string(r), "%d.%d.xxxxxxxx", &client, &n); err != nil || string(r) != fmt.Sprintf("%d.%d.xxxxxxxx", client, n) {
		return "", driver.ErrInvalidReceipt
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch l := p.leases[r]; {
	case l == nil:
		return "", driver.ErrStaleReceipt
	case l.queue != queue:
		return "", driver.ErrInvalidReceipt
	case !time.Now().Before(l.ends):
		return "", driver.ErrStaleReceipt
	default:
		return l.receipt, nil
	}
}

func (p *awkward) Settle(ctx context.Context, queue string, s []driver.Settlement) error {
	if _, err := p.Stats(ctx, queue); err != nil {
		return err
	}
	errs := make([]error, len(s))
	for i := range s {
		one := s[i]
		if one.Receipt, errs[i] = p.inner(queue, s[i].Receipt); errs[i] != nil {
			continue
		}
		if one.Delay > 0 {
			one.Delay = roundUp(one.Delay)
		}
		errs[i] = single(p.Provider.Settle(ctx, queue, []driver.Settlement{one}))
	}
	return driver.Batch(errs)
}

func (p *awkward) Extend(ctx context.Context, queue string, rs []driver.Receipt, d time.Duration) error {
	if _, err := p.Stats(ctx, queue); err != nil {
		return err
	}
	errs := make([]error, len(rs))
	for i, r := range rs {
		inner, err := p.inner(queue, r)
		if err == nil {
			asked := time.Now()
			err = single(p.Provider.Extend(ctx, queue, []driver.Receipt{inner}, roundUp(d)))
			p.mu.Lock()
			p.leases[r].ends = asked.Add(roundUp(d))
			p.mu.Unlock()
		}
		errs[i] = err
	}
	return driver.Batch(errs)
}

// single returns the error of a batch of one.
func single(err error) error {
	errs, whole := itemErrors(err, 1)
	return cmp.Or(whole, errs[0])
}

// Stats knows nothing for sure.
func (p *awkward) Stats(ctx context.Context, queue string) (driver.Stats, error) {
	if err := p.dial(); err != nil {
		return driver.Stats{}, err
	}
	s, err := p.Provider.Stats(ctx, queue)
	return driver.Stats{
		Visible: s.Visible, Total: -1, Leased: -1, Delayed: -1, Archived: -1, TotalSent: -1,
		Blocked: -1, OldestAge: -1, NewestAge: -1, Lag: -1, ScrapedAt: s.ScrapedAt,
	}, err
}

// awkwardHarness has all hooks, and nothing optional.
func awkwardHarness(bug string) Harness {
	h := named()
	var inner sync.Map // by client
	wrap := func(in *mq.Client) *mq.Client {
		p := newAwkward(plain{in.Provider()})
		p.bug = bug
		c := mq.New(p, silent)
		inner.Store(c, in)
		return c
	}
	open, again := h.Open, h.Again
	h.Open = func(t testing.TB) *mq.Client { return wrap(open(t)) }
	h.Again = func(t testing.TB, c *mq.Client) *mq.Client {
		in, _ := inner.Load(c)
		return wrap(again(t, in.(*mq.Client)))
	}
	h.Break = func(_ testing.TB, c *mq.Client) { c.Provider().(*awkward).cut() }
	h.Restart = func(t testing.TB) {
		for c := range inner.Range {
			h.Break(t, c.(*mq.Client))
		}
	}
	h.Begin, h.BadDSN, h.Want = nil, nil, driver.Caps{}
	return h
}

func TestAwkward(t *testing.T) {
	h := awkwardHarness("")
	h.Bubble = true
	Run(t, h)
}

// TestFaultCases shows that the cases with a broken connection can fail.
func TestFaultCases(t *testing.T) {
	for bug, name := range map[string]string{
		"stays broken":        "fault/goes-on",
		"old receipts work":   "fault/not-portable",
		"leases stand":        "fault/not-portable",
		"says nothing":        "fault/sends",
		"says bad connection": "fault/sends",
	} {
		t.Run(bug, func(t *testing.T) {
			c := caseNamed(t, name)
			h := awkwardHarness(bug)
			h.Bubble = true
			synctest.Test(t, func(t *testing.T) {
				if len(runCaseOn(t.Context(), h, c)) == 0 {
					t.Errorf("%s does not notice", name)
				}
			})
		})
	}
}

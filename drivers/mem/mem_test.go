package mem

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

func TestOpen(t *testing.T) {
	tests := []struct {
		dsn   string
		store string
		ok    bool
	}{
		{"mem://", "", true},
		{"mem://jobs", "jobs", true},
		{"mem://jobs?size=1", "", false},
		{"mem://s3cret:s3cret@jobs", "", false},
		{"mem://s3cret@", "", false},
		{"mem://s3cret:80", "", false},
		{"mem://s3cret:", "", false},
		{"mem://[::1]", "", false},
		{"mem:///s3cret", "", false},
		{"mem://s3cret/", "", false},
		{"mem:s3cret", "", false},
		{"mem://jobs#s3cret", "", false},
		{"mem://s3cret:port", "", false},
	}
	for _, tt := range tests {
		p, err := memDriver{}.Open(tt.dsn, driver.Env{})
		if (err == nil) != tt.ok {
			t.Errorf("Open(%q): error %v, want ok %v", tt.dsn, err, tt.ok)
		}
		if err != nil {
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("Open(%q) shows a part of it: %v", tt.dsn, err)
			}
			continue
		}
		if got := p.(*Provider).store.name; got != tt.store {
			t.Errorf("Open(%q) opened store %q, want %q", tt.dsn, got, tt.store)
		}
		_ = p.Close()
	}
}

func TestRegistered(t *testing.T) {
	if !slices.Contains(mq.Drivers(), "mem") {
		t.Errorf("drivers are %v", mq.Drivers())
	}
}

func TestStoreIsShared(t *testing.T) {
	a, b, other := attached(t, "mem://x"), attached(t, "mem://x"), attached(t, "mem://y")
	a.ensure("q")
	a.send("q", text("hello"))
	d := b.one("q")
	a.settle("q", driver.Settlement{Receipt: d.Receipt, Op: driver.OpAck})
	if _, err := other.Stats(t.Context(), "q"); !errors.Is(err, driver.ErrQueueNotFound) {
		t.Errorf("another store has the queue: %v", err)
	}
}

func TestStoreLivesUntilLastClose(t *testing.T) {
	a, b := attached(t, "mem://x"), attached(t, "mem://x")
	a.ensure("q")
	a.send("q", text("hello"))
	d := a.one("q")
	for range 2 {
		a.must(a.Close()) // the second one must not count
	}
	if s := b.stats("q"); s.Total != 1 {
		t.Fatalf("%d messages after the first Close, want 1", s.Total)
	}
	b.must(b.Close())

	c := attached(t, "mem://x")
	if c.store == a.store {
		t.Error("the store outlived the last Close")
	}
	if _, err := c.Stats(t.Context(), "q"); !errors.Is(err, driver.ErrQueueNotFound) {
		t.Errorf("the queue outlived the last Close: %v", err)
	}
	c.ensure("q")
	c.send("q", text("hello"))
	c.one("q")
	err := c.Settle(t.Context(), "q", []driver.Settlement{{Receipt: d.Receipt, Op: driver.OpAck}})
	requireStale(t, err)
}

// TestCloseGivesBack is for those who keep a closed client.
func TestCloseGivesBack(t *testing.T) {
	a, b := attached(t, "mem://x"), attached(t, "mem://x")
	a.ensure("q")
	a.must(a.Close())
	if a.store.queue("q") == nil {
		t.Error("the store was emptied before the last Close")
	}
	b.must(b.Close())
	if a.store.queue("q") != nil {
		t.Error("the store holds its queues after the last Close")
	}
}

func TestCaps(t *testing.T) {
	private, named := New().Caps(), attached(t, "mem://x").Caps()
	if private.Shared || private.PortableReceipts || !named.Shared || !named.PortableReceipts {
		t.Errorf("private: %+v\nnamed: %+v", private, named)
	}
	if private.Durable || named.Durable {
		t.Error("memory is durable")
	}
	if New().Name() != "mem" {
		t.Error("the name is not mem")
	}
}

func TestQueueName(t *testing.T) {
	long := strings.Repeat("a", 255)
	tests := []struct {
		name, want string
		ok         bool
	}{
		{"Orders_2", "orders_2", true},
		{"ÄZ-z [` @{", "Äz-z [` @{", true},
		{long, long, true},
		{long + "a", "", false},
		{"", "", false},
		{"a\x00b", "", false},
		{"a\nb", "", false},
		{"a\u0085b", "", false},
		{"a\xffb", "", false},
	}
	for _, tt := range tests {
		got, err := New().QueueName(tt.name)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("QueueName(%.20q) = %.20q, %v", tt.name, got, err)
		}
		if err != nil && !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("QueueName(%.20q): %v does not wrap ErrInvalid", tt.name, err)
		}
	}
}

// calls are all methods that can fail, on queue q.
var calls = map[string]func(ctx context.Context, p *Provider) error{
	"EnsureQueue": func(ctx context.Context, p *Provider) error {
		return p.EnsureQueue(ctx, "q", driver.QueueOptions{})
	},
	"Send": func(ctx context.Context, p *Provider) error {
		_, err := p.Send(ctx, "q", texts("a"))
		return err
	},
	"Receive": func(ctx context.Context, p *Provider) error {
		_, err := p.Receive(ctx, "q", driver.ReceiveRequest{Max: 1, Visibility: time.Second, Wait: time.Hour})
		return err
	},
	"Settle": func(ctx context.Context, p *Provider) error {
		return p.Settle(ctx, "q", []driver.Settlement{{Op: driver.OpAck}})
	},
	"Extend": func(ctx context.Context, p *Provider) error {
		return p.Extend(ctx, "q", []driver.Receipt{""}, time.Second)
	},
	"Stats": func(ctx context.Context, p *Provider) error {
		_, err := p.Stats(ctx, "q")
		return err
	},
	"Ping":      func(ctx context.Context, p *Provider) error { return p.Ping(ctx) },
	"DropQueue": func(ctx context.Context, p *Provider) error { return p.DropQueue(ctx, "q") },
	"ListQueues": func(ctx context.Context, p *Provider) error {
		_, err := p.ListQueues(ctx)
		return err
	},
	"PurgeQueue": func(ctx context.Context, p *Provider) error {
		_, err := p.PurgeQueue(ctx, "q")
		return err
	},
	"Pop": func(ctx context.Context, p *Provider) error {
		_, err := p.Pop(ctx, "q", 1)
		return err
	},
	"Browse": func(ctx context.Context, p *Provider) error {
		_, err := p.Browse(ctx, "q", driver.BrowseRequest{Limit: 1})
		return err
	},
	"Redrive": func(ctx context.Context, p *Provider) error {
		_, err := p.Redrive(ctx, "q", nil, 1)
		return err
	},
	"PurgeArchive": func(ctx context.Context, p *Provider) error {
		_, err := p.PurgeArchive(ctx, "q", 0)
		return err
	},
	"ReceiveHeads": func(ctx context.Context, p *Provider) error {
		_, err := p.ReceiveHeads(ctx, "q", driver.GroupRequest{ReceiveRequest: driver.ReceiveRequest{Max: 1}})
		return err
	},
	"ReceiveGroup": func(ctx context.Context, p *Provider) error {
		_, err := p.ReceiveGroup(ctx, "q", driver.GroupDrainRequest{Value: "g"})
		return err
	},
	"Tx.Send": func(ctx context.Context, p *Provider) error {
		_, err := txProvider{p, p.Begin()}.Send(ctx, "q", texts("a"))
		return err
	},
	"Tx.Settle": func(ctx context.Context, p *Provider) error {
		return txProvider{p, p.Begin()}.Settle(ctx, "q", []driver.Settlement{{Op: driver.OpAck}})
	},
}

func TestCallsOnEndedContext(t *testing.T) {
	for name, call := range calls {
		c := open(t)
		c.send("q", text("a"))
		requireErr(t, call(ended(), c.Provider), context.Canceled)
		if s := c.stats("q"); s.Visible != 1 || s.TotalSent != 1 {
			t.Errorf("%s changed the queue: %+v", name, s)
		}
	}
}

func TestCallsAfterClose(t *testing.T) {
	for name, call := range calls {
		c := open(t)
		c.must(c.Close())
		if err := call(t.Context(), c.Provider); !errors.Is(err, driver.ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
	}
}

func TestCallsOnMissingQueue(t *testing.T) {
	for name, call := range calls {
		err := call(t.Context(), New())
		switch name {
		case "EnsureQueue", "Ping", "DropQueue", "ListQueues":
			requireErr(t, err, nil)
		default:
			requireErr(t, err, driver.ErrQueueNotFound)
		}
	}
}

// TestCallsOnDroppedQueue is about calls that found the queue and then had to
// wait for its lock.
func TestCallsOnDroppedQueue(t *testing.T) {
	for name, call := range calls {
		c := open(t)
		c.store.queue("q").dropped = true
		err := call(t.Context(), c.Provider)
		switch name {
		case "EnsureQueue", "Ping", "DropQueue", "ListQueues":
			requireErr(t, err, nil)
		default:
			requireErr(t, err, driver.ErrQueueNotFound)
		}
	}
}

package rabbitstub

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

func TestFind(t *testing.T) {
	if Find("find") != nil {
		t.Error("there is a broker that nobody has open")
	}
	one, err := stubDriver{}.Open("rabbitstub://find", driver.Env{})
	if err != nil {
		t.Fatal(err)
	}
	two, err := stubDriver{}.Open("rabbitstub://find", driver.Env{})
	if err != nil {
		t.Fatal(err)
	}
	b := Find("find")
	if b == nil || b != one.(*Provider).Broker() || b != two.(*Provider).Broker() {
		t.Error("the clients of a name have not the broker of that name")
	}
	for range 2 {
		if err := one.Close(); err != nil || Find("find") != b {
			t.Errorf("Close of one of two: %v, and the broker is gone: %v", err, Find("find") != b)
		}
	}
	if err := two.Close(); err != nil || Find("find") != nil {
		t.Errorf("Close of the last: %v, and the broker is left", err)
	}
	if p := New(); Find("") != nil || p.Caps().Shared {
		t.Error("a broker without a name can be found")
	}
}

// What was given back comes before what waits, in the order in which it was
// given back.
func TestOrderOfReturned(t *testing.T) {
	bubble(t, func(c client) {
		c.send("q", "1", "2", "3", "4")
		ds := c.receive("q", 3)
		for _, i := range []int{2, 1, 0} {
			c.must(c.settleOne(c.t.Context(), "q", driver.Settlement{Receipt: ds[i].Receipt, Op: driver.OpNack}))
		}
		c.expect("q", "3", "2", "1", "4")
	})
}

func TestDelaySteps(t *testing.T) {
	for _, tt := range []struct{ delay, comes time.Duration }{
		{time.Nanosecond, 100 * time.Millisecond},
		{100 * time.Millisecond, 100 * time.Millisecond},
		{101 * time.Millisecond, 200 * time.Millisecond},
		{maxDelay, maxDelay},
	} {
		bubble(t, func(c client) {
			c.sendLater("q", "delayed", tt.delay)
			time.Sleep(tt.comes - 1)
			c.expect("q")
			time.Sleep(time.Nanosecond)
			c.expect("q", "delayed")
		})
	}
}

func TestDelayedInOrder(t *testing.T) {
	bubble(t, func(c client) {
		var want []string
		for i := range 50 {
			want = append(want, fmt.Sprint(i))
			c.sendLater("q", want[i], time.Second)
		}
		time.Sleep(time.Second)
		c.expect("q", want...)
	})
}

// A delayed message is nowhere near its queue yet.
func TestDelayedAndDropped(t *testing.T) {
	bubble(t, func(c client) {
		c.sendLater("q", "lost", time.Second)
		c.sendLater("q", "late", time.Minute)
		c.must(c.DropQueue(c.t.Context(), "q"))
		time.Sleep(time.Second)
		c.ensure("q")
		c.expect("q")
		time.Sleep(time.Minute)
		c.expect("q", "late")
		c.expect(delayLost, "lost")
		time.Sleep(time.Minute)
		c.expect(delayLost, "lost")
	})
}

func TestDropWaiting(t *testing.T) {
	bubble(t, func(c client) {
		receive := background(func() error {
			_, err := c.Receive(c.t.Context(), "q", driver.ReceiveRequest{Max: 1, Visibility: time.Minute, Wait: time.Minute})
			return err
		})
		c.must(c.DropQueue(c.t.Context(), "q"))
		requireErr(c.t, receive(), driver.ErrQueueNotFound)
	})
}

func TestMaxHold(t *testing.T) {
	bubble(t, func(c client) {
		c.send("q", "held")
		ds, err := c.Receive(c.t.Context(), "q", driver.ReceiveRequest{Max: 1, Visibility: maxHold})
		c.must(err)
		begin := time.Now()
		for range 3 {
			time.Sleep(maxHold / 4)
			c.must(c.Extend(c.t.Context(), "q", []driver.Receipt{ds[0].Receipt}, maxHold))
		}
		time.Sleep(maxHold/4 - 1)
		c.expect("q")
		time.Sleep(time.Nanosecond)
		c.expect("q", "held")
		requireErr(c.t, c.ack("q", ds[0]), driver.ErrStaleReceipt)
		if held := time.Since(begin); held != maxHold {
			c.t.Errorf("held for %v, want %v", held, maxHold)
		}
	})
}

func TestExtendInAnyOrder(t *testing.T) {
	bubble(t, func(c client) {
		c.send("q", "1", "2", "3", "4", "5")
		ds := c.receive("q", 5)
		for i, d := range []time.Duration{3 * time.Second, time.Hour, time.Second, 2 * time.Second} {
			c.must(c.Extend(c.t.Context(), "q", []driver.Receipt{ds[i].Receipt}, min(d, maxHold)))
		}
		for _, want := range []string{"3", "4", "1"} {
			time.Sleep(time.Second)
			c.expect("q", want)
		}
	})
}

// Of a batch every receiver that waits gets its part.
func TestWaiters(t *testing.T) {
	bubble(t, func(c client) {
		var results []func() error
		for range 3 {
			results = append(results, background(func() error {
				ds, err := c.Receive(c.t.Context(), "q", driver.ReceiveRequest{Max: 2, Visibility: time.Minute, Wait: time.Hour})
				if len(ds) != 2 {
					return fmt.Errorf("%d messages, %v", len(ds), err)
				}
				return nil
			}))
		}
		begin := time.Now()
		_, err := c.Send(c.t.Context(), "q", make([]driver.Message, 7))
		c.must(err)
		for _, result := range results {
			c.must(result())
		}
		if waited := time.Since(begin); waited != 0 {
			c.t.Errorf("the last was served after %v", waited)
		}
		c.counts("q", 1, 0)
	})
}

func TestCloseGivesBack(t *testing.T) {
	bubble(t, func(c client) {
		other := c.other()
		c.send("q", "1", "2")
		d := other.one("q")
		c.must(other.Close())
		c.expect("q", "1", "2")
		requireErr(c.t, other.ack("q", d), driver.ErrClosed)
	})
}

func TestCloseWaiting(t *testing.T) {
	bubble(t, func(c client) {
		receive := background(func() error {
			_, err := c.Receive(c.t.Context(), "q", driver.ReceiveRequest{Max: 1, Visibility: time.Minute, Wait: time.Minute})
			return err
		})
		c.must(c.Close())
		requireErr(c.t, receive(), driver.ErrClosed)
		if c.broker.waiting != 0 || c.broker.queues["q"].waiters.Len() != 0 {
			c.t.Error("a receiver is left waiting")
		}
	})
}

func TestSettleOtherOps(t *testing.T) {
	bubble(t, func(c client) {
		c.send("q", "leased")
		d := c.one("q")
		requireErr(c.t, c.settleOne(c.t.Context(), "q", driver.Settlement{Receipt: d.Receipt, Op: driver.OpMove}), driver.ErrNotSupported)
		requireErr(c.t, c.settleOne(c.t.Context(), "q", driver.Settlement{Receipt: d.Receipt}), driver.ErrNotSupported)
		c.must(c.ack("q", d))
	})
}

func TestQueueName(t *testing.T) {
	p := New()
	for _, bad := range []string{"", "amq.mine", "mq.delay.mine", "a\x00", "\xff", strings.Repeat("q", 248)} {
		_, err := p.QueueName(bad)
		requireErr(t, err, driver.ErrInvalid)
	}
	for _, good := range []string{"q", "Q", "amq", "a b", delayLost, strings.Repeat("q", 247)} {
		if name, err := p.QueueName(good); name != good || err != nil {
			t.Errorf("QueueName(%q) = %q, %v", good, name, err)
		}
	}
}

// Of a lease that has ended a nack that leaves it to the timeout says nothing,
// as long as the receipt might be good.
func TestAtTimeout(t *testing.T) {
	bubble(t, func(c client) {
		other := c.other()
		c.send("q", "1", "2")
		d, theirs := c.one("q"), other.one("q")
		nack := func(d driver.Delivery) error {
			return c.settleOne(c.t.Context(), "q", driver.Settlement{Receipt: d.Receipt, Op: driver.OpNack, Delay: driver.AtTimeout})
		}
		c.must(nack(d))
		c.must(c.ack("q", d))
		c.must(nack(d))
		requireErr(c.t, nack(theirs), driver.ErrStaleReceipt)
		c.must(c.DropQueue(c.t.Context(), "q"))
		requireErr(c.t, nack(d), driver.ErrStaleReceipt)
	})
}

func TestPurge(t *testing.T) {
	bubble(t, func(c client) {
		other := c.other()
		c.send("q", "theirs", "ours", "visible")
		c.sendLater("q", "delayed", time.Second)
		theirs, ours := other.one("q"), c.one("q")
		if n, err := c.PurgeQueue(c.t.Context(), "q"); n != 2 || err != nil {
			c.t.Errorf("PurgeQueue returned %d, %v, want 2", n, err)
		}
		requireErr(c.t, c.ack("q", ours), driver.ErrStaleReceipt)
		c.must(other.settleOne(c.t.Context(), "q", driver.Settlement{Receipt: theirs.Receipt, Op: driver.OpNack}))
		time.Sleep(time.Second)
		c.expect("q", "theirs", "delayed")
	})
}

func TestLimits(t *testing.T) {
	long, longer := strings.Repeat("q", maxRoute), strings.Repeat("q", maxRoute+1)
	escaped := strings.Repeat("q", maxRoute-3) + "." // which counts three
	bubble(t, func(c client) {
		c.ensure(long, longer, escaped, "q"+escaped)
		for _, tt := range []struct {
			what  string
			queue string
			m     driver.Message
			err   error
		}{
			{"a delay", long, driver.Message{Delay: time.Second}, nil},
			{"a delay for a long name", longer, driver.Message{Delay: time.Second}, driver.ErrInvalid},
			{"a delay for a name that is long as a routing key", escaped, driver.Message{Delay: time.Second}, nil},
			{"a delay for a name that is too long as one", "q" + escaped, driver.Message{Delay: time.Second}, driver.ErrInvalid},
			{"no delay for it", longer, driver.Message{}, nil},
			{"the longest name", "q", driver.Message{Headers: driver.Headers{strings.Repeat("h", 255): ""}}, nil},
			{"a longer one", "q", driver.Message{Headers: driver.Headers{strings.Repeat("h", 256): ""}}, driver.ErrInvalid},
			{"the largest headers", "q", driver.Message{Headers: driver.Headers{"h": strings.Repeat("v", maxHeaders-7)}}, nil},
			{"larger ones", "q", driver.Message{Headers: driver.Headers{"h": strings.Repeat("v", maxHeaders-6)}}, driver.ErrTooLarge},
		} {
			if _, err := c.Send(c.t.Context(), tt.queue, []driver.Message{tt.m}); !errors.Is(err, tt.err) {
				c.t.Errorf("%s: %v, want %v", tt.what, err, tt.err)
			}
		}
		d := c.one(longer)
		nack := driver.Settlement{Receipt: d.Receipt, Op: driver.OpNack, Delay: time.Second}
		requireErr(c.t, c.settleOne(c.t.Context(), longer, nack), driver.ErrInvalid)
		c.must(c.ack(longer, d))
	})
}

// The driver's own headers are not for users.
func TestReservedHeaders(t *testing.T) {
	bubble(t, func(c client) {
		sent := driver.Headers{"mq-read-count": "7", "mq-enqueued-at": "never", "mq-archived-at": "1", "mq-reason": "mine"}
		_, err := c.Send(c.t.Context(), "q", []driver.Message{{Headers: sent}})
		c.must(err)
		if d := c.one("q"); len(d.Headers) != 1 || d.Headers["mq-reason"] != "mine" || d.ReadCount != 1 {
			c.t.Errorf("headers came as %q, read %d times", d.Headers, d.ReadCount)
		}
		if len(sent) != 4 {
			c.t.Error("the caller's headers were changed")
		}
	})
}

// A deadline is noticed by whoever waits, and by nothing if nobody does.
func TestAlarm(t *testing.T) {
	bubble(t, func(c client) {
		c.ensure("r")
		c.sendLater("q", "sooner", time.Second)
		c.sendLater("q", "soon", 2*time.Second)
		c.sendLater("r", "later", time.Minute)
		begin := time.Now()
		wait := func(queue string, wait time.Duration) func() error {
			return background(func() error {
				ds, err := c.Receive(c.t.Context(), queue, driver.ReceiveRequest{Max: 1, Visibility: time.Hour, Wait: wait})
				if len(ds) != 1 {
					return fmt.Errorf("%d messages from %s after %v, %v", len(ds), queue, time.Since(begin), err)
				}
				return nil
			})
		}
		if c.broker.alarm != nil {
			c.t.Error("there is a timer, and nobody waits")
		}
		later, sooner, soon := wait("r", time.Minute+1), wait("q", time.Second+1), wait("q", 2*time.Second+1)
		c.must(sooner())
		c.must(soon())
		c.must(later())
		if c.broker.alarm != nil || c.broker.waiting != 0 {
			c.t.Error("there is a timer, and nobody waits any more")
		}
	})
}

func FuzzParse(f *testing.F) {
	p := New()
	f.Add("q", string(p.receipt("q", 7)))
	f.Add("a/b", string(p.receipt("a/b", 1<<63)))
	f.Add("q", "q/ABCDEFGHIJKLMNOPQRSTUVWXYZ/07")
	f.Add("q", "q/ABCDEFGHIJKLMNOPQRSTUVWXYZ/+7")
	f.Add("q", "q/SHORT/7")
	f.Add("q", "q//7")
	f.Add("q", "q/abcdefghijklmnopqrstuvwxyz/7")
	f.Add("", "///")
	f.Fuzz(func(t *testing.T, queue, r string) {
		client, lease, ok := parse(queue, driver.Receipt(r))
		if !ok {
			return
		}
		if again := (&Provider{id: client}).receipt(queue, lease); string(again) != r || len(client) != len(p.id) {
			t.Errorf("%q is parsed as %q", r, again)
		}
	})
}

// TestStress does everything at once in real time. No message may be lost, and
// none acked twice.
func TestStress(t *testing.T) {
	p := New()
	clients := []*Provider{p, p.broker.connect(), p.broker.connect()}
	const workers, total = 12, 400
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	if err := p.EnsureQueue(ctx, "q", driver.QueueOptions{}); err != nil {
		t.Fatal(err)
	}
	l := ledger{acked: make(map[string]int), copies: make(map[string]int)}
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			for ctx.Err() == nil {
				if l.step(ctx, clients[i%len(clients)]) >= total {
					stop()
				}
			}
		})
	}
	wg.Go(func() { breakOften(ctx, p.broker) })
	wg.Wait()
	l.finish(t, p)
	for _, c := range clients {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

func breakOften(ctx context.Context, b *Broker) {
	for ctx.Err() == nil {
		begin, end := b.Block, b.Unblock
		switch rand.N(3) {
		case 0:
			begin, end = b.Stop, b.Start
		case 1:
			begin, end = b.Disconnect, func() {}
		}
		begin()
		time.Sleep(rand.N(2 * time.Millisecond))
		end()
		time.Sleep(rand.N(5 * time.Millisecond))
	}
}

// ledger notes what was certainly sent and certainly acked.
type ledger struct {
	mu     sync.Mutex
	sent   []string
	acked  map[string]int
	copies map[string]int // that may have been left by a nack that was cut off
}

// step does something, and returns how many messages have been acked.
func (l *ledger) step(ctx context.Context, p *Provider) (acked int) {
	if rand.N(2) == 0 {
		ids, err := p.Send(ctx, "q", []driver.Message{{}, {Delay: rand.N(50 * time.Millisecond)}})
		if err == nil {
			l.mu.Lock()
			l.sent = append(l.sent, ids...)
			l.mu.Unlock()
		}
		return 0
	}
	r := driver.ReceiveRequest{Max: 2, Visibility: time.Millisecond + rand.N(time.Second), Wait: rand.N(20 * time.Millisecond)}
	ds, _ := p.Receive(ctx, "q", r)
	for _, d := range ds {
		s := []driver.Settlement{{Receipt: d.Receipt, Op: driver.OpAck}}
		switch rand.N(4) {
		case 0:
			s[0].Op = driver.OpNack
		case 1:
			s[0].Op, s[0].Delay = driver.OpNack, rand.N(100*time.Millisecond)
		case 2:
			_ = p.Extend(ctx, "q", []driver.Receipt{d.Receipt}, time.Second)
		}
		switch err := p.Settle(ctx, "q", s); {
		case err != nil && s[0].Delay > 0: // a copy, perhaps, and no ack
			l.copy(d.ID)
		case err == nil && s[0].Op == driver.OpAck:
			acked = l.ack(d.ID)
		}
	}
	return acked
}

func (l *ledger) copy(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.copies[id]++
}

func (l *ledger) ack(id string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked[id]++
	return len(l.acked)
}

// missing returns a message that was sent and not acked, or "".
func (l *ledger) missing() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range l.sent {
		if l.acked[id] == 0 {
			return id
		}
	}
	return ""
}

// finish acks what is left. The leases end with the connections.
func (l *ledger) finish(t *testing.T, p *Provider) {
	p.broker.Unblock()
	p.broker.Disconnect()
	for {
		r := driver.ReceiveRequest{Max: 100, Visibility: time.Hour, Wait: 400 * time.Millisecond} // longer than any delay
		if l.missing() != "" {
			r.Wait = time.Minute
		}
		ds, err := p.Receive(t.Context(), "q", r)
		if err != nil {
			t.Fatal(err)
		}
		if len(ds) == 0 {
			break
		}
		for _, d := range ds {
			if err := p.Settle(t.Context(), "q", []driver.Settlement{{Receipt: d.Receipt, Op: driver.OpAck}}); err != nil {
				t.Fatal(err)
			}
			l.ack(d.ID)
		}
	}
	for _, id := range l.sent {
		if l.acked[id] == 0 {
			t.Errorf("message %s was sent and never came", id)
		}
	}
	for id, n := range l.acked {
		if n > 1+l.copies[id] {
			t.Errorf("message %s was acked %d times, and there may be %d copies of it", id, n, l.copies[id])
		}
	}
	t.Logf("%d sent, %d acked", len(l.sent), len(l.acked))
	b := p.broker
	if n, m := len(b.deadlines.items), len(b.queues["q"].leased); n+m != 0 || b.alarm != nil {
		t.Errorf("%d deadlines and %d leases are left, and a timer: %v", n, m, b.alarm != nil)
	}
}

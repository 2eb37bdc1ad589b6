package mqcron_test

import (
	"context"
	"log/slog"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	_ "github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/mqcron"
	"github.com/portmq/mq/mqtest"
)

var ops = []string{"ensure", "send", "send unique", "receive", "settle", "extend", "stats", "browse"}

// process is a process that runs schedules, on a provider that can be cut off.
type process struct {
	client *mq.Client
	faulty *mqtest.FaultyProvider
	dead   atomic.Bool
	cancel context.CancelFunc
	ended  chan error
}

// start starts a process on the store of a DSN, which ends with the test at the latest.
func start(t *testing.T, dsn string, schedules ...mqcron.Schedule) *process {
	t.Helper()
	p := launch(t, dsn, schedules)
	t.Cleanup(func() { p.cancel(); _ = p.client.Close() })
	return p
}

// launch is start for tests with so many processes that they must not be kept.
func launch(t *testing.T, dsn string, schedules []mqcron.Schedule) *process {
	t.Helper()
	p := &process{ended: make(chan error, 1)}
	p.faulty = mqtest.Faulty(openStore(t, dsn).Provider())
	p.client = mq.New(p.faulty, quiet)
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	go func() { p.ended <- mqcron.Run(ctx, p.client, mqcron.Config{}, schedules...) }()
	return p
}

var quiet = mq.Config{Logger: slog.New(slog.DiscardHandler)}

func openStore(t *testing.T, dsn string) *mq.Client {
	t.Helper()
	c, err := mq.OpenConfig(dsn, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// dieAt cuts the process off at its next call of an operation, which is carried out and
// not answered if applied. Later calls fail, or hang. It acks nothing and gives nothing back.
func (p *process) dieAt(op string, applied, hang bool) { p.dieAtNth(op, 1, applied, hang) }

// dieAtNth is dieAt for one of its next calls.
func (p *process) dieAtNth(op string, n int, applied, hang bool) {
	after := mqtest.Fault{When: func(int) bool { return p.dead.Load() }, Err: driver.ErrBadConn}
	if hang {
		after.Delay, after.Err = mq.Forever, nil
	}
	for _, after.Op = range ops {
		p.faulty.Plan(after)
	}
	calls := 0
	p.faulty.Plan(mqtest.Fault{Op: op, Applied: applied, Err: driver.ErrUnavailable, When: func(int) bool {
		calls++
		if calls == n {
			p.dead.Store(true)
		}
		return calls == n
	}})
}

// stop ends the process, in order unless it is dead.
func (p *process) stop(t *testing.T) {
	t.Helper()
	p.cancel()
	if err := <-p.ended; err != nil && !p.dead.Load() {
		t.Errorf("Run: %v", err)
	}
	if err := p.client.Close(); err != nil && !p.dead.Load() {
		t.Errorf("Close: %v", err)
	}
}

// shared returns a client of a store in memory with the queue "out", and its DSN.
func shared(t *testing.T) (c *mq.Client, dsn string) {
	t.Helper()
	dsn = "mem://" + regexp.MustCompile(`[^A-Za-z0-9]+`).ReplaceAllString(t.Name(), "-") + "-x"
	c = openStore(t, dsn)
	t.Cleanup(func() { _ = c.Close() })
	ensure(t, c, "out")
	return c, dsn
}

func ensure(t *testing.T, c *mq.Client, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := c.EnsureQueue(t.Context(), name, mq.QueueOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// sent takes everything from a queue.
func sent(t *testing.T, c *mq.Client, queue string) (all []*mq.Delivery) {
	t.Helper()
	for {
		ds, err := c.Queue(queue).Pop(context.Background(), 1000)
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, ds...); len(ds) == 0 {
			return all
		}
	}
}

// fired returns when the occurrences whose messages are in a queue were due, in order, as
// times of day, with the bodies of those that have one.
func fired(t *testing.T, c *mq.Client, queue string) string {
	t.Helper()
	var out []string
	for _, d := range sent(t, c, queue) {
		due, err := time.Parse(time.RFC3339Nano, d.Headers[mqcron.HeaderDue])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, strings.TrimSpace(due.Format("15:04:05 ")+string(d.Body)))
	}
	return strings.Join(out, ", ")
}

// schedule returns one that sends body to queue out.
func schedule(name, spec, body string, catchUp mqcron.CatchUp) mqcron.Schedule {
	return mqcron.Schedule{Name: name, Spec: spec, Queue: "out", Message: mq.Message{Body: []byte(body)}, CatchUp: catchUp}
}

func set(t *testing.T, c *mq.Client, schedules ...mqcron.Schedule) {
	t.Helper()
	if err := mqcron.Set(t.Context(), c, mqcron.Config{}, schedules...); err != nil {
		t.Fatal(err)
	}
}

// control returns the number of control messages.
func control(t *testing.T, c *mq.Client) int {
	t.Helper()
	rs, err := c.Queue(mqcron.DefaultQueue).Peek(t.Context(), mq.BrowseOptions{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return len(rs)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/rpc"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
)

// The test below kills a process that copies, so that the queues must live in
// another one: scheme distant names a provider in memory that a test serves.

// runEnv holds the command line of a test binary that is to be mq.
const runEnv = "MQ_TEST_RUN"

func init() {
	mq.Register("distant", distantDriver{})
	if line := os.Getenv(runEnv); line != "" {
		a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}
		os.Exit(a.run(context.Background(), strings.Fields(line)))
	}
}

// DistantCall is a call of a provider, and its answer. Package rpc wants it
// exported.
type DistantCall struct {
	Queue       string
	Options     driver.QueueOptions
	Messages    []driver.Message
	Request     driver.ReceiveRequest
	Settlements []driver.Settlement

	IDs        []string
	Deliveries []driver.Delivery
	Stats      driver.Stats
	Missing    bool
}

// server serves a provider; before is called ahead of each answer.
type server struct {
	provider driver.Provider
	before   func(method string)

	mu     sync.Mutex
	leases map[driver.Receipt]string // the queues of what was received and not settled
}

// giveBack ends the leases of a client that was killed, which the next one would
// have to wait for.
func (s *server) giveBack(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for receipt, queue := range s.leases {
		if err := s.provider.Settle(t.Context(), queue, []driver.Settlement{{Receipt: receipt, Op: driver.OpNack}}); err != nil {
			t.Error(err)
		}
	}
	clear(s.leases)
}

func (s *server) answer(method string, err error, to *DistantCall, c DistantCall) error {
	if s.before != nil {
		s.before(method)
	}
	c.Missing = errors.Is(err, driver.ErrQueueNotFound)
	*to = c
	if c.Missing {
		return nil
	}
	return err
}

func (s *server) Ensure(c DistantCall, r *DistantCall) error {
	return s.answer("ensure", s.provider.EnsureQueue(context.Background(), c.Queue, c.Options), r, DistantCall{})
}

func (s *server) Send(c DistantCall, r *DistantCall) error {
	ids, err := s.provider.Send(context.Background(), c.Queue, c.Messages)
	return s.answer("send", err, r, DistantCall{IDs: ids})
}

func (s *server) Receive(c DistantCall, r *DistantCall) error {
	c.Request.Wait = min(c.Request.Wait, 20*time.Millisecond)
	ds, err := s.provider.Receive(context.Background(), c.Queue, c.Request)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range ds {
		s.leases[d.Receipt] = c.Queue
	}
	return s.answer("receive", err, r, DistantCall{Deliveries: ds})
}

func (s *server) Settle(c DistantCall, r *DistantCall) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, settlement := range c.Settlements {
		delete(s.leases, settlement.Receipt)
	}
	return s.answer("settle", s.provider.Settle(context.Background(), c.Queue, c.Settlements), r, DistantCall{})
}

func (s *server) Count(c DistantCall, r *DistantCall) error {
	stats, err := s.provider.Stats(context.Background(), c.Queue)
	return s.answer("stats", err, r, DistantCall{Stats: stats})
}

// serve serves p until the test ends and returns its DSN.
func serve(t *testing.T, p driver.Provider, before func(method string)) (*server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	served := &server{provider: p, before: before, leases: make(map[driver.Receipt]string)}
	s := rpc.NewServer()
	if err := s.RegisterName("Provider", served); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			go s.ServeConn(conn)
		}
	}()
	return served, "distant://" + l.Addr().String()
}

type distantDriver struct{}

func (distantDriver) Open(dsn string, _ driver.Env) (driver.Provider, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return nil, err
	}
	c, err := rpc.Dial("tcp", u.Host)
	if err != nil {
		return nil, err
	}
	return distant{c}, nil
}

// distant is the side of the client.
type distant struct{ rpc *rpc.Client }

func (d distant) call(method string, c DistantCall) (r DistantCall, err error) {
	if err = d.rpc.Call("Provider."+method, c, &r); err == nil && r.Missing {
		err = driver.ErrQueueNotFound
	}
	return r, err
}

func (d distant) Name() string { return "distant" }

func (d distant) Caps() driver.Caps {
	return driver.Caps{Headers: true, AtomicSend: true, LateSettle: true, PortableReceipts: true}
}

func (d distant) EnsureQueue(_ context.Context, queue string, o driver.QueueOptions) error {
	_, err := d.call("Ensure", DistantCall{Queue: queue, Options: o})
	return err
}

func (d distant) Send(_ context.Context, queue string, msgs []driver.Message) ([]string, error) {
	r, err := d.call("Send", DistantCall{Queue: queue, Messages: msgs})
	return r.IDs, err
}

func (d distant) Receive(_ context.Context, queue string, req driver.ReceiveRequest) ([]driver.Delivery, error) {
	r, err := d.call("Receive", DistantCall{Queue: queue, Request: req})
	return r.Deliveries, err
}

func (d distant) Settle(_ context.Context, queue string, s []driver.Settlement) error {
	_, err := d.call("Settle", DistantCall{Queue: queue, Settlements: s})
	return err
}

func (d distant) Extend(context.Context, string, []driver.Receipt, time.Duration) error {
	return driver.ErrNotSupported
}

func (d distant) Stats(_ context.Context, queue string) (driver.Stats, error) {
	r, err := d.call("Count", DistantCall{Queue: queue})
	return r.Stats, err
}

func (d distant) Ping(context.Context) error { return nil }
func (d distant) Close() error               { return d.rpc.Close() }

// TestCopyKilled kills a copy with SIGKILL where it hurts most: the target has
// stored a batch, and the source has not deleted it.
func TestCopyKilled(t *testing.T) {
	const n, batch = 2000, 50
	from, to := mem.New(), mem.New()
	var copier atomic.Pointer[os.Process]
	var sends atomic.Int32
	served, fromDSN := serve(t, from, nil)
	_, toDSN := serve(t, to, func(method string) {
		if method == "send" && sends.Add(1) == n/batch/2 {
			if err := copier.Load().Kill(); err != nil {
				t.Error(err)
			}
		}
	})
	source := mq.New(from, mq.Config{})
	q, err := source.EnsureQueue(t.Context(), "orders", mq.QueueOptions{})
	if err == nil {
		_, err = q.SendAll(t.Context(), numbered(n))
	}
	if err != nil {
		t.Fatal(err)
	}
	line := fmt.Sprintf("copy %s %s -queue orders -batch %d -visibility 10m -idle 100ms -o json", fromDSN, toDSN, batch)
	run := func() (string, error) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), runEnv+"="+line, noRaceSleep)
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			return "", err
		}
		copier.Store(cmd.Process)
		err := cmd.Wait()
		return out.String(), err
	}
	if out, err := run(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the first copy was not killed: %v\n%s", err, out)
	}
	served.giveBack(t)
	out, err := run()
	if err != nil || !strings.Contains(out, fmt.Sprintf(`"moved":%d,`, n/2+batch)) {
		t.Errorf("the second copy: %v\n%s", err, out)
	}
	requireCopied(t, mq.New(to, mq.Config{}), n, batch)
	if s, err := q.Stats(t.Context()); err != nil || s.Total > 0 {
		t.Errorf("left in the source: %d, %v", s.Total, err)
	}
}

// requireCopied requires n different messages and some doubles, which their
// header tells.
func requireCopied(t *testing.T, c *mq.Client, n, doubles int) {
	t.Helper()
	f := &ferry{T: t}
	ds := f.drain(c, "orders")
	if different := slices.Compact(bodies(ds)); len(different) != n {
		t.Errorf("%d different messages arrived, not %d", len(different), n)
	}
	origins := map[string]int{}
	for _, d := range ds {
		origins[d.Headers[headerCopiedFrom]]++
	}
	if len(origins) != n || len(ds) != n+doubles {
		t.Errorf("%d messages arrived from %d, not %d and %d doubles", len(ds), len(origins), n, doubles)
	}
}

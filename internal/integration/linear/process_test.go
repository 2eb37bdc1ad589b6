package linear

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/internal/integration/checks"
)

// childDSN is set where the test's program is a process that works on queues for
// another one, which kills it.
const childDSN = "MQ_TEST_LINEAR_CHILD_DSN"

// request is a call for the child, and answer what came of it.
type request struct {
	ID         int
	Queue      string
	Method     string
	Messages   []driver.Message
	Max        int
	Duration   time.Duration
	Settle     []driver.Settlement
	Receipts   []driver.Receipt
	OfArchives bool
}

type answer struct {
	ID         int
	IDs        []string
	Deliveries []driver.Delivery
	Records    []driver.Record
	Stats      driver.Stats
	Errors     []string // of the items, or of the call
}

// child serves requests until its standard input ends. It does not return in a child,
// and does nothing in any other process.
func child() {
	dsn := os.Getenv(childDSN)
	if dsn == "" {
		return
	}
	c, err := mq.OpenConfig(dsn, checks.Quiet)
	if err != nil {
		panic(err)
	}
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	for in := json.NewDecoder(os.Stdin); ; {
		var r request
		if err := in.Decode(&r); err != nil {
			os.Exit(0)
		}
		go func() {
			a := r.carryOut(Queue(c.Queue(r.Queue)))
			mu.Lock()
			defer mu.Unlock()
			_ = out.Encode(a)
		}()
	}
}

func (r *request) carryOut(to Target) (a answer) {
	var err error
	ctx, n := context.Background(), 1
	switch r.Method {
	case "send":
		a.IDs, err = to.Send(ctx, r.Messages)
	case "receive":
		a.Deliveries, err = to.Receive(ctx, r.Max, r.Duration)
	case "settle":
		n = len(r.Settle)
		err = to.Settle(ctx, r.Settle)
	case "extend":
		n = len(r.Receipts)
		err = to.Extend(ctx, r.Receipts, r.Duration)
	case "browse":
		a.Records, err = to.Browse(ctx, r.OfArchives)
	case "stats":
		a.Stats, err = to.Stats(ctx)
	}
	a.ID = r.ID
	if err != nil {
		for _, one := range errorsOf(err, n) {
			a.Errors = append(a.Errors, code(one))
		}
	}
	return a
}

// codes are the errors that have to be told apart.
var codes = map[string]error{
	"gone": driver.ErrMessageNotFound, "stale": driver.ErrStaleReceipt, "bad": driver.ErrBadConn, "unavailable": driver.ErrUnavailable,
}

func code(err error) string {
	if err == nil {
		return ""
	}
	for _, name := range []string{"unavailable", "bad", "gone", "stale"} {
		if errors.Is(err, codes[name]) {
			return name
		}
	}
	return err.Error()
}

func (a *answer) err() error {
	if a.Errors == nil {
		return nil
	}
	errs := make([]error, len(a.Errors))
	for i, name := range a.Errors {
		switch known := codes[name]; {
		case known != nil:
			errs[i] = known
		case name != "":
			errs[i] = errors.New(name)
		}
	}
	return driver.Batch(errs)
}

// process is a child that can be killed, after which there is another.
type process struct {
	testing.TB
	dsn string

	mu      sync.Mutex
	cmd     *exec.Cmd // nil if there is none
	in      io.WriteCloser
	last    int
	waiting map[int]chan *answer
	kills   int
}

func newProcess(t testing.TB, dsn string) *process {
	p := &process{TB: t, dsn: dsn}
	t.Cleanup(p.kill)
	return p
}

// start starts a child. p.mu is held.
func (p *process) start() error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), childDSN+"="+p.dsn)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if p.in, err = cmd.StdinPipe(); err != nil {
		return err
	}
	p.cmd, p.waiting = cmd, make(map[int]chan *answer)
	if err := cmd.Start(); err != nil {
		return err
	}
	go p.read(cmd, out, p.waiting)
	return nil
}

// read hands out answers until the child is gone. What it had said before counts.
func (p *process) read(cmd *exec.Cmd, out io.Reader, waiting map[int]chan *answer) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		a := new(answer)
		if json.Unmarshal(lines.Bytes(), a) != nil {
			break // half a line
		}
		p.mu.Lock()
		done := waiting[a.ID]
		delete(waiting, a.ID)
		p.mu.Unlock()
		done <- a
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == cmd {
		p.cmd = nil
	}
	for _, done := range waiting {
		close(done)
	}
}

// kill kills the child, if there is one.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		p.kills++
		_ = p.cmd.Process.Kill()
	}
}

// call has a child carry out a request. Without an answer nobody knows what became of it.
func (p *process) call(r request) (*answer, error) {
	p.mu.Lock()
	if p.cmd == nil {
		if err := p.start(); err != nil {
			p.mu.Unlock()
			return &answer{}, err
		}
	}
	p.last++
	r.ID = p.last
	done := make(chan *answer, 1)
	p.waiting[r.ID] = done
	err := json.NewEncoder(p.in).Encode(r)
	p.mu.Unlock()
	if a := <-done; a != nil {
		return a, a.err()
	}
	return &answer{}, errors.Join(driver.ErrUnavailable, err)
}

// of is the way to a queue through a child.
func (p *process) of(queue string) Target { return remote{p, queue} }

type remote struct {
	p     *process
	queue string
}

func (r remote) Send(_ context.Context, msgs []driver.Message) ([]string, error) {
	a, err := r.p.call(request{Queue: r.queue, Method: "send", Messages: msgs})
	return a.IDs, err
}

func (r remote) Receive(_ context.Context, limit int, visibility time.Duration) ([]driver.Delivery, error) {
	a, err := r.p.call(request{Queue: r.queue, Method: "receive", Max: limit, Duration: visibility})
	return a.Deliveries, err
}

func (r remote) Settle(_ context.Context, s []driver.Settlement) error {
	_, err := r.p.call(request{Queue: r.queue, Method: "settle", Settle: s})
	return err
}

func (r remote) Extend(_ context.Context, rs []driver.Receipt, d time.Duration) error {
	_, err := r.p.call(request{Queue: r.queue, Method: "extend", Receipts: rs, Duration: d})
	return err
}

func (r remote) Browse(_ context.Context, archive bool) ([]driver.Record, error) {
	a, err := r.p.call(request{Queue: r.queue, Method: "browse", OfArchives: archive})
	return a.Records, err
}

func (r remote) Stats(context.Context) (driver.Stats, error) {
	a, err := r.p.call(request{Queue: r.queue, Method: "stats"})
	return a.Stats, err
}

// TestSQLiteKilled: processes that work on one file are killed, at random.
func TestSQLiteKilled(t *testing.T) {
	for name, w := range workloads {
		t.Run(name, func(t *testing.T) {
			dsn := sqliteFile(t)
			calm := openClient(t, dsn)
			a, b := newProcess(t, dsn), newProcess(t, dsn)
			(&several{TB: t, n: 300, lossy: true}).each(func(seed uint64) *History {
				w.Seed = seed
				q := ensuredQueue(t, calm, seed)
				defer disturb(t, seed, a.kill, b.kill)()
				return must(t, w, calm.Caps(), a.of(q.Name()), b.of(q.Name()), Queue(q))
			})
			t.Logf("%d kills", a.kills+b.kills)
		})
	}
}

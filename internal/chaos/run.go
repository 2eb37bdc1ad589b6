package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/portmq/mq/internal/chaos/judge"
	"github.com/portmq/mq/internal/chaos/ledger"
	"github.com/portmq/mq/internal/chaos/work"
)

// provider is what a run is about: a backend of its own, and what can go wrong with it.
type provider interface {
	// start starts the backend in a directory.
	start(ctx context.Context, dir string) error
	// dsn returns the way to the backend for a worker, which may lead through a proxy, or
	// for the keeper, whose way is never in the way of a fault.
	dsn(keeper bool) string
	// faults returns what can go wrong with the backend, and what cannot here.
	faults(r *runner) ([]*fault, []skipped)
	// facts returns what the provider promises.
	facts() judge.Facts
	// left returns what is left in the backend when all clients are closed.
	left(ctx context.Context) ([]string, error)
	// stop stops the backend.
	stop() error
}

// runner is one run.
type runner struct {
	options
	name    string
	backend provider
	dir     string // of everything
	ledger  *ledger.Writer
	numbers sync.Mutex
	number  int // of faults so far

	// deployments is held while processes are ended and started: both lanes do so.
	deployments sync.Mutex

	// drops is held while a queue is dropped and made, or must not be.
	drops    sync.Mutex
	lastDrop time.Time // when queues were made last
	lastUp   time.Time // when a node that had crashed was there again

	mu       sync.Mutex
	children map[string]*child // by the name of their first worker
	starts   map[string]int
	skips    []skipped
	failed   []error // of the run itself
}

// runProvider runs one provider, and returns the exit code.
func runProvider(ctx context.Context, o options, name string) (code int, err error) {
	r := &runner{options: o, name: name, children: make(map[string]*child), starts: make(map[string]int)}
	if r.backend, err = newProvider(name); err != nil {
		return 2, err
	}
	if r.dir, err = os.MkdirTemp("", "mq-chaos-"+name+"-"); err != nil {
		return 2, err
	}
	defer func() { err = errors.Join(err, r.cleanUp()) }()
	for _, sub := range []string{"ledger", "log", "work", "backend"} {
		if err := os.Mkdir(filepath.Join(r.dir, sub), 0o755); err != nil {
			return 2, err
		}
	}
	if err := os.Chmod(r.dir, 0o755); err != nil { // servers are other users
		return 2, err
	}
	r.printf("%s: seed %d, %v\n", name, o.seed, o.duration)
	if r.ledger, err = ledger.Create(r.path("ledger"), judge.Controller); err != nil {
		return 2, err
	}
	if err := r.run(ctx); err != nil {
		return 2, err
	}
	return r.verdict()
}

func (r *runner) path(sub string) string { return filepath.Join(r.dir, sub) }

// cleanUp ends whatever still runs.
func (r *runner) cleanUp() (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.children {
		err = errors.Join(err, c.kill())
	}
	defer func() { err = errors.Join(err, r.backend.stop(), os.RemoveAll(r.dir)) }()
	if r.keep != "" {
		to := filepath.Join(r.keep, r.name+"-"+strconv.FormatUint(r.seed, 10))
		err = errors.Join(err, os.RemoveAll(to), os.MkdirAll(to, 0o755), os.CopyFS(filepath.Join(to, "ledger"), os.DirFS(r.path("ledger"))),
			os.CopyFS(filepath.Join(to, "log"), os.DirFS(r.path("log"))), r.keepLogs(to))
		r.printf("%s: the ledger and the logs are in %s\n", r.name, to)
	}
	return err
}

// keepLogs keeps the logs of the servers.
func (r *runner) keepLogs(to string) error {
	return filepath.WalkDir(r.path("backend"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".log" || d.IsDir() {
			return nil // what is gone cannot be kept
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, "log", "server-"+filepath.Base(path)), text, 0o644)
	})
}

// run is everything between the start and the end of the backend.
func (r *runner) run(ctx context.Context) error {
	if err := r.backend.start(ctx, r.path("backend")); err != nil {
		return err
	}
	for _, c := range r.cast() {
		if err := r.launch(c); err != nil {
			return err
		}
	}
	r.lastDrop = time.Now()
	r.storm(ctx)
	if err := ctx.Err(); err != nil {
		return err
	}
	r.goOn(ctx)
	if err := r.settle(ctx); err != nil {
		return err
	}
	left, err := r.backend.left(ctx)
	for _, what := range left {
		r.ledger.Write(ledger.Record{Kind: ledger.Leak, Note: what})
	}
	return err
}

// character is a process: its workers' names without their numbers.
type character struct {
	name    string
	workers []work.Worker
}

// cast returns the processes, the keeper first. What lives in one process has only one.
func (r *runner) cast() []character {
	keeper, all := work.Worker{Name: "keep", Role: work.Keeper}, []work.Worker{
		{Name: "p1", Role: work.Producer},
		{Name: "p2", Role: work.Producer},
		{Name: "c1", Role: work.Consumer},
		{Name: "c2", Role: work.Consumer},
		{Name: "c3", Role: work.Consumer},
	}
	if r.name == "mem" {
		return []character{{"all", append([]work.Worker{keeper}, all...)}}
	}
	cast := []character{{keeper.Name, []work.Worker{keeper}}}
	for _, w := range all {
		cast = append(cast, character{w.Name, []work.Worker{w}})
	}
	return cast
}

// launch starts a process.
func (r *runner) launch(c character) error {
	r.mu.Lock()
	r.starts[c.name]++
	n := r.starts[c.name]
	r.mu.Unlock()
	cfg := work.Config{
		Ledger: r.path("ledger"), Provider: r.name, DSN: r.backend.dsn(c.workers[0].Role == work.Keeper && len(c.workers) == 1),
		Lease: r.lease, Rate: r.rate, Seed: r.seed, Break: r.broken,
	}
	for _, w := range c.workers {
		w.Name = fmt.Sprintf("%s.%d", w.Name, n)
		cfg.Workers = append(cfg.Workers, w)
	}
	p, err := startChild(r.path("log"), fmt.Sprintf("%s.%d", c.name, n), cfg)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.children[c.name] = p
	return nil
}

// child returns a process, nil if it does not run.
func (r *runner) child(name string) *child {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.children[name]
}

// keeper returns the process that keeps order.
func (r *runner) keeper() *child {
	if c := r.child("keep"); c != nil {
		return c
	}
	return r.child("all")
}

// goOn waits until each worker has sent or received something after the last fault.
func (r *runner) goOn(ctx context.Context) {
	begin := time.Now()
	before := r.progress(ctx)
	for end := begin.Add(r.drain); ; sleep(ctx, 100*time.Millisecond) {
		now, waiting := r.progress(ctx), ""
		for name, n := range before {
			if now[name] == n {
				waiting += " " + name
			}
		}
		switch {
		case waiting == "":
			r.printf("  every worker goes on after %v\n", time.Since(begin).Round(10*time.Millisecond))
			return
		case time.Now().After(end) || ctx.Err() != nil:
			for name := range strings.FieldsSeq(waiting) {
				r.ledger.Write(ledger.Record{Kind: ledger.Stuck, Key: name, Note: "nothing was sent or received for " + r.drain.String()})
			}
			return
		}
	}
}

// progress returns what each worker has done so far.
func (r *runner) progress(ctx context.Context) map[string]int {
	var mu sync.Mutex
	all := make(map[string]int)
	r.each(func(c *child) error {
		word, err := c.tell(ctx, work.Progress, limit)
		mu.Lock()
		defer mu.Unlock()
		for one := range strings.FieldsSeq(word) {
			name, n, _ := strings.Cut(one, "=")
			all[name], _ = strconv.Atoi(n)
		}
		return err
	})
	return all
}

// settle lets the workers finish, and ends them.
func (r *runner) settle(ctx context.Context) error {
	r.each(func(c *child) error { _, err := c.tell(ctx, work.Quiet, limit); return err })
	begin := time.Now()
	left := r.await(ctx)
	r.printf("  the queues are as they are after %v: %s left\n", time.Since(begin).Round(10*time.Millisecond), left)
	r.each(func(c *child) error { _, err := c.tell(ctx, work.Stop, limit); return err })
	keeper := r.keeper()
	r.each(func(c *child) error {
		if c == keeper {
			return nil
		}
		return c.exit(ctx, limit)
	})
	if _, err := keeper.tell(ctx, work.Final, limit); err != nil {
		return err
	}
	err := keeper.exit(ctx, limit)
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.children)
	return errors.Join(append(r.failed, err)...)
}

// each does something to all processes at once.
func (r *runner) each(do func(*child) error) {
	r.mu.Lock()
	var all []*child
	for _, c := range r.children {
		all = append(all, c)
	}
	r.mu.Unlock()
	var done sync.WaitGroup
	for _, c := range all {
		done.Go(func() {
			if err := do(c); err != nil {
				r.note(c.name, err)
			}
		})
	}
	done.Wait()
}

// await waits until the workers have emptied the queues, and returns how much is left. Some
// backends do not show what is leased or delayed: there it is empty for a while.
func (r *runner) await(ctx context.Context) (left string) {
	begin, empty := time.Now(), time.Time{}
	for time.Since(begin) < r.drain && ctx.Err() == nil {
		word, err := r.keeper().tell(ctx, work.Left, limit)
		if left = word; err != nil {
			left = err.Error()
		}
		switch {
		case left != "0":
			empty = time.Time{}
		case empty.IsZero():
			empty = time.Now()
		case r.backend.facts().ExactReads || time.Since(empty) > 2*r.lease:
			return left
		}
		sleep(ctx, 200*time.Millisecond)
	}
	return left
}

// verdict judges the run.
func (r *runner) verdict() (code int, err error) {
	facts := r.backend.facts()
	facts.Every = work.ScheduleEvery
	v, err := judge.Run(r.path("ledger"), r.path("work"), &facts)
	if err != nil {
		return 2, err
	}
	report(r.out, v, r.skips)
	if len(v.Count)+len(v.Leaks) > 0 {
		r.printf("%s: FAILED (seed %d)\n", r.name, r.seed)
		return 1, nil
	}
	if v.Sent == 0 || v.Acked == 0 {
		return 2, errors.New("nothing was sent or acked, so that nothing is proven")
	}
	r.printf("%s: ok (seed %d)\n", r.name, r.seed)
	return 0, nil
}

func (r *runner) printf(format string, args ...any) { _, _ = fmt.Fprintf(r.out, format, args...) }

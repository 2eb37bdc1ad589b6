package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"github.com/portmq/mq/internal/chaos/work"
)

func rngOf(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// workerFaults returns what can go wrong with workers, on every provider.
func (r *runner) workerFaults() []*fault {
	pause := &fault{"pause a worker", r.lease / 2, r.lease * 5 / 2, r.pauseWorker}
	common := []*fault{
		pause,
		{"drop a queue", 0, time.Second, r.dropQueue},
		{"reopen clients", 0, time.Second, r.reopen},
	}
	if r.name == "mem" {
		r.skips = append(r.skips, skipped{"kill -9 a worker", "the queues are in the process"})
		return common
	}
	return append(
		common,
		&fault{"kill -9 a worker", 0, 2 * time.Second, r.killWorker},
		&fault{"kill -9 all workers", 0, 2 * time.Second, r.killAll},
		&fault{"restart a worker in order", 0, time.Second, r.restartWorker},
	)
}

// workers returns the names of the processes that faults may strike, sorted.
func (r *runner) workers() (names []string) {
	for _, c := range r.cast() {
		if c.name != "keep" {
			names = append(names, c.name)
		}
	}
	return names
}

func (r *runner) choose(p pick) string {
	names := r.workers()
	return names[p.IntN(len(names))]
}

// pauseWorker stops a process, perhaps for longer than its leases last.
func (r *runner) pauseWorker(_ context.Context, p pick) (func(context.Context) error, error) {
	c := r.child(r.choose(p))
	if err := c.signal(syscall.SIGSTOP); err != nil {
		return nil, err
	}
	return func(context.Context) error { return c.signal(syscall.SIGCONT) }, nil
}

func (r *runner) killWorker(_ context.Context, p pick) (func(context.Context) error, error) {
	return r.killSome(r.choose(p))
}

func (r *runner) killAll(context.Context, pick) (func(context.Context) error, error) {
	return r.killSome(r.workers()...)
}

// killSome kills processes, and starts others in their place.
func (r *runner) killSome(names ...string) (func(context.Context) error, error) {
	r.deployments.Lock()
	for _, name := range names {
		if err := r.child(name).kill(); err != nil {
			r.deployments.Unlock()
			return nil, err
		}
	}
	return r.deployed(names...), nil
}

// deployed returns what ends a deployment: processes in the place of others.
func (r *runner) deployed(names ...string) func(context.Context) error {
	return func(context.Context) error {
		defer r.deployments.Unlock()
		return r.relaunch(names...)
	}
}

func (r *runner) relaunch(names ...string) error {
	for _, c := range r.cast() {
		if slices.Contains(names, c.name) {
			if err := r.launch(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// restartWorker ends a process in order, as a deployment does, and starts another one.
func (r *runner) restartWorker(ctx context.Context, p pick) (func(context.Context) error, error) {
	name := r.choose(p)
	r.deployments.Lock()
	if err := r.child(name).exit(ctx, limit); err != nil {
		r.deployments.Unlock()
		return nil, err
	}
	return r.deployed(name), nil
}

// deploy ends all workers one after the other, and starts others in their place.
func (r *runner) deploy(ctx context.Context) (err error) {
	for _, name := range r.workers() {
		r.deployments.Lock()
		err = errors.Join(err, r.child(name).exit(ctx, limit), r.relaunch(name))
		r.deployments.Unlock()
	}
	return err
}

// dropQueue drops a queue that is in use, and re-creates it. A fault of the backend may
// prevent that for a while.
func (r *runner) dropQueue(ctx context.Context, _ pick) (func(context.Context) error, error) {
	heal := func(ctx context.Context) (err error) {
		r.drops.Lock()
		defer r.drops.Unlock()
		if !r.lastUp.IsZero() {
			sleep(ctx, youngQueue-time.Since(r.lastUp))
		}
		for range 10 {
			_, err = r.keeper().tell(ctx, work.Drop, limit)
			if r.lastDrop = time.Now(); err == nil {
				return nil
			}
			sleep(ctx, time.Second)
		}
		return err
	}
	return heal, nil
}

// reopen closes the clients of a process while they work, and opens others.
func (r *runner) reopen(ctx context.Context, p pick) (func(context.Context) error, error) {
	r.deployments.Lock()
	defer r.deployments.Unlock()
	_, err := r.child(r.choose(p)).tell(ctx, work.Reopen, limit)
	return nil, err
}

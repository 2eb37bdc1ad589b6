package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"
)

func (b *rabbit) faults(r *runner) (all []*fault, skips []skipped) {
	for i, f := range b.nodes[0].way.faults() { // of all ways at once
		all = append(all, &fault{f.name, f.shortest, f.longest, b.onAllWays(i)})
	}
	all = append(all, []*fault{
		{"crash of a node", 0, 2 * time.Second, b.crashNode(r, b.anyNode)},
		{"a node is frozen", time.Second, 6 * time.Second, b.freeze},
		{"memory alarm", time.Second, 4 * time.Second, b.setting(
			"vm_memory_monitor:set_vm_memory_high_watermark(0.000001).", "vm_memory_monitor:set_vm_memory_high_watermark({absolute, 1000000000}).")},
		{"disk alarm", time.Second, 4 * time.Second, b.setting(
			"rabbit_disk_monitor:set_disk_free_limit(\"900TB\").", "rabbit_disk_monitor:set_disk_free_limit(\"20MB\").")},
		{"the broker closes connections", 0, time.Second, b.setting("[rabbit_networking:close_connection(P, \"chaos\") || P <- rabbit_networking:connections()].", "")},
		{"rotation of credentials", time.Second, 2 * time.Second, b.rotate(r)},
	}...)
	if b.size > 1 {
		all = append(
			all,
			&fault{"crash of a leader", 0, 3 * time.Second, b.crashNode(r, b.leader)},
			&fault{"a node is cut off from clients", time.Second, 5 * time.Second, b.cutOff},
		)
		skips = append(skips, skipped{"delays", "a broker may keep what is delayed when a leader crashes: docs/rabbitmq.md"})
		skips = append(skips, skipped{"a node cut off from the others", "the traffic between nodes dials ports of epmd's choice, past any proxy; a frozen node is the same to the others"})
	}
	if b.disk != nil {
		all = append(all, &fault{"a full disk, then a crash", time.Second, 3 * time.Second, b.fillDisk(r)})
	} else {
		skips = append(skips, skipped{"a full disk, then a crash", "no small file system can be mounted here, or the nodes are several"})
	}
	return all, append(skips, clockSkipped)
}

// onAllWays is a fault of the ways to all nodes, by its place in their list.
func (b *rabbit) onAllWays(i int) func(context.Context, pick) (healing, error) {
	return func(ctx context.Context, p pick) (healing, error) {
		var heals []healing
		var errs []error
		for _, n := range b.nodes {
			heal, err := n.way.faults()[i].apply(ctx, p)
			errs = append(errs, err)
			if heal != nil {
				heals = append(heals, heal)
			}
		}
		return func(ctx context.Context) (err error) {
			for _, heal := range heals {
				err = errors.Join(err, heal(ctx))
			}
			return err
		}, errors.Join(errs...)
	}
}

func (b *rabbit) anyNode(_ context.Context, p pick) (*rabbitNode, error) {
	return b.nodes[p.IntN(len(b.nodes))], nil
}

// leader returns the node that leads the queue that is used most.
func (b *rabbit) leader(ctx context.Context, _ pick) (*rabbitNode, error) {
	out, err := b.ctl(ctx, b.nodes[0], "list_queues", "name", "leader")
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		i := slices.IndexFunc(b.nodes, func(n *rabbitNode) bool { return len(f) == 2 && f[0] == "plain" && f[1] == n.name })
		if i >= 0 {
			return b.nodes[i], nil
		}
	}
	return nil, errors.Join(err, fmt.Errorf("no node leads the queue:\n%s", out))
}

// youngQueue is how old a quorum queue of RabbitMQ 3.10 must be before it is killed: else it
// may stay without a leader forever, as docs/rabbitmq.md says. The same was seen with one that
// was dropped and re-created at the moment when a node came up after a crash.
const youngQueue = 5 * time.Second

// crashNode kills a node, and starts it again.
func (b *rabbit) crashNode(r *runner, choose func(context.Context, pick) (*rabbitNode, error)) func(context.Context, pick) (healing, error) {
	return func(ctx context.Context, p pick) (healing, error) {
		n, err := choose(ctx, p)
		if err != nil {
			return nil, err
		}
		r.drops.Lock() // until it is there again
		sleep(ctx, youngQueue-time.Since(r.lastDrop))
		heal := func(ctx context.Context) error {
			defer r.drops.Unlock()
			err := b.run(ctx, n)
			r.lastUp = time.Now()
			return err
		}
		return heal, n.crash()
	}
}

func (b *rabbit) freeze(ctx context.Context, p pick) (healing, error) {
	n, err := b.anyNode(ctx, p)
	n.toAll(syscall.SIGSTOP)
	return func(context.Context) error { n.toAll(syscall.SIGCONT); return nil }, err
}

// setting evaluates an expression on each node, and another one at the end.
func (b *rabbit) setting(begin, end string) func(context.Context, pick) (healing, error) {
	eval := func(ctx context.Context, expression string) (err error) {
		for _, n := range b.nodes {
			_, one := b.ctl(ctx, n, "eval", expression)
			err = errors.Join(err, one)
		}
		return err
	}
	return func(ctx context.Context, _ pick) (healing, error) {
		heal := func(ctx context.Context) error { return eval(ctx, end) }
		if end == "" {
			heal = nil
		}
		return heal, eval(ctx, begin)
	}
}

// rotate changes the password of the workers, and deploys each with the new one.
func (b *rabbit) rotate(r *runner) func(context.Context, pick) (healing, error) {
	return func(ctx context.Context, pick pick) (healing, error) {
		r.deployments.Lock()
		b.password = rand.Text()
		r.deployments.Unlock()
		_, err := b.ctl(ctx, b.nodes[0], "change_password", "worker", b.password)
		if err == nil && pick.IntN(2) == 0 {
			for _, n := range b.nodes {
				n.way.cut()
			}
		}
		return r.deploy, err
	}
}

// cutOff leaves a node to the others, but not to clients.
func (b *rabbit) cutOff(ctx context.Context, p pick) (healing, error) {
	n, err := b.anyNode(ctx, p)
	if err != nil {
		return nil, err
	}
	return n.way.refuse(ctx, p)
}

// fillDisk fills the node's disk. The log of the quorum queues gives up when it cannot be
// written, and with it all of them, until the node is started again: that is what RabbitMQ
// asks of its operator.
func (b *rabbit) fillDisk(r *runner) func(context.Context, pick) (healing, error) {
	return func(ctx context.Context, p pick) (healing, error) {
		r.drops.Lock()
		sleep(ctx, youngQueue-time.Since(r.lastDrop))
		empty, err := b.disk.fill(ctx, p)
		heal := func(ctx context.Context) error {
			defer r.drops.Unlock()
			n := b.nodes[0]
			if err := errors.Join(empty(ctx), n.crash()); err != nil {
				return err
			}
			err := b.run(ctx, n)
			r.lastUp = time.Now()
			return err
		}
		return heal, err
	}
}

package mq

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"time"

	"github.com/portmq/mq/driver"
)

type (
	// ConsumerReport is what a Consumer has reported about itself.
	ConsumerReport = driver.ConsumerReport
	// HeldMessage is a message that a Consumer has leased.
	HeldMessage = driver.HeldMessage
)

// Consumers returns what the Consumers of a queue, or of all queues if queue is "", have
// reported about themselves, in every process: what they do, and which messages they hold.
// A Consumer reports when something has changed, at most every 10 seconds, and at least
// every minute. Consumers that have stopped are not included; one that crashed still is,
// for up to three minutes. Config.NoReports turns off the reports of a client.
func (c *Client) Consumers(ctx context.Context, queue string) (all []ConsumerReport, err error) {
	err = c.do(ctx, &Call{Op: "consumers", Queue: queue}, func(ctx context.Context) error {
		r, err := optional[driver.Registry](c.provider)
		if err != nil {
			return unsupported("reports of consumers")
		}
		if queue != "" {
			if queue, err = c.canonical(queue); err != nil {
				return err
			}
		}
		return c.look(ctx, func(ctx context.Context) (err error) {
			all, err = r.Consumers(ctx, queue)
			return err
		})
	})
	return all, err
}

const (
	firstReportPause = time.Second      // Consumers that end before that report nothing
	minReportPause   = 10 * time.Second // on average, between two reports
	maxReportPause   = time.Minute      // between two reports
	reportTTL        = 3 * maxReportPause
)

// maxHeldReported is how many messages a report names.
const maxHeldReported = 100

// keepReporting reports what the Consumer does until end is called.
func (c *Consumer) keepReporting(ctx context.Context) (end func()) {
	r, ok := c.queue.client.provider.(driver.Registry)
	if !ok || c.queue.client.cfg.NoReports {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	p := reporter{consumer: c, registry: r, id: rand.Text(), begun: now()}
	go func() {
		defer close(done)
		p.run(ctx)
	}()
	return func() { cancel(); <-done }
}

// reporter reports what a Consumer does.
type reporter struct {
	consumer *Consumer
	registry driver.Registry
	id       string
	begun    instant
	last     ConsumerReport
	at       instant // of the last report
	failed   bool
}

// run reports until ctx ends, and then removes the report.
func (p *reporter) run(ctx context.Context) {
	_ = sleep(ctx, firstReportPause)
	for ctx.Err() == nil {
		r := p.consumer.describe(p.id, p.begun)
		if p.due(r) {
			if err := p.send(ctx, r, reportTTL); errors.Is(err, ErrNotSupported) {
				return
			}
			p.last, p.at = r, now()
		}
		_ = sleep(ctx, jitter(minReportPause))
	}
	if p.last.ID != "" {
		_ = p.send(context.WithoutCancel(ctx), p.last, 0)
	}
}

// due reports whether something has changed, or the last report will soon be too old.
func (p *reporter) due(r ConsumerReport) bool {
	was := p.last
	was.Age = r.Age
	return !reflect.DeepEqual(was, r) || now().sub(p.at) >= maxReportPause-minReportPause
}

// reportLimit bounds a report. Only the end of a Consumer waits for one.
const reportLimit = 2 * time.Second

func (p *reporter) send(ctx context.Context, r ConsumerReport, ttl time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, reportLimit)
	defer cancel()
	err := p.registry.Report(ctx, r, ttl)
	if failed := err != nil && !errors.Is(err, ErrNotSupported); failed != p.failed {
		if p.failed = failed; failed {
			p.consumer.log.Debug("mq: a report of the consumer failed", "error", err)
		}
	}
	return err
}

// describe returns the report as of now.
func (c *Consumer) describe(id string, begun instant) ConsumerReport {
	s := c.Stats()
	r := ConsumerReport{
		ID: id, Queue: c.queue.name, Name: c.queue.client.cfg.Name,
		Running: s.Running, Paused: s.Paused,
		Done: s.Acked, Failed: s.Retried + s.DeadLettered + s.Lost,
		Age: now().sub(begun),
	}
	c.mu.Lock()
	r.Concurrency = c.concurrency
	c.mu.Unlock()
	if s.LastError != nil {
		r.LastError = s.LastError.Error()
	}
	r.Held, r.Longest = c.keeper.longest(maxHeldReported)
	return r
}

// longest returns how many leases there are, and up to limit of those held longest.
func (k *keeper) longest(limit int) (n int, longest []HeldMessage) {
	at := now()
	k.mu.Lock()
	all := k.list(nil)
	k.mu.Unlock()
	slices.SortFunc(all, func(a, b keptLease) int {
		return cmp.Or(cmp.Compare(a.since, b.since), cmp.Compare(a.id, b.id))
	})
	for _, l := range all[:min(limit, len(all))] {
		longest = append(longest, HeldMessage{ID: l.id, For: at.sub(l.since).Truncate(time.Second)})
	}
	return len(all), longest
}

// processName names this process.
func processName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"time"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
)

func pauseCommand(a *app) *cobra.Command {
	var by string
	cmd := &cobra.Command{
		Use:   "pause QUEUE...",
		Short: "Stop all consumers from fetching from queues",
		Long: `Stop all consumers, mq work included, from fetching from queues, until mq resume.

They still handle the messages that they have, and messages can still be sent.
Programs that do not use this library, and mq receive, go on.`,
		Example: `  mq pause orders
  mq pause orders invoices -by 'anna: the bank is down'`,
		Args: takes(1, many),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.eachPause("PAUSED", args, func(q *mq.Queue) error { return q.Pause(cmd.Context(), cmp.Or(by, whoami())) })
		},
		ValidArgsFunction: a.completeQueues,
	}
	cmd.Flags().StringVar(&by, "by", "", "`who` pauses them, or why (default user@host)")
	return cmd
}

func resumeCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "resume QUEUE...",
		Short:   "Let consumers fetch from paused queues again",
		Example: `  mq resume orders`,
		Args:    takes(1, many),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.eachPause("RESUMED", args, func(q *mq.Queue) error { return q.Resume(cmd.Context()) })
		},
		ValidArgsFunction: a.completeQueues,
	}
}

// eachPause calls f for each queue. One that fails does not keep it from the others.
func (a *app) eachPause(title string, names []string, f func(*mq.Queue) error) error {
	return a.with(func(c *mq.Client) error {
		out := newPrinter(a, title)
		var errs []error
		for _, name := range names {
			q := c.Queue(name)
			if err := f(q); err != nil {
				errs = append(errs, lacks(c, err, "does not store which queues are paused"))
				continue
			}
			out.row(queueLine{Queue: q.Name()}, q.Name())
		}
		err := errors.Join(errs...)
		if err != nil {
			out.fail(err)
		}
		return out.flush()
	})
}

// lacks says what the provider does not do if err is ErrNotSupported.
func lacks(c *mq.Client, err error, what string) error {
	if errors.Is(err, mq.ErrNotSupported) {
		return fmt.Errorf("%s %s: %w", c.Provider().Name(), what, mq.ErrNotSupported)
	}
	return err
}

// whoami returns user@host.
func whoami() string {
	name, host := "unknown", "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil {
		host = h
	}
	return name + "@" + host
}

// pauses are the queues that are paused, by name.
type pauses map[string]mq.PausedQueue

// readPauses returns none if the provider stores none.
func readPauses(ctx context.Context, c *mq.Client) (pauses, error) {
	all, err := c.Paused(ctx)
	if errors.Is(err, mq.ErrNotSupported) {
		return nil, nil
	}
	ps := make(pauses, len(all))
	for _, p := range all {
		ps[p.Queue] = p
	}
	return ps, err
}

// titles adds a column if something is paused.
func (ps pauses) titles(titles ...string) []string {
	if len(ps) > 0 {
		titles = append(titles, "PAUSED…")
	}
	return titles
}

// cells adds the cell of a queue for that column.
func (ps pauses) cells(queue string, cells ...string) []string {
	p, ok := ps[queue]
	switch {
	case ok:
		return append(cells, fmt.Sprintf("for %s by %s", age(time.Since(p.Since)), p.By))
	case len(ps) > 0:
		return append(cells, "-")
	}
	return cells
}

// pausedLine is the JSON of a pause, nothing if there is none.
type pausedLine struct {
	PausedBy    string    `json:"paused_by,omitempty"`
	PausedSince time.Time `json:"paused_since,omitzero"`
}

func (ps pauses) line(queue string) pausedLine { return pausedLine{ps[queue].By, ps[queue].Since} }

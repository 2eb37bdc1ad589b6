package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
)

func statsCommand(a *app) *cobra.Command {
	var (
		watch bool
		every time.Duration
	)
	cmd := &cobra.Command{
		Use:   "stats [QUEUE...]",
		Short: "Count the messages of queues",
		Long: `Count the messages of queues, of all if none is named.

What the provider cannot tell is "-", and ~ marks an estimate.`,
		Example: `  mq stats
  mq stats -watch -interval 5s orders
  mq stats -o json | jq 'select(.visible > 1000) | .queue'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if every < 100*time.Millisecond {
				return usagef("-interval %v is below 100ms", every)
			}
			return a.with(func(c *mq.Client) error {
				if watch {
					return a.watchStats(cmd.Context(), c, args, every)
				}
				return a.stats(cmd.Context(), c, args)
			})
		},
		ValidArgsFunction: a.completeQueues,
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "repeat until interrupted")
	cmd.Flags().DurationVar(&every, "interval", 2*time.Second, "how often to repeat")
	return cmd
}

// statsLine is the JSON of a queue's figures. What is not known is left out.
type statsLine struct {
	Queue       string    `json:"queue"`
	Total       *int64    `json:"total,omitempty"`
	Visible     *int64    `json:"visible,omitempty"`
	Leased      *int64    `json:"leased,omitempty"`
	Delayed     *int64    `json:"delayed,omitempty"`
	Blocked     *int64    `json:"blocked,omitempty"`
	Archived    *int64    `json:"archived,omitempty"`
	TotalSent   *int64    `json:"total_sent,omitempty"`
	OldestAge   *float64  `json:"oldest_age_seconds,omitempty"`
	NewestAge   *float64  `json:"newest_age_seconds,omitempty"`
	Lag         *float64  `json:"lag_seconds,omitempty"`
	Approximate bool      `json:"approximate,omitempty"`
	ScrapedAt   time.Time `json:"scraped_at,omitzero"`
}

// stats shows the figures of the queues once, of all of them without names. Those that
// cannot be counted do not keep the others from being shown.
func (a *app) stats(ctx context.Context, c *mq.Client, names []string) error {
	all := make(map[string]mq.Stats)
	var err error
	if len(names) == 0 {
		if all, err = c.StatsAll(ctx); len(all) == 0 && err != nil {
			return err
		}
		names = slices.Sorted(maps.Keys(all))
	}
	out := newPrinter(a, "QUEUE", "VISIBLE", "LEASED", "DELAYED", "BLOCKED?", "TOTAL?", "ARCHIVED", "SENT?", "OLDEST?", "LAG")
	for _, name := range names {
		s, known := all[name]
		if !known {
			if s, err = c.Queue(name).Stats(ctx); err != nil {
				break
			}
		}
		out.stats(c.Queue(name).Name(), s)
	}
	if err != nil {
		out.fail(err)
	}
	return out.flush()
}

func (p *printer) stats(queue string, s mq.Stats) {
	line := statsLine{
		Queue: queue, Total: known(s.Total), Visible: known(s.Visible), Leased: known(s.Leased), Delayed: known(s.Delayed),
		Blocked: known(s.Blocked), Archived: known(s.Archived), TotalSent: known(s.TotalSent), OldestAge: seconds(s.OldestAge), NewestAge: seconds(s.NewestAge),
		Lag: seconds(s.Lag), Approximate: s.Approximate, ScrapedAt: s.ScrapedAt,
	}
	about := ""
	if s.Approximate {
		about = "~"
	}
	p.row(line, line.Queue, about+count(s.Visible), count(s.Leased), count(s.Delayed), about+count(s.Blocked),
		about+count(s.Total), about+count(s.Archived), count(s.TotalSent), ageCell(s.OldestAge), ageCell(s.Lag))
}

// watchStats repeats stats until ctx ends, in place on a terminal.
func (a *app) watchStats(ctx context.Context, c *mq.Client, names []string, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for first := true; ; first = false {
		if isTerminal(a.stdout) && !a.json() {
			if err := a.write("\x1b[H\x1b[2J"); err != nil {
				return err
			}
		} else if !first && !a.json() {
			if err := a.write("\n"); err != nil {
				return err
			}
		}
		err := a.stats(ctx, c, names)
		if ctx.Err() != nil {
			return nil // it is how a watch ends
		}
		if err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (a *app) write(text string) error {
	_, err := a.stdout.Write([]byte(text))
	return err
}

func known(n int64) *int64 {
	if n < 0 {
		return nil
	}
	return &n
}

func seconds(d time.Duration) *float64 {
	if d < 0 {
		return nil
	}
	s := d.Seconds()
	return &s
}

func ageCell(d time.Duration) string {
	switch {
	case d < 0:
		return "-"
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

package main

import (
	"context"
	"errors"
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
		Long: `Count the messages of queues, of all queues if none is named.

"-" is an unknown figure, and ~ marks an estimate. -watch adds the messages sent and
done per second since the last sample, where done includes dead letters and removed
messages, and marks figures that rise or fall. It outlives a restart of the backend.`,
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
				s, err := takeSample(cmd.Context(), c, args)
				return a.showSample(s, nil, err)
			})
		},
		ValidArgsFunction: a.completeQueues,
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "repeat until interrupted, with rates")
	cmd.Flags().DurationVar(&every, "interval", 2*time.Second, "how often to repeat")
	return cmd
}

// sample is what is known of queues at a time.
type sample struct {
	queues []string // of which there are figures, in the order to show them
	stats  map[string]mq.Stats
	paused pauses
}

// takeSample reads the figures of queues, of all of them without names. Those that
// cannot be read do not keep it from the others; the error names them.
func takeSample(ctx context.Context, c *mq.Client, names []string) (s sample, err error) {
	if len(names) == 0 {
		s.stats, err = c.StatsAll(ctx)
		s.queues = slices.Sorted(maps.Keys(s.stats))
	} else {
		err = s.read(ctx, c, names)
	}
	if len(s.queues) == 0 && err != nil {
		return s, err
	}
	paused, unknown := readPauses(ctx, c)
	s.paused = paused
	return s, errors.Join(err, unknown)
}

func (s *sample) read(ctx context.Context, c *mq.Client, names []string) error {
	var errs []error
	s.stats = make(map[string]mq.Stats)
	for _, name := range names {
		q := c.Queue(name)
		one, err := q.Stats(ctx)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.queues = append(s.queues, q.Name())
		s.stats[q.Name()] = one
	}
	return errors.Join(errs...)
}

var statsTitles = []string{"QUEUE", "VISIBLE", "LEASED", "DELAYED", "BLOCKED?", "TOTAL?", "ARCHIVED", "SENT?", "OLDEST?", "LAG"}

// showSample shows a table of figures, and then returns err. A sample of the past adds
// rates.
func (a *app) showSample(s sample, before *sample, err error) error {
	titles := statsTitles
	if before != nil {
		titles = slices.Insert(slices.Clone(titles), 7, "SENT/S", "DONE/S")
	}
	out := newPrinter(a, s.paused.titles(titles...)...)
	for _, queue := range s.queues {
		out.stats(queue, s, before)
	}
	if err != nil {
		out.fail(err)
	}
	return out.flush()
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
	SentRate    *float64  `json:"sent_per_second,omitempty"`
	DoneRate    *float64  `json:"done_per_second,omitempty"`
	Approximate bool      `json:"approximate,omitempty"`
	ScrapedAt   time.Time `json:"scraped_at,omitzero"`
	pausedLine
}

func lineOfStats(queue string, s mq.Stats, r rates, p pausedLine) statsLine {
	return statsLine{
		Queue: queue, Total: known(s.Total), Visible: known(s.Visible), Leased: known(s.Leased), Delayed: known(s.Delayed),
		Blocked: known(s.Blocked), Archived: known(s.Archived), TotalSent: known(s.TotalSent), OldestAge: seconds(s.OldestAge),
		NewestAge: seconds(s.NewestAge), Lag: seconds(s.Lag), SentRate: r.sent, DoneRate: r.done, Approximate: s.Approximate,
		ScrapedAt: s.ScrapedAt, pausedLine: p,
	}
}

// stats adds the row of a queue.
func (p *printer) stats(queue string, all sample, before *sample) {
	s := all.stats[queue]
	was, compared := s, false
	if before != nil {
		if was, compared = before.stats[queue]; !compared {
			was = s
		}
	}
	if s.Archived > 0 {
		p.paint("ARCHIVED", red)
	}
	if s.Lag > was.Lag && s.Lag >= time.Second {
		p.paint("LAG", yellow)
	}
	r := ratesOf(was, s)
	p.row(lineOfStats(queue, s, r, all.paused.line(queue)), all.paused.cells(queue, statsCells(queue, was, s, r, before != nil)...)...)
}

func statsCells(queue string, was, s mq.Stats, r rates, rated bool) []string {
	about := ""
	if s.Approximate {
		about = "~"
	}
	cells := []string{
		queue, about + trend(was.Visible, s.Visible), trend(was.Leased, s.Leased), trend(was.Delayed, s.Delayed),
		about + trend(was.Blocked, s.Blocked), about + trend(was.Total, s.Total), about + trend(was.Archived, s.Archived),
	}
	if rated {
		cells = append(cells, perSecond(r.sent), perSecond(r.done))
	}
	return append(cells, count(s.TotalSent), ageCell(s.OldestAge), ageCell(s.Lag))
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

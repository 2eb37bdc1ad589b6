package main

import (
	"context"
	"time"

	"github.com/portmq/mq"
)

// rates are messages per second, nil if they are not known.
type rates struct{ sent, done *float64 }

// ratesOf compares the figures of two times. Done is whatever has left the queue.
func ratesOf(before, now mq.Stats) (r rates) {
	took := now.ScrapedAt.Sub(before.ScrapedAt).Seconds()
	if took <= 0 || before.TotalSent < 0 || now.TotalSent < before.TotalSent {
		return r
	}
	n := now.TotalSent - before.TotalSent
	sent := float64(n) / took
	r.sent = &sent
	if before.Total >= 0 && now.Total >= 0 {
		done := max(float64(n-(now.Total-before.Total))/took, 0)
		r.done = &done
	}
	return r
}

// trend shows a figure, and whether it has risen or fallen.
func trend(was, n int64) string {
	switch {
	case n > was:
		return count(n) + "↑"
	case n < was:
		return count(n) + "↓"
	}
	return count(n)
}

func perSecond(r *float64) string {
	if r == nil {
		return "-"
	}
	return rateCell(*r)
}

// watchStats repeats stats until ctx ends, in place on a terminal.
func (a *app) watchStats(ctx context.Context, c *mq.Client, names []string, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	backend, before := away{app: a}, &sample{}
	for {
		s, err := takeSample(ctx, c, names)
		switch {
		case ctx.Err() != nil:
			return nil // it is how a watch ends
		case len(s.queues) > 0 || err == nil:
			backend.bears(nil)
			if err := a.redraw(s, before, every, err); err != nil {
				return err
			}
			before = &s
		case !backend.bears(err):
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// redraw shows a sample, in place of the one before on a terminal, and what could not
// be read.
func (a *app) redraw(s sample, before *sample, every time.Duration, unread error) error {
	head, end := stamp(time.Now())+", every "+every.String()+"\n", "\n"
	if isTerminal(a.stdout) {
		head, end = "\x1b[H\x1b[2J"+head, ""
	}
	if a.json() {
		head, end = "", ""
	}
	if err := a.write(head); err != nil {
		return err
	}
	if err := a.showSample(s, before, nil); err != nil {
		return err
	}
	if unread != nil {
		a.fault("%s", oneLine(unread))
	}
	return a.write(end)
}

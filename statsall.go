package mq

import (
	"context"
	"errors"
	"maps"
	"sync"

	"github.com/portmq/mq/driver"
)

// statsAtOnce is how many queues StatsAll asks for at a time where the provider cannot
// count all of them at once.
const statsAtOnce = 8

// StatsAll counts the messages of all queues, by name, in one round trip where the
// backend can. A queue whose Stats fail does not keep the others from being counted: it
// is not in the map, and the error names it. It needs a provider that can list its
// queues.
func (c *Client) StatsAll(ctx context.Context) (map[string]Stats, error) {
	names, err := c.Queues(ctx)
	if err != nil {
		return nil, err
	}
	counted, err := c.allStats(ctx)
	if err != nil {
		return nil, err
	}
	all := make(map[string]Stats, len(names))
	var rest []string
	for _, name := range names {
		if s, ok := counted[name]; ok {
			all[name] = s
		} else {
			rest = append(rest, name)
		}
	}
	each, err := c.statsOf(ctx, rest)
	maps.Copy(all, each)
	return all, err
}

// allStats counts what the provider can count at once.
func (c *Client) allStats(ctx context.Context) (all map[string]Stats, err error) {
	l, ok := c.provider.(driver.StatsLister)
	if !ok {
		return nil, nil
	}
	err = c.do(ctx, &Call{Op: "stats"}, func(ctx context.Context) error {
		return c.look(ctx, func(ctx context.Context) (err error) {
			all, err = l.AllStats(ctx)
			return err
		})
	})
	if errors.Is(err, ErrNotSupported) {
		return nil, nil
	}
	return all, err
}

// statsOf counts queues one by one. One that is gone by now is left out.
func (c *Client) statsOf(ctx context.Context, names []string) (map[string]Stats, error) {
	var mu sync.Mutex
	var errs []error
	all := make(map[string]Stats, len(names))
	slots := make(chan struct{}, statsAtOnce)
	var wg sync.WaitGroup
	for _, name := range names {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			s, err := c.Queue(name).Stats(ctx)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				all[name] = s
			case !errors.Is(err, ErrQueueNotFound):
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	return all, errors.Join(errs...)
}

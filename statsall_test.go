package mq_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
)

// countingProvider counts some queues together, and cannot count one.
type countingProvider struct {
	*mem.Provider
	together func(map[string]driver.Stats) (map[string]driver.Stats, error)
	asked    map[string]bool
	mu       sync.Mutex
	broken   string
}

func (p *countingProvider) AllStats(ctx context.Context) (map[string]driver.Stats, error) {
	all, err := p.Provider.AllStats(ctx)
	if err != nil {
		return nil, err
	}
	return p.together(all)
}

func (p *countingProvider) Stats(ctx context.Context, name string) (driver.Stats, error) {
	p.mu.Lock()
	p.asked[name] = true
	p.mu.Unlock()
	if name == p.broken {
		return driver.Stats{}, errors.New("no right to it")
	}
	return p.Provider.Stats(ctx, name)
}

// TestStatsAll: what the provider leaves out is asked for alone, and one queue that
// cannot be counted does not keep the others from it.
func TestStatsAll(t *testing.T) {
	for name, test := range map[string]struct {
		together func(map[string]driver.Stats) (map[string]driver.Stats, error)
		broken   string
		asked    string // queues that are asked alone
		counted  int
	}{
		"together":      {func(all map[string]driver.Stats) (map[string]driver.Stats, error) { return all, nil }, "", "", 3},
		"not all":       {func(all map[string]driver.Stats) (map[string]driver.Stats, error) { delete(all, "b"); return all, nil }, "", "b", 3},
		"one is broken": {func(all map[string]driver.Stats) (map[string]driver.Stats, error) { delete(all, "b"); return all, nil }, "b", "b", 2},
		"not supported": {func(map[string]driver.Stats) (map[string]driver.Stats, error) { return nil, driver.ErrNotSupported }, "", "a b c", 3},
	} {
		t.Run(name, func(t *testing.T) {
			p := &countingProvider{Provider: mem.New(), together: test.together, asked: make(map[string]bool), broken: test.broken}
			c := mq.New(p, mq.Config{})
			defer c.Close()
			for _, name := range []string{"a", "b", "c"} {
				if _, err := c.EnsureQueue(t.Context(), name, mq.QueueOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			all, err := c.StatsAll(t.Context())
			if (err != nil) != (test.broken != "") || err != nil && !strings.Contains(err.Error(), `"b"`) {
				t.Errorf("StatsAll: %v", err)
			}
			var asked []string
			for _, name := range []string{"a", "b", "c"} {
				if p.asked[name] {
					asked = append(asked, name)
				}
			}
			if got := strings.Join(asked, " "); got != test.asked || len(all) != test.counted {
				t.Errorf("%d counted, %s were asked alone, want %d and %s", len(all), fmt.Sprint(got), test.counted, test.asked)
			}
		})
	}
}

package mqui

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/portmq/mq"
)

const (
	// sampleTimeout bounds one look at a source.
	sampleTimeout = 10 * time.Second
	// maxPause is the longest pause between two looks at a source that is down.
	maxPause = time.Minute
	// maxHistories is how many queues of a source have a history: a few megabytes.
	maxHistories = 2000
)

// sampler counts the queues of one source, again and again, in one goroutine.
type sampler struct {
	source   *source
	interval time.Duration
	changed  *broadcast // after each look
	wake     chan struct{}

	mu        sync.Mutex
	asked     []chan struct{} // closed after the next look
	queues    map[string]*sample
	paused    map[string]mq.PausedQueue
	consumers map[string]int // by queue; nil if they are not known
	err       error          // of the last look at the source as a whole
	at        time.Time      // of the last one that succeeded; zero before
	failures  int            // looks that failed since
}

// sample is what is known about one queue.
type sample struct {
	stats   mq.Stats
	err     error // why the figures are not those of the last look
	history history
}

func newSampler(s *source, interval time.Duration, changed *broadcast) *sampler {
	return &sampler{source: s, interval: interval, changed: changed, queues: make(map[string]*sample), wake: make(chan struct{}, 1)}
}

// run looks until ctx ends.
func (s *sampler) run(ctx context.Context) {
	for ctx.Err() == nil {
		asked := s.takeAsked()
		s.look(ctx)
		for _, ch := range asked {
			close(ch)
		}
		select {
		case <-ctx.Done():
		case <-time.After(s.pause()):
		case <-s.wake:
		}
	}
}

func (s *sampler) takeAsked() []chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

// renewLimit is how long an action waits for figures that are newer than its result.
const renewLimit = time.Second

// renew waits for a look that begins after the call, but not for long.
func (s *sampler) renew(ctx context.Context) {
	looked := make(chan struct{})
	s.mu.Lock()
	s.asked = append(s.asked, looked)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default: // it has been woken
	}
	select {
	case <-looked:
	case <-time.After(renewLimit):
	case <-ctx.Done():
	}
}

// pause grows while the source is down.
func (s *sampler) pause() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return min(s.interval<<min(s.failures, 6), max(maxPause, s.interval))
}

// look counts once. What is only nice to know has a deadline of its own, and does not
// keep the figures from being shown.
func (s *sampler) look(ctx context.Context) {
	all, err := s.count(ctx)
	paused, consumers := s.lookAround(ctx, err)
	defer s.changed.notify()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.store(all, err) && err == nil {
		s.paused, s.consumers = paused, consumers
	}
}

func (s *sampler) count(ctx context.Context) (map[string]mq.Stats, error) {
	ctx, cancel := context.WithTimeout(ctx, sampleTimeout)
	defer cancel()
	if s.source.can.to(canList) {
		all, err := s.source.Client.StatsAll(ctx)
		if !errors.Is(s.source.can.learn(canList, err), mq.ErrNotSupported) {
			return all, err
		}
	}
	return s.countNamed(ctx)
}

// countNamed counts the queues that the program has named.
func (s *sampler) countNamed(ctx context.Context) (map[string]mq.Stats, error) {
	if len(s.source.Queues) == 0 {
		return nil, s.source.Client.Ping(ctx)
	}
	var mu sync.Mutex
	var errs []error
	all := make(map[string]mq.Stats)
	s.eachNamed(func(q *mq.Queue) {
		stats, err := q.Stats(ctx)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			errs = append(errs, err)
			return
		}
		all[q.Name()] = stats
	})
	return all, errors.Join(errs...)
}

// atOnce is how many queues are asked for at a time.
const atOnce = 8

// eachNamed calls f for the queues that the program has named. One that hangs keeps few
// of the others waiting.
func (s *sampler) eachNamed(f func(*mq.Queue)) {
	slots := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for _, name := range s.source.Queues {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			f(s.source.Client.Queue(name))
		})
	}
	wg.Wait()
}

// lookAround asks which queues are paused, and who consumes. It leaves out what fails.
func (s *sampler) lookAround(ctx context.Context, err error) (paused map[string]mq.PausedQueue, consumers map[string]int) {
	if err != nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, sampleTimeout/2)
	defer cancel()
	can, c := s.source.can, s.source.Client
	if can.to(canPause) {
		if all, err := c.Paused(ctx); can.learn(canPause, err) == nil {
			paused = make(map[string]mq.PausedQueue, len(all))
			for _, p := range all {
				paused[p.Queue] = p
			}
		}
	}
	if can.to(canConsumers) {
		if all, err := c.Consumers(ctx, ""); can.learn(canConsumers, err) == nil {
			consumers = make(map[string]int)
			for _, r := range all {
				consumers[r.Queue]++
			}
		}
	}
	return paused, consumers
}

// store takes what a look has seen, and reports whether it was a success. Queues that are
// gone are forgotten; those that could not be counted keep their last figures.
func (s *sampler) store(all map[string]mq.Stats, err error) (ok bool) {
	failed := failedQueues(err)
	for name, err := range failed {
		s.queue(name).err = err
	}
	if err != nil && len(all) == 0 {
		s.err = err
		s.failures++
		return false
	}
	s.err, s.failures, s.at = nil, 0, time.Now()
	for name := range s.queues {
		if _, counted := all[name]; !counted && failed[name] == nil {
			delete(s.queues, name)
		}
	}
	for name, stats := range all {
		s.queue(name).add(s.at, stats, s.limit())
	}
	return true
}

func (s *sampler) queue(name string) *sample {
	q := s.queues[name]
	if q == nil {
		q = &sample{stats: unknownStats(), history: history{keep: len(s.queues) < maxHistories}}
		s.queues[name] = q
	}
	return q
}

// limit is how many points there are in a history.
func (s *sampler) limit() int { return int(historyLength/s.interval) + 1 }

func unknownStats() mq.Stats {
	return mq.Stats{
		Total: -1, Visible: -1, Leased: -1, Delayed: -1, Archived: -1, Blocked: -1, TotalSent: -1,
		OldestAge: -1, NewestAge: -1, Lag: -1,
	}
}

// failedQueues returns the errors inside err that are about one queue.
func failedQueues(err error) map[string]error {
	failed := make(map[string]error)
	var walk func(error)
	walk = func(err error) {
		switch e := err.(type) {
		case nil:
		case *mq.Error:
			if e.Queue != "" {
				failed[e.Queue] = e
			}
		case interface{ Unwrap() []error }:
			for _, each := range e.Unwrap() {
				walk(each)
			}
		case interface{ Unwrap() error }:
			walk(e.Unwrap())
		}
	}
	walk(err)
	return failed
}

func (q *sample) add(at time.Time, stats mq.Stats, limit int) {
	q.stats, q.err = stats, nil
	q.history.add(at, stats, limit)
}

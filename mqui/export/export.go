package export

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/portmq/mq"
)

// Source is a client whose queues are exported. Name is the value of the label source.
type Source struct {
	Name   string
	Client *mq.Client
	// Queues are the queues to export if the provider cannot list them.
	Queues []string
}

// Options of New. The zero value is the default.
type Options struct {
	// Timeout bounds how long one source may take to answer. Defaults to 5 seconds.
	Timeout time.Duration
	// MaxAge is how old the figures that a request gets may be. Defaults to a second, so
	// that several scrapers cost no more than one.
	MaxAge time.Duration
}

// Exporter is the http.Handler. It is safe for concurrent use. It does not close the
// clients.
type Exporter struct {
	sources []*source
	timeout time.Duration
	mux     *http.ServeMux
}

// New returns an Exporter of sources, whose names must differ.
func New(sources []Source, o Options) (*Exporter, error) {
	e := &Exporter{timeout: cmp.Or(o.Timeout, 5*time.Second), mux: http.NewServeMux()}
	names := make(map[string]bool)
	for _, s := range sources {
		switch {
		case s.Client == nil:
			return nil, fmt.Errorf("export: source %q has no client", s.Name)
		case s.Name == "" || names[s.Name]:
			return nil, fmt.Errorf("export: source name %q is empty or used twice", s.Name)
		}
		names[s.Name] = true
		e.sources = append(e.sources, &source{Source: s, maxAge: cmp.Or(o.MaxAge, time.Second), timeout: e.timeout})
	}
	registry := prometheus.NewRegistry()
	if err := registry.Register(collector{e}); err != nil {
		return nil, err
	}
	e.mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	e.mux.HandleFunc("GET /healthz", e.health)
	e.mux.HandleFunc("GET /api/v1/queues", e.listQueues)
	e.mux.HandleFunc("GET /api/v1/queues/{queue}", e.showQueue)
	return e, nil
}

// ServeHTTP serves /metrics, /healthz, /api/v1/queues and /api/v1/queues/NAME.
func (e *Exporter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	e.mux.ServeHTTP(w, r)
}

// source is a client, and the last figures of its queues.
type source struct {
	Source
	maxAge, timeout time.Duration

	mu   sync.Mutex
	last figures
}

// figures are those of all queues of a source at one moment.
type figures struct {
	queues    map[string]mq.Stats
	paused    map[string]bool
	consumers map[string][]mq.ConsumerReport // nil if the provider keeps none
	err       error                          // why queues are missing, or all of them
	at        time.Time
	took      time.Duration
}

// up reports whether the source has answered at all.
func (f *figures) up() bool { return f.err == nil || f.queues != nil }

// figures returns figures that are not older than maxAge. Concurrent callers wait for the
// same answer.
func (s *source) figures() figures {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.last.at) < s.maxAge {
		return s.last
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
	defer cancel()
	start := time.Now()
	f := s.ask(ctx)
	f.at, f.took = time.Now(), time.Since(start)
	s.last = f
	return f
}

func (s *source) ask(ctx context.Context) (f figures) {
	f.queues, f.err = s.stats(ctx)
	if !f.up() {
		return f
	}
	if all, err := s.Client.Paused(ctx); err == nil {
		f.paused = make(map[string]bool)
		for _, p := range all {
			f.paused[p.Queue] = true
		}
	} else if !errors.Is(err, mq.ErrNotSupported) {
		f.err = errors.Join(f.err, err)
	}
	if all, err := s.Client.Consumers(ctx, ""); err == nil {
		f.consumers = make(map[string][]mq.ConsumerReport)
		for _, r := range all {
			f.consumers[r.Queue] = append(f.consumers[r.Queue], r)
		}
	} else if !errors.Is(err, mq.ErrNotSupported) {
		f.err = errors.Join(f.err, err)
	}
	return f
}

// stats counts all queues, or those named where the provider cannot list them.
func (s *source) stats(ctx context.Context) (map[string]mq.Stats, error) {
	all, err := s.Client.StatsAll(ctx)
	if !errors.Is(err, mq.ErrNotSupported) {
		return all, err
	}
	all = make(map[string]mq.Stats)
	errs := []error{s.Client.Ping(ctx)} // there may be no names
	for _, name := range s.Queues {
		q := s.Client.Queue(name)
		st, err := q.Stats(ctx)
		if err == nil {
			all[q.Name()] = st
		}
		errs = append(errs, err)
	}
	if err = errors.Join(errs...); err != nil && len(all) == 0 {
		return nil, err
	}
	return all, err
}

// all asks all sources at once, and returns their figures in order.
func (e *Exporter) all() []figures {
	out := make([]figures, len(e.sources))
	var wg sync.WaitGroup
	for i, s := range e.sources {
		wg.Go(func() { out[i] = s.figures() })
	}
	wg.Wait()
	return out
}

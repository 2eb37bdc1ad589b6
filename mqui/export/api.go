package export

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/portmq/mq"
)

// Queue is the JSON of a queue. A figure that the provider does not know is null.
type Queue struct {
	Source   string `json:"source"`
	Provider string `json:"provider"`
	Queue    string `json:"queue"`

	// Work is how many messages need workers: Visible + Leased + Blocked, and 0 while the
	// queue is paused. Scale by it.
	Work     *int64 `json:"work"`
	Visible  *int64 `json:"visible"`
	Leased   *int64 `json:"leased"`
	Delayed  *int64 `json:"delayed"`
	Blocked  *int64 `json:"blocked"`
	Archived *int64 `json:"archived"`

	Sent *int64 `json:"sent"` // messages ever put into the queue
	Done *int64 `json:"done"` // messages that have left it

	LagSeconds       *float64 `json:"lagSeconds"`
	OldestAgeSeconds *float64 `json:"oldestAgeSeconds"`

	Paused    *bool     `json:"paused"`
	Consumers *int      `json:"consumers"` // that have reported lately
	Running   *int      `json:"running"`   // handlers, as consumers have reported
	At        time.Time `json:"at"`
}

// work is what the consumers of a queue have reported.
type work struct {
	consumers, running, held int
	longest                  time.Duration
}

func (f *figures) work(queue string) (w work) {
	for _, r := range f.consumers[queue] {
		w.consumers++
		w.running += r.Running
		w.held += r.Held
		for _, h := range r.Longest {
			w.longest = max(w.longest, h.For)
		}
	}
	return w
}

// queue returns the JSON of a queue.
func (s *source) queue(f *figures, name string, q mq.Stats) Queue {
	out := Queue{
		Source: s.Name, Provider: s.Client.Provider().Name(), Queue: name,
		Visible: known(q.Visible), Leased: known(q.Leased), Delayed: known(q.Delayed), Blocked: known(q.Blocked),
		Archived: known(q.Archived), Sent: known(q.TotalSent), Done: known(doneOf(q)),
		LagSeconds: seconds(q.Lag), OldestAgeSeconds: seconds(q.OldestAge),
		At: f.at.UTC(),
	}
	if f.paused != nil {
		out.Paused = new(f.paused[name])
	}
	if f.consumers != nil {
		w := f.work(name)
		out.Consumers, out.Running = &w.consumers, &w.running
	}
	switch {
	case f.paused[name]:
		out.Work = new(int64)
	case q.Visible >= 0:
		out.Work = new(q.Visible + max(0, q.Leased) + max(0, q.Blocked))
	}
	return out
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
	return new(d.Seconds())
}

// listQueues answers with all queues, sorted by source and name, and with the sources
// that could not be read.
func (e *Exporter) listQueues(w http.ResponseWriter, _ *http.Request) {
	out := struct {
		Queues []Queue           `json:"queues"`
		Errors map[string]string `json:"errors,omitempty"`
	}{Queues: []Queue{}, Errors: make(map[string]string)}
	for i, f := range e.all() {
		for name, q := range f.queues {
			out.Queues = append(out.Queues, e.sources[i].queue(&f, name, q))
		}
		if f.err != nil {
			out.Errors[e.sources[i].Name] = f.err.Error()
		}
	}
	slices.SortFunc(out.Queues, func(a, b Queue) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Queue, b.Queue))
	})
	answer(w, http.StatusOK, out)
}

// showQueue answers with one queue. The parameter source selects the source if several
// have a queue of that name.
func (e *Exporter) showQueue(w http.ResponseWriter, r *http.Request) {
	name, of := r.PathValue("queue"), r.URL.Query().Get("source")
	var found []Queue
	var errs []error
	for i, f := range e.all() {
		s := e.sources[i]
		if of != "" && s.Name != of {
			continue
		}
		q, ok := f.queues[s.Client.Queue(name).Name()]
		switch {
		case ok:
			found = append(found, s.queue(&f, s.Client.Queue(name).Name(), q))
		case f.err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", s.Name, f.err))
		}
	}
	switch {
	case len(found) == 1:
		answer(w, http.StatusOK, found[0])
	case len(found) > 1:
		fail(w, http.StatusConflict, errors.New("several sources have a queue of that name (say which: ?source=NAME)"))
	case len(errs) > 0: // it may be there
		fail(w, http.StatusServiceUnavailable, errors.Join(errs...))
	default:
		fail(w, http.StatusNotFound, mq.ErrQueueNotFound)
	}
}

// health pings all sources, and answers 503 if any of them is down.
func (e *Exporter) health(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), e.timeout)
	defer cancel()
	errs := make([]error, len(e.sources))
	var wg sync.WaitGroup
	for i, s := range e.sources {
		wg.Go(func() {
			if err := s.Client.Ping(ctx); err != nil {
				errs[i] = fmt.Errorf("%s: %w", s.Name, err)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		fail(w, http.StatusServiceUnavailable, err)
		return
	}
	answer(w, http.StatusOK, map[string]string{"status": "ok"})
}

func fail(w http.ResponseWriter, status int, err error) {
	answer(w, status, map[string]string{"error": err.Error()})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

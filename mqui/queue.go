package mqui

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/portmq/mq"
)

const (
	defaultLimit = 50
	maxLimit     = 200
	// sectionTimeout bounds each part of a page, so that the others are shown if one hangs.
	sectionTimeout = 4 * time.Second
)

// queueData is the page of one queue.
type queueData struct {
	Row           row
	Source, Queue string
	Can           *abilities
	Plots         []plot
	Tab           string
	Tabs          []tab
	List          list
	Reasons       *reasons
	Groups        *groups
	Consumers     *consumers
	Bindings      []string
	BindingsErr   string
	Job           *jobView // a redrive that runs
	Others        []string // queues to move to

	SearchBodies, SearchHeaders bool
}

// tab is one of the lists of a queue.
type tab struct {
	Name, Title, URL string
	Count            int64
	Current          bool

	state   mq.State
	archive bool
}

// target is the queue that a request names.
func (u *UI) target(r *http.Request) (*source, *mq.Queue, error) {
	s := u.byName[r.FormValue("source")]
	if s == nil {
		return nil, nil, notFound("there is no such source")
	}
	name := r.FormValue("queue")
	if name == "" {
		return nil, nil, badRequest("no queue is named")
	}
	return s, s.Client.Queue(name), nil
}

func (u *UI) queuePage(ctx context.Context, v viewer, r *http.Request) (*page, error) {
	s, q, err := u.target(r)
	if err != nil {
		return nil, err
	}
	d, err := u.queueFigures(ctx, s, q)
	if err != nil {
		return nil, err
	}
	d.tabs(r.FormValue("tab"))
	d.SearchBodies, d.SearchHeaders = u.opts.Bodies != ShowNever, u.opts.Headers != ShowNever && s.can.to(canHeaders)
	d.Others = s.sampler.names(q.Name())
	d.Job = u.jobs.running(s.Name, q.Name())
	if err := u.sections(ctx, v, r, s, q, d); err != nil {
		return nil, err
	}
	live := address("events", "page", "queue", "source", s.Name, "queue", q.Name())
	return &page{Template: "queue", Title: q.Name(), Data: d, Live: live}, nil
}

// queueFigures returns what the sampler knows, or asks for a queue that it does not count.
func (u *UI) queueFigures(ctx context.Context, s *source, q *mq.Queue) (*queueData, error) {
	d := &queueData{Source: s.Name, Queue: q.Name(), Can: s.can}
	var ok bool
	if d.Row, ok = s.sampler.find(q.Name()); !ok {
		ctx, cancel := context.WithTimeout(ctx, sectionTimeout)
		defer cancel()
		stats, err := q.Stats(ctx)
		switch {
		case errors.Is(err, mq.ErrQueueNotFound) || errors.Is(err, mq.ErrInvalid):
			return nil, err
		case err != nil:
			d.Row.Err = errorText(err)
		default:
			d.Row.Stats = stats
		}
	}
	d.Plots = plotsOf(s.sampler.points(q.Name()))
	return d, nil
}

// names returns the other queues of a source, sorted, as many as a form can offer.
func (s *sampler) names(but string) (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.queues {
		if name != but {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names[:min(len(names), 100)]
}

// tabs sets the lists that the provider can show, and which of them is open.
func (d *queueData) tabs(open string) {
	s := d.Row.Stats
	waiting := s.Visible
	if s.Visible >= 0 && s.Blocked > 0 {
		waiting += s.Blocked
	}
	d.Tabs = []tab{
		{Name: "waiting", Title: "Waiting", Count: waiting, state: mq.StateVisible},
		{Name: "delayed", Title: "Delayed", Count: s.Delayed, state: mq.StateDelayed},
		{Name: "leased", Title: "Leased", Count: s.Leased, state: mq.StateLeased},
		{Name: "all", Title: "All", Count: s.Total},
		{Name: "groups", Title: "Groups", Count: -1},
		{Name: "archive", Title: "Archive", Count: s.Archived, archive: true},
	}
	d.Tabs = slices.DeleteFunc(d.Tabs, func(t tab) bool { return !d.Can.Browse() || t.Name == "groups" && !d.Can.Groups() })
	i := slices.IndexFunc(d.Tabs, func(t tab) bool { return t.Name == open })
	if len(d.Tabs) == 0 {
		return
	}
	d.Tabs[max(i, 0)].Current = true
	d.Tab = d.Tabs[max(i, 0)].Name
	for i := range d.Tabs {
		d.Tabs[i].URL = address("queue", "source", d.Source, "queue", d.Queue, "tab", d.Tabs[i].Name)
	}
}

func (d *queueData) current() tab {
	i := slices.IndexFunc(d.Tabs, func(t tab) bool { return t.Current })
	if i < 0 {
		return tab{}
	}
	return d.Tabs[i]
}

// sections asks for all parts of the page at the same time. What fails or hangs is an
// error in its place, except that a queue which is not there has no page.
func (u *UI) sections(ctx context.Context, v viewer, r *http.Request, s *source, q *mq.Queue, d *queueData) error {
	ctx, cancel := context.WithTimeout(ctx, sectionTimeout)
	defer cancel()
	var wg sync.WaitGroup
	var listErr error
	switch t := d.current(); {
	case t.Name == "groups":
		wg.Go(func() { d.Groups = u.countGroups(ctx, s, q) })
	case t.Name != "":
		wg.Go(func() { listErr = u.list(ctx, v, r, q, t, d) })
	}
	if d.Tab == "archive" && s.can.to(canReasons) {
		wg.Go(func() { d.Reasons = u.countReasons(ctx, s, q) })
	}
	if s.can.to(canConsumers) {
		wg.Go(func() { d.Consumers = u.consumersOf(ctx, s, q) })
	}
	if s.can.to(canBindings) {
		wg.Go(func() {
			var err error
			d.Bindings, err = q.Bindings(ctx)
			if !errors.Is(s.can.learn(canBindings, err), mq.ErrNotSupported) {
				d.BindingsErr = errorText(err)
			}
		})
	}
	wg.Wait()
	switch {
	case errors.Is(listErr, mq.ErrQueueNotFound):
		return listErr
	case errors.Is(s.can.learn(canBrowse, listErr), mq.ErrNotSupported):
		d.tabs("")
	}
	return nil
}

// queueBlocks are the figures and plots of the page.
func (u *UI) queueBlocks(ctx context.Context, r *http.Request) (up update, err error) {
	s, q, err := u.target(r)
	if err != nil {
		return up, err
	}
	d, err := u.queueFigures(ctx, s, q)
	if err != nil {
		return up, err
	}
	return up, errors.Join(up.add("figures", "figures", d), up.add("plots", "plots", d))
}

// limitOf returns how many messages a list shows.
func limitOf(r *http.Request, c *mq.Client) int {
	n, err := strconv.Atoi(r.FormValue("n"))
	if err != nil || n < 1 {
		n = defaultLimit
	}
	return min(n, maxLimit, c.Caps().BatchLimit())
}

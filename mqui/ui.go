package mqui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/portmq/mq"
)

// Source is one client whose queues are shown.
type Source struct {
	// Name is the source's name on the pages and in their addresses. It must be unique
	// and not empty.
	Name string
	// Client belongs to the caller: UI.Close does not close it.
	Client *mq.Client
	// Queues are the queues to show if the provider cannot list them.
	Queues []string
	// Schedules, if set, are shown on a separate page.
	Schedules Schedules
	// Findings, if set, looks for problems of the backend, as mq doctor does. It is
	// called once a minute, with a ctx that ends after 30 seconds.
	Findings func(ctx context.Context) ([]Finding, error)
}

// Options configure a UI. The zero value shows everything except bodies and header values
// in lists, to everybody who reaches it by a loopback address or the address that the
// server listens on, and allows no actions.
type Options struct {
	// Authorize returns the role of a request. Nil is RoleLook for all.
	Authorize func(*http.Request) Role
	// User returns who makes a request, for the log and for the limit of one search at a
	// time. Defaults to CredentialUser. If it returns "" the remote address is used.
	User func(*http.Request) string
	// Logger gets a line for each action. Defaults to slog.Default().
	Logger *slog.Logger

	// Bodies and Headers say when message bodies and the values of headers are shown.
	// The headers of mq itself, such as the reason of a dead letter, are always shown.
	Bodies, Headers Show
	// Redact changes what is shown of a message: it may edit the body, the headers and
	// the group of r, which is a copy. It also gets records that have only a reason or an
	// error, from the counts of reasons and the reports of Consumers. Searches see only
	// what it leaves. It is called concurrently, and must return at once.
	Redact func(queue string, r *mq.Record)
	// TraceURL is the address of a trace, with {trace} in place of its ID, as in
	// https://traces.example.com/{trace}. The ID comes from the header traceparent.
	TraceURL string

	// Interval is how often queues are counted, at least a second. Defaults to 5 seconds.
	Interval time.Duration
	// Hosts are the names, without a port, under which the UI may be reached, besides
	// loopback addresses and the address that the server listens on. "*" allows all.
	Hosts []string
	// Prefix is stripped from the paths of requests, for a UI that is mounted without
	// http.StripPrefix.
	Prefix string
	// Version is shown at the bottom of each page.
	Version string
}

// Show says when something is shown.
type Show int8

// When bodies or header values are shown.
const (
	ShowOnClick Show = iota // on the page of a message, after a click
	ShowAlways              // in lists as well
	ShowNever               // never, and they cannot be searched
)

// UI serves the pages. It is safe for concurrent use.
type UI struct {
	opts    Options
	log     *slog.Logger
	trace   traceTemplate
	sources []*source
	byName  map[string]*source
	handler http.Handler

	flashes flashes
	scans   gate
	streams gate
	jobs    jobs
	changed broadcast // new figures

	ctx  context.Context // ends with Close
	stop context.CancelFunc

	mu   sync.Mutex // keeps work from growing after Close
	work sync.WaitGroup
}

// begin counts work that Close waits for, unless it has been called.
func (u *UI) begin() (end func(), ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ctx.Err() != nil {
		return nil, false
	}
	u.work.Add(1)
	return u.work.Done, true
}

// source is a Source, and its state.
type source struct {
	Source
	can      *abilities
	sampler  *sampler
	findings findings
}

// New returns a UI and starts to count the queues of its sources, until Close.
func New(sources []Source, o Options) (*UI, error) {
	u := &UI{
		opts: o, log: mq.GuardLogger(o.Logger), byName: make(map[string]*source),
		scans: gate{each: 1, all: maxScans}, streams: gate{each: maxViewerStreams, all: maxStreams},
	}
	if err := u.configure(sources); err != nil {
		return nil, err
	}
	u.ctx, u.stop = context.WithCancel(context.Background())
	u.handler = u.routes()
	for _, s := range u.sources {
		u.work.Go(func() { s.sampler.run(u.ctx) })
		go s.findings.run(u.ctx, s.Findings) // not waited for: it is the program's
	}
	return u, nil
}

// Handler is New for a UI that lives as long as the program. It panics if New returns an
// error.
func Handler(sources []Source, o Options) http.Handler {
	u, err := New(sources, o)
	if err != nil {
		panic(err)
	}
	return u
}

func (u *UI) configure(sources []Source) (err error) {
	o := &u.opts
	o.Interval = cmp.Or(o.Interval, 5*time.Second)
	switch {
	case len(sources) == 0:
		return errors.New("mqui: there are no sources")
	case o.Interval < time.Second:
		return fmt.Errorf("mqui: Interval %v is below a second", o.Interval)
	case o.Bodies < 0 || o.Bodies > ShowNever || o.Headers < 0 || o.Headers > ShowNever:
		return errors.New("mqui: Bodies or Headers is not a value of Show")
	case o.Prefix != "" && (o.Prefix[0] != '/' || strings.HasSuffix(o.Prefix, "/")):
		return fmt.Errorf("mqui: Prefix %q does not begin with a slash, or ends with one", o.Prefix)
	}
	if u.trace, err = parseTraceURL(o.TraceURL); err != nil {
		return err
	}
	for _, s := range sources {
		if err := u.add(s); err != nil {
			return err
		}
	}
	return nil
}

func (u *UI) add(s Source) error {
	switch {
	case s.Name == "" || u.byName[s.Name] != nil:
		return fmt.Errorf("mqui: the name %q of a source is empty or taken", s.Name)
	case s.Client == nil:
		return fmt.Errorf("mqui: source %q has no client", s.Name)
	}
	added := &source{Source: s, can: probe(s.Client)}
	added.sampler = newSampler(added, u.opts.Interval, &u.changed)
	u.sources = append(u.sources, added)
	u.byName[s.Name] = added
	return nil
}

// closeWait is how long Close waits for calls that do not heed the end of their context.
const closeWait = 10 * time.Second

// Close ends the counting, the event streams and the redrives under way, and waits for
// them, for up to 10 seconds. Later requests are answered with 503. It leaves the clients
// open.
func (u *UI) Close() error {
	u.mu.Lock()
	u.stop()
	u.mu.Unlock()
	done := make(chan struct{})
	go func() {
		u.work.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-time.After(closeWait):
		return errors.New("mqui: a call to a backend has not ended")
	}
}

// ServeHTTP serves one request.
func (u *UI) ServeHTTP(w http.ResponseWriter, r *http.Request) { u.handler.ServeHTTP(w, r) }

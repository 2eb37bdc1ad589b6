package mqui

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
)

// site is a UI with a client in memory, asked without a network.
type site struct {
	*UI
	t      *testing.T
	client *mq.Client
	log    *buffer
}

// buffer is a log that can be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func operate(*http.Request) Role { return RoleOperate }

// newSite returns a UI of queue "q" whose figures have been counted.
func newSite(t *testing.T, p driver.Provider, o Options, more ...Source) *site {
	t.Helper()
	if p == nil {
		p = mem.New()
	}
	s := &site{t: t, client: mq.New(p, mq.Config{Logger: slog.New(slog.DiscardHandler)}), log: &buffer{}}
	t.Cleanup(func() { s.client.Close() })
	o.Logger = slog.New(slog.NewTextHandler(s.log, nil))
	if _, err := s.client.EnsureQueue(t.Context(), "q", mq.QueueOptions{}); err != nil {
		t.Fatal(err)
	}
	var err error
	s.UI, err = New(append([]Source{{Name: "src", Client: s.client, Queues: []string{"q"}}}, more...), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ok(t, s.Close()) })
	s.sampled()
	return s
}

// sampled waits until every queue has figures.
func (s *site) sampled() {
	s.t.Helper()
	s.until("the first look", func() bool {
		m := s.sources[0].sampler
		m.mu.Lock()
		defer m.mu.Unlock()
		return !m.at.IsZero() || m.err != nil
	})
}

// until polls for a condition.
func (s *site) until(what string, done func() bool) {
	s.t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatal("still waiting for ", what)
		}
	}
}

// resample counts now.
func (s *site) resample() { s.sources[0].sampler.look(s.t.Context()) }

func (s *site) send(ms ...mq.Message) (ids []string) {
	s.t.Helper()
	for _, m := range ms {
		id, err := s.client.Queue("q").Send(s.t.Context(), &m)
		ok(s.t, err)
		ids = append(ids, id)
	}
	return ids
}

// dead sends messages and archives them.
func (s *site) dead(reason string, n int) (ids []string) {
	s.t.Helper()
	for range n {
		ids = append(ids, s.send(mq.Message{Body: []byte("dead")})...)
	}
	_, err := s.client.Queue("q").Override(s.t.Context(), ids, mq.Settlement{Op: mq.OpArchive, Reason: reason})
	ok(s.t, err)
	return ids
}

func (s *site) stats() mq.Stats {
	s.t.Helper()
	stats, err := s.client.Queue("q").Stats(s.t.Context())
	ok(s.t, err)
	return stats
}

func request(ctx context.Context, method, path string, form url.Values) *http.Request {
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r := httptest.NewRequestWithContext(ctx, method, path, body)
	r.Host = "localhost:8080"
	r.RemoteAddr = "192.0.2.7:1234"
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r
}

func (s *site) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// get returns a page, which must be there.
func (s *site) get(path string) string {
	s.t.Helper()
	w := s.do(request(s.t.Context(), "GET", path, nil))
	if w.Code != http.StatusOK {
		s.t.Fatalf("%s: status %d\n%s", path, w.Code, w.Body)
	}
	return w.Body.String()
}

// post acts, and returns what the next page says.
func (s *site) post(act string, pairs ...string) string {
	s.t.Helper()
	form := url.Values{"source": {"src"}, "queue": {"q"}}
	for i := 0; i < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	w := s.do(request(s.t.Context(), "POST", "/act/"+act, form))
	if w.Code != http.StatusSeeOther {
		s.t.Fatalf("%s: status %d\n%s", act, w.Code, w.Body)
	}
	page := s.get("/" + strings.TrimPrefix(strings.TrimPrefix(w.Header().Get("Location"), "../"), "./"))
	said := regexp.MustCompile(`<p class="flash[^>]*>(.*)</p>`).FindStringSubmatch(page)
	if said == nil {
		s.t.Fatalf("%s: the page says nothing", act)
	}
	return said[1]
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in\n%s", part, text)
		}
	}
}

func lacks(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if strings.Contains(text, part) {
			t.Errorf("%q is in\n%s", part, text)
		}
	}
}

// hanging is a provider in memory some of whose calls hang until their context ends.
type hanging struct {
	*mem.Provider
	mu  sync.Mutex
	ops map[string]bool
}

func newHanging(ops ...string) *hanging {
	h := &hanging{Provider: mem.New(), ops: make(map[string]bool)}
	h.set(true, ops...)
	return h
}

func (h *hanging) set(hang bool, ops ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, op := range ops {
		h.ops[op] = hang
	}
}

func (h *hanging) hang(ctx context.Context, op string) error {
	h.mu.Lock()
	hangs := h.ops[op]
	h.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (h *hanging) AllStats(ctx context.Context) (map[string]driver.Stats, error) {
	if err := h.hang(ctx, "stats"); err != nil {
		return nil, err
	}
	return h.Provider.AllStats(ctx)
}

func (h *hanging) Stats(ctx context.Context, queue string) (driver.Stats, error) {
	if err := h.hang(ctx, "stats"); err != nil {
		return driver.Stats{}, err
	}
	return h.Provider.Stats(ctx, queue)
}

func (h *hanging) Browse(ctx context.Context, queue string, r driver.BrowseRequest) ([]driver.Record, error) {
	if err := h.hang(ctx, "browse"); err != nil {
		return nil, err
	}
	return h.Provider.Browse(ctx, queue, r)
}

func (h *hanging) CountReasons(ctx context.Context, queue string, scan int) ([]driver.ReasonCount, int64, error) {
	if err := h.hang(ctx, "reasons"); err != nil {
		return nil, 0, err
	}
	return h.Provider.CountReasons(ctx, queue, scan)
}

func (h *hanging) Consumers(ctx context.Context, queue string) ([]driver.ConsumerReport, error) {
	if err := h.hang(ctx, "consumers"); err != nil {
		return nil, err
	}
	return h.Provider.Consumers(ctx, queue)
}

func (h *hanging) Redrive(ctx context.Context, queue string, ids []string, limit int) (int64, error) {
	if err := h.hang(ctx, "redrive"); err != nil {
		return 0, err
	}
	return h.Provider.Redrive(ctx, queue, ids, limit)
}

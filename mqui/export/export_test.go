package export

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/drivers/rabbitstub"
)

// filled returns a client with queue orders: one message leased, two visible, one delayed
// and one archived.
func filled(t *testing.T, p mq.Provider) *mq.Client {
	t.Helper()
	c := mq.New(p, mq.Config{})
	t.Cleanup(func() { _ = c.Close() })
	ctx := t.Context()
	q, err := c.EnsureQueue(ctx, "orders", mq.QueueOptions{})
	must(t, err)
	for range 4 {
		_, err = q.Send(ctx, &mq.Message{Body: []byte("secret body"), Headers: mq.Headers{"k": "secret header"}})
		must(t, err)
	}
	_, err = q.Send(ctx, &mq.Message{Delay: time.Hour})
	must(t, err)
	ds, err := q.Receive(ctx, mq.ReceiveOptions{Max: 2})
	must(t, err)
	must(t, ds[0].Archive(ctx, "secret reason"))
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func exporter(t *testing.T, o Options, sources ...Source) *Exporter {
	t.Helper()
	e, err := New(sources, o)
	must(t, err)
	return e
}

// get returns the status and the body of a page.
func get(e http.Handler, path string) (int, string) {
	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

// has checks that there is a line.
func has(t *testing.T, text string, lines ...string) {
	t.Helper()
	all := strings.Split(text, "\n")
	for _, line := range lines {
		if !slices.Contains(all, line) {
			t.Errorf("there is no line %q in\n%s", line, text)
		}
	}
}

func TestMetrics(t *testing.T) {
	c := filled(t, mem.New())
	must(t, c.Queue("orders").Pause(t.Context(), "secret pause"))
	e := exporter(t, Options{}, Source{Name: "shop", Client: c})
	status, text := get(e, "/metrics")
	if status != http.StatusOK || strings.Contains(text, "secret") {
		t.Errorf("status %d, or a secret in\n%s", status, text)
	}
	has(t, text,
		`mq_up{provider="mem",source="shop"} 1`,
		`mq_queue_messages{queue="orders",source="shop",state="visible"} 2`,
		`mq_queue_messages{queue="orders",source="shop",state="leased"} 1`,
		`mq_queue_messages{queue="orders",source="shop",state="delayed"} 1`,
		`mq_queue_messages{queue="orders",source="shop",state="blocked"} 0`,
		`mq_queue_archived_messages{queue="orders",source="shop"} 1`,
		`mq_queue_sent_messages_total{queue="orders",source="shop"} 5`,
		`mq_queue_done_messages_total{queue="orders",source="shop"} 1`,
		`mq_queue_paused{queue="orders",source="shop"} 1`,
		`mq_queue_consumers{queue="orders",source="shop"} 0`,
		`mq_scrape_error{source="shop"} 0`,
	)
}

// The name of a source may come from that of a file, in any encoding.
func TestMetricsNotUTF8(t *testing.T) {
	status, text := get(exporter(t, Options{}, Source{Name: "s\xff", Client: filled(t, mem.New())}), "/metrics")
	if status != http.StatusOK {
		t.Errorf("status %d: %s", status, text)
	}
	has(t, text, "mq_up{provider=\"mem\",source=\"s\ufffd\"} 1")
}

// What consumers have reported is exported, and so is an empty queue.
func TestMetricsOfConsumers(t *testing.T) {
	p := mem.New()
	c := filled(t, p)
	must(t, p.Report(t.Context(), driver.ConsumerReport{
		ID: "1", Queue: "orders", Running: 3, Held: 5, Longest: []driver.HeldMessage{{ID: "1", For: time.Minute}, {ID: "2", For: time.Second}},
	}, time.Hour))
	must(t, p.Report(t.Context(), driver.ConsumerReport{ID: "2", Queue: "orders", Running: 1, Held: 1}, time.Hour))
	_, err := c.EnsureQueue(t.Context(), "empty", mq.QueueOptions{})
	must(t, err)
	_, text := get(exporter(t, Options{}, Source{Name: "shop", Client: c}), "/metrics")
	has(t, text,
		`mq_queue_consumers{queue="orders",source="shop"} 2`,
		`mq_queue_running_handlers{queue="orders",source="shop"} 4`,
		`mq_queue_held_messages{queue="orders",source="shop"} 6`,
		`mq_queue_longest_held_seconds{queue="orders",source="shop"} 60`,
		`mq_queue_messages{queue="empty",source="shop",state="visible"} 0`,
		`mq_queue_lag_seconds{queue="empty",source="shop"} 0`,
	)
	if strings.Contains(text, `mq_queue_oldest_age_seconds{queue="empty"`) {
		t.Errorf("an empty queue has an oldest message:\n%s", text)
	}
}

// A provider that cannot list its queues, and keeps neither pauses nor reports, exports
// the queues that are named.
func TestMetricsOfNamedQueues(t *testing.T) {
	p := rabbitstub.New()
	c := mq.New(unlisted{p}, mq.Config{})
	defer c.Close()
	_, err := c.EnsureQueue(t.Context(), "orders", mq.QueueOptions{})
	must(t, err)
	_, text := get(exporter(t, Options{}, Source{Name: "bus", Client: c, Queues: []string{"orders"}}), "/metrics")
	has(t, text, `mq_up{provider="rabbitstub",source="bus"} 1`, `mq_queue_messages{queue="orders",source="bus",state="visible"} 0`)
	if strings.Contains(text, "mq_queue_paused{") || strings.Contains(text, "mq_queue_consumers{") {
		t.Errorf("there are figures that the provider does not have:\n%s", text)
	}
	_, text = get(exporter(t, Options{}, Source{Name: "bus", Client: c, Queues: []string{"orders", "missing"}}), "/metrics")
	has(t, text, `mq_up{provider="rabbitstub",source="bus"} 1`, `mq_scrape_error{source="bus"} 1`)
}

// unlisted cannot list its queues.
type unlisted struct{ mq.Provider }

// down is a provider that fails or hangs, as its error says.
type down struct {
	*mem.Provider
	err error // nil: it hangs
}

func (d *down) answer(ctx context.Context) error {
	if d.err != nil {
		return d.err
	}
	<-ctx.Done()
	return ctx.Err()
}

func (d *down) ListQueues(ctx context.Context) ([]string, error) { return nil, d.answer(ctx) }
func (d *down) Ping(ctx context.Context) error                   { return d.answer(ctx) }

// A source that is down, or hangs, is reported, and the others are.
func TestDown(t *testing.T) {
	for name, err := range map[string]error{"fails": driver.ErrUnavailable, "hangs": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				broken := mq.New(&down{mem.New(), err}, mq.Config{})
				defer broken.Close()
				e := exporter(t, Options{}, Source{Name: "broken", Client: broken}, Source{Name: "shop", Client: filled(t, mem.New())})
				begin := time.Now()
				status, text := get(e, "/metrics")
				if took := time.Since(begin); status != http.StatusOK || took > 6*time.Second {
					t.Errorf("status %d after %v", status, took)
				}
				has(t, text,
					`mq_up{provider="mem",source="broken"} 0`, `mq_scrape_error{source="broken"} 1`,
					`mq_up{provider="mem",source="shop"} 1`, `mq_queue_messages{queue="orders",source="shop",state="visible"} 2`,
				)
				for path, want := range map[string]int{
					"/healthz": 503, "/api/v1/queues": 200, "/api/v1/queues/orders": 200, "/api/v1/queues/orders?source=shop": 200,
					"/api/v1/queues/other": 503, "/api/v1/queues/other?source=shop": 404,
				} {
					if status, text := get(e, path); status != want {
						t.Errorf("%s: status %d, want %d: %s", path, status, want, text)
					}
				}
			})
		})
	}
}

// Many scrapers cost no more than one.
func TestScrapersShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &counting{Provider: mem.New()}
		e := exporter(t, Options{}, Source{Name: "shop", Client: filled(t, p)})
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { get(e, "/metrics") })
		}
		wg.Wait()
		if p.n != 1 {
			t.Errorf("the queues were counted %d times, want once", p.n)
		}
		time.Sleep(2 * time.Second)
		get(e, "/metrics")
		if p.n != 2 {
			t.Errorf("after two seconds they were counted %d times, want twice", p.n)
		}
	})
}

type counting struct {
	*mem.Provider
	mu sync.Mutex
	n  int
}

func (c *counting) AllStats(ctx context.Context) (map[string]driver.Stats, error) {
	c.mu.Lock()
	c.n++
	c.mu.Unlock()
	return c.Provider.AllStats(ctx)
}

// The JSON of a queue is what an autoscaler reads.
func TestQueue(t *testing.T) {
	c := filled(t, mem.New())
	e := exporter(t, Options{MaxAge: time.Nanosecond}, Source{Name: "shop", Client: c})
	read := func() (q Queue) {
		t.Helper()
		status, text := get(e, "/api/v1/queues/Orders")
		if status != http.StatusOK {
			t.Fatalf("status %d: %s", status, text)
		}
		must(t, json.Unmarshal([]byte(text), &q))
		return q
	}
	q := read()
	if q.Source != "shop" || q.Queue != "orders" || *q.Work != 3 || *q.Visible != 2 || *q.Leased != 1 || *q.Done != 1 || *q.Paused || *q.Consumers != 0 || *q.LagSeconds < 0 {
		t.Errorf("the queue is %+v", q)
	}
	must(t, c.Queue("orders").Pause(t.Context(), ""))
	if q = read(); *q.Work != 0 || *q.Visible != 2 || !*q.Paused {
		t.Errorf("the paused queue is %+v, want no work", q)
	}
}

// Two sources may have queues of the same name.
func TestQueueOfTwoSources(t *testing.T) {
	e := exporter(t, Options{}, Source{Name: "a", Client: filled(t, mem.New())}, Source{Name: "b", Client: filled(t, mem.New())})
	for path, want := range map[string]int{
		"/api/v1/queues/orders": 409, "/api/v1/queues/orders?source=a": 200, "/api/v1/queues/orders?source=c": 404,
		"/api/v1/queues/none": 404, "/api/v1/queues/%20": 404, "/api/v1/queues/": 404, "/healthz": 200, "/other": 404,
	} {
		if status, text := get(e, path); status != want {
			t.Errorf("%s: status %d, want %d: %s", path, status, want, text)
		}
	}
	_, text := get(e, "/api/v1/queues")
	if strings.Count(text, `"queue":"orders"`) != 2 || strings.Index(text, `"a"`) > strings.Index(text, `"b"`) {
		t.Errorf("the queues are %s", text)
	}
}

// Nothing can be written.
func TestReadOnly(t *testing.T) {
	e := exporter(t, Options{}, Source{Name: "a", Client: filled(t, mem.New())})
	for _, path := range []string{"/metrics", "/healthz", "/api/v1/queues", "/api/v1/queues/orders"} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
			w := httptest.NewRecorder()
			e.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader("x")))
			if w.Code != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: status %d", method, path, w.Code)
			}
		}
	}
}

func TestNewInvalid(t *testing.T) {
	c := filled(t, mem.New())
	for name, sources := range map[string][]Source{
		"no client": {{Name: "a"}},
		"no name":   {{Client: c}},
		"twice":     {{Name: "a", Client: c}, {Name: "a", Client: c}},
	} {
		if _, err := New(sources, Options{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	srv := httptest.NewServer(exporter(t, Options{}))
	defer srv.Close()
	resp, err := http.Get(srv.URL + "/healthz")
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		t.Errorf("without sources: %d %s", resp.StatusCode, text)
	}
}

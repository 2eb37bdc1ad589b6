package mqui

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq"
)

// open opens a stream over a network.
func (s *site) open(path string) (*http.Response, *bufio.Scanner) {
	s.t.Helper()
	server := httptest.NewServer(s)
	s.t.Cleanup(server.Close)
	s.t.Cleanup(server.CloseClientConnections)
	r, err := http.NewRequestWithContext(s.t.Context(), "GET", server.URL+path, nil)
	ok(s.t, err)
	res, err := server.Client().Do(r)
	ok(s.t, err)
	s.t.Cleanup(func() { _ = res.Body.Close() })
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	return res, lines
}

// next returns the next update of a stream.
func next(t *testing.T, lines *bufio.Scanner) (up update) {
	t.Helper()
	for lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			if err := json.Unmarshal([]byte(data), &up); err != nil {
				t.Fatal(err)
			}
			return up
		}
	}
	t.Fatal("the stream has ended: ", lines.Err())
	return up
}

// TestStream sends all rows at first, and then those that have changed.
func TestStream(t *testing.T) {
	s := newSite(t, nil, Options{Interval: time.Hour})
	_, err := s.client.EnsureQueue(t.Context(), "idle", mq.QueueOptions{})
	ok(t, err)
	s.resample()
	s.resample()
	res, lines := s.open("/events?page=overview")
	equal(t, "type", res.Header.Get("Content-Type"), "text/event-stream")
	first := next(t, lines)
	equal(t, "rows", len(first.Order), 2)
	row := elementID("src", "q")
	contains(t, first.HTML[row], `data-label="Waiting"><i>0</i><`)
	s.send(mq.Message{})
	s.resample()
	up := next(t, lines)
	contains(t, up.HTML[row], `data-label="Waiting">1<`)
	equal(t, "rows that have not changed", up.HTML[elementID("src", "idle")], "")
	equal(t, "first", up.Order[0], row)
}

func TestStreamOfQueue(t *testing.T) {
	s := newSite(t, nil, Options{Interval: time.Hour})
	_, lines := s.open("/events?page=queue&source=src&queue=q")
	up := next(t, lines)
	contains(t, up.HTML["figures"], "Waiting")
	contains(t, up.HTML["plots"], "<svg")
}

// TestStreamEnds with Close, which waits for it.
func TestStreamEnds(t *testing.T) {
	s := newSite(t, nil, Options{})
	res, lines := s.open("/events?page=overview")
	next(t, lines)
	ok(t, s.Close())
	_, err := io.Copy(io.Discard, res.Body)
	ok(t, err)
	equal(t, "streams", s.streams.count, 0)
}

func TestStreamsAreBounded(t *testing.T) {
	s := newSite(t, nil, Options{})
	for range maxViewerStreams {
		if !s.streams.enter("192.0.2.7") {
			t.Fatal("the gate is closed")
		}
	}
	equal(t, "one more", s.do(request(t.Context(), "GET", "/events?page=overview", nil)).Code, http.StatusServiceUnavailable)
	equal(t, "unknown", s.do(request(t.Context(), "GET", "/events?page=none", nil)).Code, http.StatusNotFound)
	equal(t, "inside", s.streams.count, maxViewerStreams)
}

// stalled is a client that does not read.
type stalled struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

func (s *stalled) SetWriteDeadline(t time.Time) error {
	s.deadline = t
	return nil
}

func (s *stalled) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestStreamStalls(t *testing.T) {
	s := newSite(t, nil, Options{})
	w := &stalled{ResponseRecorder: httptest.NewRecorder()}
	s.ServeHTTP(w, request(t.Context(), "GET", "/events?page=overview", nil)) // returns
	if w.deadline.IsZero() {
		t.Error("writes have no deadline")
	}
}

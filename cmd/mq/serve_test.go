package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portmq/mq"
)

// errorOutput is one that is read while it is written.
type errorOutput struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *errorOutput) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *errorOutput) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// served is a command that serves HTTP.
type served struct {
	*testing.T
	url    string
	screen *errorOutput
	stop   func() int // ends it, and returns the exit code
}

// serve runs a command until the end of the test, and returns when it listens.
func (d *desk) serve(args ...string) *served {
	d.Helper()
	a, _, _ := d.app()
	s := &served{T: d.T, screen: new(errorOutput)}
	a.stderr = s.screen
	ctx, cancel := context.WithCancel(d.Context())
	code := make(chan int, 1)
	go func() { code <- a.run(ctx, append(args, "-listen", "127.0.0.1:0")) }()
	s.stop = sync.OnceValue(func() int { cancel(); return <-code })
	d.Cleanup(func() { s.stop() })
	for end := time.Now().Add(time.Minute); s.url == ""; time.Sleep(5 * time.Millisecond) {
		s.url = regexp.MustCompile(`http://[0-9.:]+`).FindString(s.screen.String())
		select {
		case c := <-code:
			code <- c // for stop
			d.Fatalf("mq %q: exit code %d\n%s", args, c, s.screen)
		default:
			if time.Now().After(end) {
				d.Fatalf("mq %q does not listen\n%s", args, s.screen)
			}
		}
	}
	return s
}

// ask makes a request, and returns the status and the body.
func (s *served) ask(method, path string, change func(*http.Request)) (int, string) {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), method, s.url+path, nil)
	if err != nil {
		s.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// gets checks that a page is there and contains a text.
func (s *served) gets(path, want string) {
	s.Helper()
	if status, body := s.ask(http.MethodGet, path, nil); status != http.StatusOK || !strings.Contains(body, want) {
		s.Errorf("%s: status %d, want %q in\n%s", path, status, want, body)
	}
}

func TestExport(t *testing.T) {
	d := newDesk(t, "mem")
	d.send(text("1"), text("2"))
	s := d.serve("export")
	s.gets("/metrics", `mq_queue_messages{queue="w",source="testexport",state="visible"} 2`)
	s.gets("/api/v1/queues/w", `"work":2`)
	s.gets("/healthz", "ok")
	if code := s.stop(); code != exitOK {
		t.Errorf("exit code %d\n%s", code, s.screen)
	}
}

// The page shows the queues of all providers, and what mq export serves beside them.
func TestUI(t *testing.T) {
	d := newDesk(t, "mem")
	d.send(text("1"))
	other, err := mq.Open("mem://testui-other")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.EnsureQueue(t.Context(), "elsewhere", mq.QueueOptions{}); err != nil {
		t.Fatal(err)
	}
	s := d.serve("ui", "-dsn", d.dsn, "-dsn", "mem://testui-other")
	s.gets("/", "elsewhere")
	s.gets("/queue?source=testui&queue=w", "<h1")
	s.gets("/metrics", `mq_up{provider="mem",source="testui-other"} 1`)
	if code := s.stop(); code != exitOK {
		t.Errorf("exit code %d\n%s", code, s.screen)
	}
}

// Requests for other hosts, without a credential or for an act are refused.
func TestServeRefuses(t *testing.T) {
	d := newDesk(t, "mem")
	file := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(file, []byte("anna:correct horse\na-token-of-metrics\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	open, shut := d.serve("ui"), d.serve("export", "-credentials", file, "-host", "mq.example.com")
	from := func(host string) func(*http.Request) { return func(r *http.Request) { r.Host = host } }
	for _, tt := range []struct {
		s            *served
		method, path string
		change       func(*http.Request)
		want         int
	}{
		{open, "GET", "/", nil, 200},
		{open, "GET", "/", from("evil.example.com"), 403},
		{open, "GET", "/metrics", from("evil.example.com"), 403},
		{open, "GET", "/", from("localhost"), 200},
		{open, "POST", "/act/pause?source=testserverefuses&queue=w", nil, 403},
		{shut, "GET", "/metrics", nil, 401},
		{shut, "GET", "/metrics", func(r *http.Request) { r.SetBasicAuth("anna", "correct horse") }, 200},
		{shut, "GET", "/metrics", func(r *http.Request) { r.Header.Set("Authorization", "Bearer a-token-of-metrics") }, 200},
		{shut, "GET", "/api/v1/queues", func(r *http.Request) { r.Host = "mq.example.com"; r.SetBasicAuth("anna", "correct horse") }, 200},
		{shut, "GET", "/healthz", func(r *http.Request) { r.SetBasicAuth("anna", "wrong") }, 401},
	} {
		if status, body := tt.s.ask(tt.method, tt.path, tt.change); status != tt.want {
			t.Errorf("%s %s: status %d, want %d: %s", tt.method, tt.path, status, tt.want, body)
		}
	}
	if paused, err := d.client.Paused(t.Context()); err != nil || len(paused) > 0 {
		t.Errorf("paused: %v, %v", paused, err)
	}
}

// What is wrong is said before anything is served.
func TestServeFails(t *testing.T) {
	d := newDesk(t, "mem")
	d.fails(exitUsage, "needs credentials", "ui", "-listen", ":0")
	d.fails(exitUsage, "needs credentials", "export", "-listen", "0.0.0.0:0")
	d.fails(exitFailure, "credentials", "ui", "-listen", ":0", "-credentials", filepath.Join(t.TempDir(), "none"))
	d.fails(exitFailure, "no credentials", "export", "-credentials", "env:NONE")
	d.fails(exitUsage, "-bodies", "ui", "-bodies", "sometimes")
	d.fails(exitUsage, "-dsn is empty", "ui", "-dsn", "")
	d.fails(exitUsage, "one provider in memory", "ui", "-demo", "-dsn", "rabbitstub://")
	d.fails(exitUsage, "one provider in memory", "ui", "-demo", "-dsn", "mem://", "-dsn", "mem://")
	d.fails(exitFailure, "trace", "ui", "-trace", "javascript:alert(1)")
	busy := d.serve("export")
	d.fails(exitFailure, "in use", "export", "-listen", strings.TrimPrefix(busy.url, "http://"))
}

// A provider is named by what is no secret of its DSN.
func TestOriginName(t *testing.T) {
	for dsn, want := range map[string]string{
		"pgmq://app:secret@db/shop?sslmode=require": "shop",
		"pgmq://app:secret@db":                      "db",
		"sqlite:///var/lib/app/queue.db":            "queue.db",
		"sqlite://queue.db":                         "queue.db",
		"mem://":                                    "mem",
		"mem://demo":                                "demo",
		"rabbitmq://u:secret@h/":                    "h",
		"rabbitmq://u:secret@h/%2Fteam":             "team",
		"pgmq://app:%zz@db/shop":                    "queues",
	} {
		if got := originName(dsn); got != want {
			t.Errorf("%s is called %q, want %q", dsn, got, want)
		}
	}
}

func TestUIDemo(t *testing.T) {
	d := newDesk(t, "mem")
	s := d.serve("ui", "-demo", "-dsn", "mem://testuidemo")
	s.gets("/", "payments")
	if code := s.stop(); code != exitOK {
		t.Errorf("exit code %d\n%s", code, s.screen)
	}
}

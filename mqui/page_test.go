package mqui

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/rabbitstub"
)

// maxPage is how much a page may transfer, with its style and script.
const maxPage = 60_000

// transferred returns the size of an answer as a browser gets it.
func (s *site) transferred(path string) int {
	r := request(s.t.Context(), "GET", path, nil)
	r.Header.Set("Accept-Encoding", "gzip")
	return s.do(r).Body.Len()
}

// TestPageSize needs the largest pages there are to be small.
func TestPageSize(t *testing.T) {
	s := newSite(t, nil, Options{Authorize: operate, Bodies: ShowAlways, Headers: ShowAlways, Interval: time.Hour})
	for i := range 500 {
		_, err := s.client.EnsureQueue(t.Context(), fmt.Sprintf("tenant_%d_of_the_shop", i*7919), mq.QueueOptions{})
		ok(t, err)
	}
	history := &s.sources[0].sampler.queues
	s.resample()
	for name, q := range *history {
		sent := int64(0)
		for i := range 181 {
			n := rand.Int64N(1000)
			sent += rand.Int64N(5000)
			q.history.add(time.Now().Add(time.Duration(i-181)*5*time.Second), mq.Stats{TotalSent: sent, Total: n, Visible: n}, 181)
		}
		q.stats = mq.Stats{Visible: rand.Int64N(1e9), Leased: rand.Int64N(1e4), Archived: rand.Int64N(1e6), Lag: time.Duration(len(name)) * time.Hour}
	}
	for i := range 300 {
		body := fmt.Sprintf(`{"id":%d,"customer":"c%x","note":"%x"}`, i, i*104729, strings.Repeat(fmt.Sprint(i*31), 20))
		s.send(mq.Message{Body: []byte(body), Group: fmt.Sprint("g", i*7919), Headers: mq.Headers{"traceparent": fmt.Sprintf("00-%032x-%016x-01", i*104729, i)}})
	}
	s.dead("one of many reasons", 1)
	assets := s.transferred("/static/"+styleName) + s.transferred("/static/"+scriptName)
	for _, path := range []string{
		"/", "/?n=4", "/queue?source=src&queue=q&n=200", "/queue?source=src&queue=q&tab=archive", "/queue?source=src&queue=q&tab=groups",
		"/message?source=src&queue=q&id=7",
	} {
		n := s.transferred(path)
		t.Logf("%s: %d bytes, and %d of style and script", path, n, assets)
		if n+assets > maxPage {
			t.Errorf("%s: %d bytes and %d of style and script", path, n, assets)
		}
	}
	equal(t, "rows", strings.Count(s.get("/"), "<tr id="), overviewRows)
	equal(t, "rows of the last page", strings.Count(s.get("/?n=5"), "<tr id="), 1)
}

// TestPageStructure holds what screen readers and the policy need.
func TestPageStructure(t *testing.T) {
	schedules := fakeSchedules{{Name: "nightly", Spec: "@daily", Queue: "q", Next: time.Now()}}
	s := newSite(t, nil, Options{Authorize: operate, Bodies: ShowAlways, Headers: ShowAlways})
	s.sources[0].Schedules = schedules
	for _, path := range append(s.paths(), "/schedules?source=src", "/?filter=none") {
		page := s.get(path)
		equal(t, path+": h1", strings.Count(page, "<h1"), 1)
		equal(t, path+": main", strings.Count(page, "<main"), 1)
		checkMarkup(t, path, page)
		checkLabels(t, path, page)
		checkIDs(t, path, page)
	}
}

// checkLabels wants a name for each field.
func checkLabels(t *testing.T, path, page string) {
	t.Helper()
	labelled := regexp.MustCompile(`(?s)<label>.*?</label>`)
	for _, field := range regexp.MustCompile(`<(input|select|textarea)[^>]*>`).FindAllString(labelled.ReplaceAllString(page, ""), -1) {
		if !strings.Contains(field, `type="hidden"`) && !strings.Contains(field, "aria-label=") {
			t.Errorf("%s: %s has no label", path, field)
		}
	}
}

func checkIDs(t *testing.T, path, page string) {
	t.Helper()
	seen := make(map[string]bool)
	for _, id := range regexp.MustCompile(`<[^>]* id="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if seen[id[1]] {
			t.Errorf("%s: two elements have the id %s", path, id[1])
		}
		seen[id[1]] = true
	}
}

// TestLookersSeeNoForms draws no act for who may not act.
func TestLookersSeeNoForms(t *testing.T) {
	s := newSite(t, nil, Options{})
	for _, path := range s.paths() {
		for _, form := range regexp.MustCompile(`<form[^>]*method="post"[^>]*>`).FindAllString(s.get(path), -1) {
			if !strings.Contains(form, `class="picked"`) {
				t.Errorf("%s: %s", path, form)
			}
		}
		lacks(t, s.get(path), "<button class=\"danger\"", "checkbox")
	}
}

// TestLittleSupported is a provider that can do little: nothing else is drawn, and nothing
// ends in a fault of the server.
func TestLittleSupported(t *testing.T) {
	s := newSite(t, rabbitstub.New(), Options{Authorize: operate})
	s.send(mq.Message{Body: []byte("x")})
	s.resample()
	page := s.get("/")
	contains(t, page, "cannot list its queues", `data-label="Waiting">1<`, `data-label="Leased"><i>-</i><`)
	page = s.get("/queue?source=src&queue=q")
	contains(t, page, "cannot show messages", "act/send", "act/purge", "act/drop", "act/bind")
	lacks(t, page, "act/pause", "act/redrive", "act/archive", "act/purge-archive", "Consumers", "tab=")
	contains(t, s.get("/topics?source=src"), "cannot list its bindings")
	for _, path := range []string{"/message?source=src&queue=q&id=1", "/queue?source=src&queue=q&tab=archive&text=x", "/schedules?source=src"} {
		if code := s.do(request(t.Context(), "GET", path, nil)).Code; code == http.StatusInternalServerError || code == http.StatusBadGateway {
			t.Errorf("%s: status %d", path, code)
		}
	}
	for _, a := range acts {
		if a.needs == noAbility || s.sources[0].can.to(a.needs) {
			continue
		}
		contains(t, s.post(a.name, "id", "1", "confirm", "q"), "cannot do that")
	}
}

// TestPaging walks through a queue from both ends, while messages come and go.
func TestPaging(t *testing.T) {
	s := newSite(t, nil, Options{})
	for range 25 {
		s.send(mq.Message{})
	}
	next := regexp.MustCompile(`id="next" rel="next" href="([^"#]*)`)
	id := regexp.MustCompile(`<th scope="row"><a href="message[^"]*">(\d+)</a>`)
	for newest, first := range map[string]string{"": "1", "&newest=1": "25"} {
		path, seen, pages := "/queue?source=src&queue=q&tab=waiting&n=10"+newest, []string{}, 0
		for path != "" {
			page := s.get(path)
			for _, m := range id.FindAllStringSubmatch(page, -1) {
				seen = append(seen, m[1])
			}
			path = ""
			if to := next.FindStringSubmatch(page); to != nil {
				path = "/" + strings.ReplaceAll(to[1], "&amp;", "&")
			}
			pages++
		}
		equal(t, "messages", len(seen), 25)
		equal(t, "first", seen[0], first)
		equal(t, "pages", pages, 3)
	}
}

func TestScanSaysHowFar(t *testing.T) {
	s := newSite(t, nil, Options{})
	for range maxScan + 5 {
		s.send(mq.Message{Body: []byte("hay")})
	}
	s.send(mq.Message{Body: []byte("needle")})
	s.resample()
	page := s.get("/queue?source=src&queue=q&tab=all&text=needle")
	contains(t, page, "Looked at 10,000 of ~10,006", "Continue the search", "Nothing found here")
	to := regexp.MustCompile(`id="next" rel="next" href="([^"#]*)`).FindStringSubmatch(page)[1]
	contains(t, s.get("/"+strings.ReplaceAll(to, "&amp;", "&")), "Looked at 6", "The end.", ">10006</a>")
	// A viewer has one search at a time.
	if !s.scans.enter("192.0.2.7") {
		t.Fatal("the gate is closed")
	}
	contains(t, s.get("/queue?source=src&queue=q&tab=all&text=needle"), "another search is still running")
	s.scans.leave("192.0.2.7")
}

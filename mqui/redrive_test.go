package mqui

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
)

// start begins a redrive and returns the address of its page.
func (s *site) start(pairs ...string) string {
	s.t.Helper()
	form := url.Values{"source": {"src"}, "queue": {"q"}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	w := s.do(request(s.t.Context(), "POST", "/act/redrive-all", form))
	to := w.Header().Get("Location")
	if w.Code != http.StatusSeeOther || !strings.HasPrefix(to, "../job?") {
		s.t.Fatal(w.Code, to, s.get("/"+strings.TrimPrefix(to, "../")))
	}
	return "/" + strings.TrimPrefix(to, "../")
}

// TestRedriveByReason brings back those with one reason, at a rate, and no more.
func TestRedriveByReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil, Options{Authorize: operate})
		s.dead("bank:\n500", 40)
		s.dead("declined", 7)
		s.dead("bank:\n500", 20)
		page := s.start("reason", reasonKey("bank:\n500"), "rate", "10", "total", "60")
		time.Sleep(3 * time.Second)
		if n := s.stats().Total; n < 20 || n > 40 {
			t.Errorf("%d messages came back in 3 s at 10/s", n)
		}
		contains(t, s.get(page), "of ~60", "Running.", "http-equiv=\"refresh\"")
		contains(t, s.get("/queue?source=src&queue=q"), "A redrive is running")
		contains(t, s.post("redrive-all"), "already running")
		time.Sleep(5 * time.Second)
		contains(t, s.get(page), "60 of ~60", "Done")
		equal(t, "messages", s.stats().Total, 60)
		equal(t, "archived", s.stats().Archived, 7)
		contains(t, s.log.String(), "redrive ended", "count=60")
		ok(t, s.Close())
		ok(t, s.client.Close())
	})
}

// TestRedriveEnds although everything that comes back is rejected at once.
func TestRedriveEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil, Options{Authorize: operate})
		s.dead("bad", 30)
		time.Sleep(time.Second)
		page := s.start("rate", "100")
		go func() {
			q := s.client.Queue("q")
			for range 100 {
				found, err := q.Peek(t.Context(), mq.BrowseOptions{})
				if err == nil && len(found) > 0 {
					_, _ = q.Override(t.Context(), []string{found[0].ID}, mq.Settlement{Op: mq.OpArchive, Reason: "bad"})
				}
				time.Sleep(10 * time.Millisecond)
			}
		}()
		time.Sleep(time.Minute)
		contains(t, s.get(page), "30 of ~30", "Done")
		ok(t, s.Close())
		ok(t, s.client.Close())
	})
}

func TestRedriveCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil, Options{Authorize: operate})
		s.dead("bad", 30)
		page := s.start("rate", "1")
		time.Sleep(2500 * time.Millisecond)
		_, id, _ := strings.Cut(page, "id=")
		id, _, _ = strings.Cut(id, "&")
		equal(t, "cancel", s.post("cancel", "job", id), "the redrive is being cancelled")
		time.Sleep(time.Second)
		contains(t, s.get(page), "Cancelled")
		for _, rate := range []string{"0", "1e-11", "1e9", "NaN", "x"} { // 1e-11: longer than a time.Duration
			contains(t, s.post("redrive-all", "rate", rate), "give the rate")
		}
		// Close ends what runs.
		page = s.start("rate", "1")
		ok(t, s.Close())
		equal(t, "closed", s.do(request(t.Context(), "GET", page, nil)).Code, http.StatusServiceUnavailable)
		if n := s.stats().Total; n > 5 {
			t.Errorf("%d messages came back", n)
		}
		ok(t, s.client.Close())
	})
}

// TestRedriveHangs ends with an error where the backend hangs.
func TestRedriveHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newHanging("redrive")
		s := newSite(t, p, Options{Authorize: operate})
		s.dead("bad", 3)
		page := s.start()
		time.Sleep(2 * actTimeout)
		contains(t, s.get(page), "Failed", "deadline exceeded")
		p.set(false, "redrive")
		page = s.start()
		time.Sleep(time.Second)
		contains(t, s.get(page), "3 of ~3", "Done")
		ok(t, s.Close())
		ok(t, s.client.Close())
	})
}

func TestJobsAreBounded(t *testing.T) {
	var js jobs
	for range 3 * keptJobs {
		j := &job{id: "x", queue: "q"}
		if !js.add(j) {
			t.Fatal("the job before has ended")
		}
		j.finish(nil)
	}
	equal(t, "jobs", len(js.all), keptJobs)
}

package mqui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/mqtest"
)

// broken is a provider whose Stats fail for one queue.
type broken struct{ *mem.Provider }

func (b broken) AllStats(ctx context.Context) (map[string]driver.Stats, error) {
	all, err := b.Provider.AllStats(ctx)
	delete(all, "bad")
	return all, err
}

func (b broken) Stats(ctx context.Context, queue string) (driver.Stats, error) {
	if queue == "bad" {
		return driver.Stats{}, errors.New("permission denied")
	}
	return b.Provider.Stats(ctx, queue)
}

// TestOneQueueFails shows the others.
func TestOneQueueFails(t *testing.T) {
	s := newSite(t, broken{mem.New()}, Options{})
	_, err := s.client.EnsureQueue(t.Context(), "bad", mq.QueueOptions{})
	ok(t, err)
	s.send(mq.Message{}, mq.Message{})
	s.resample()
	page := s.get("/")
	contains(t, page, "permission denied", `data-label="Waiting">2<`, `<span class="ok">up`)
}

// TestSourceDown shows the error and the last figures, and the other source. One that
// hangs must do no more harm than one that fails.
func TestSourceDown(t *testing.T) {
	for name, fault := range map[string]mqtest.Fault{
		"fails": {Op: "list", Err: driver.ErrBadConn},
		"hangs": {Op: "list", Delay: mq.Forever},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := mqtest.Faulty(mem.New())
			s := newSite(t, p, Options{}, Source{Name: "other", Client: mqtest.New(t)})
			other := s.sources[1]
			_, err := other.Client.EnsureQueue(t.Context(), "fine", mq.QueueOptions{})
			ok(t, err)
			s.send(mq.Message{})
			time.Sleep(time.Minute)
			p.Plan(fault)
			before := p.Calls("list")
			time.Sleep(15 * time.Minute)
			if n := p.Calls("list") - before; n > 90 {
				t.Errorf("%s: %d looks in 15 minutes: the pauses do not grow", name, n)
			}
			page := s.get("/")
			contains(t, page, `class="banner bad"`, `data-label="Waiting">1<`, ">fine<")
			if other.banner().At.Before(time.Now().Add(-10 * time.Second)) {
				t.Error(name, ": the other source is not counted any more")
			}
			p.Heal()
			time.Sleep(2 * time.Minute)
			lacks(t, s.get("/"), "banner bad")
			ok(t, s.Close())
			ok(t, s.client.Close())
		})
	}
}

func TestDroppedQueuesAreForgotten(t *testing.T) {
	s := newSite(t, nil, Options{})
	for i := range 50 {
		name := fmt.Sprintf("q%d", i)
		_, err := s.client.EnsureQueue(t.Context(), name, mq.QueueOptions{})
		ok(t, err)
		s.resample()
		ok(t, s.client.DropQueue(t.Context(), name))
	}
	s.resample()
	equal(t, "queues", len(s.sources[0].sampler.names("")), 1)
}

// TestPageOfHangingQueue shows what can be shown within the limit of a page.
func TestPageOfHangingQueue(t *testing.T) {
	for _, op := range []string{"browse", "reasons", "consumers"} {
		synctest.Test(t, func(t *testing.T) {
			p := newHanging()
			s := newSite(t, p, Options{})
			s.dead("bad", 1)
			p.set(true, op)
			begin := time.Now()
			page := s.get("/queue?source=src&queue=q&tab=archive")
			contains(t, page, "did not answer in time", "Archived")
			if d := time.Since(begin); d > pageTimeout {
				t.Errorf("%s: the page took %v", op, d)
			}
			ok(t, s.Close())
			ok(t, s.client.Close())
		})
	}
}

// TestHangingStats hangs the figures alone.
func TestHangingStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newHanging()
		s := newSite(t, p, Options{Authorize: operate})
		p.set(true, "stats")
		time.Sleep(time.Minute)
		contains(t, s.get("/"), "banner bad", ">q<")
		begin := time.Now()
		w := s.do(request(t.Context(), "GET", "/queue?source=src&queue=unknown", nil))
		equal(t, "status", w.Code, http.StatusNotFound)
		if d := time.Since(begin); d > pageTimeout {
			t.Errorf("the page took %v", d)
		}
		contains(t, s.post("redrive-all"), "redrive-all failed")
		ok(t, s.Close())
		ok(t, s.client.Close())
	})
}

// TestFindings of a doctor that hangs, panics or fails.
func TestFindings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		look := func(ctx context.Context) ([]Finding, error) {
			switch calls++; calls {
			case 1:
				return []Finding{{LevelOK, "", "fine"}, {LevelAdvice, "", "vacuum"}, {LevelProblem, "disk", "full"}}, nil
			case 2:
				panic("oh")
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		s := newSite(t, nil, Options{}, Source{Name: "doctored", Client: mqtest.New(t), Findings: look})
		time.Sleep(time.Second)
		page := s.get("/")
		contains(t, page, "full", "vacuum")
		lacks(t, page, "fine")
		time.Sleep(findingsEvery)
		contains(t, s.get("/"), "panicked", "full")
		time.Sleep(findingsEvery + findingsTimeout)
		contains(t, s.get("/"), "deadline exceeded", "full")
		equal(t, "calls", calls, 3)
		ok(t, s.Close())
		ok(t, s.client.Close())
	})
}

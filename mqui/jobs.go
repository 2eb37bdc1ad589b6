package mqui

import (
	"context"
	"crypto/rand"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// keptJobs is how many jobs that have ended can still be looked at.
const keptJobs = 50

// job is a redrive in the background.
type job struct {
	id            string
	source, queue string
	by            string
	total         int64 // about how many messages it may affect; -1 if that is not known
	began         time.Time
	cancel        context.CancelFunc
	looked, done  atomic.Int64

	mu    sync.Mutex
	ended time.Time
	err   error
}

// jobs are those that run, and the last ones that have ended.
type jobs struct {
	mu  sync.Mutex
	all []*job // oldest first
}

// startJob runs f in the background, unless a job of the queue runs.
func (u *UI) startJob(a *acting, total int64, f func(context.Context, *job) error) (*job, error) {
	ctx, cancel := context.WithCancel(u.ctx)
	j := &job{
		id: rand.Text(), source: a.source.Name, queue: a.queue.Name(), by: a.viewer.key(), total: total,
		began: time.Now(), cancel: cancel,
	}
	end, ok := u.begin()
	if !ok {
		cancel()
		return nil, context.Canceled
	}
	if !u.jobs.add(j) {
		cancel()
		end()
		return nil, badRequest("a redrive of this queue is already running")
	}
	go func() {
		defer end()
		defer cancel()
		j.finish(f(ctx, j))
		u.changed.notify()
		u.log.Info("mqui: redrive ended", "job", j.id, "user", j.by, "source", j.source, "queue", j.queue,
			"count", j.done.Load(), "error", errorText(j.failure()))
	}()
	return j, nil
}

func (j *job) finish(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ended, j.err = time.Now(), err
}

func (j *job) failure() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

func (j *job) runs() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.ended.IsZero()
}

// add takes a job unless one of its queue runs, and forgets the oldest that has ended.
func (js *jobs) add(j *job) bool {
	js.mu.Lock()
	defer js.mu.Unlock()
	if slices.ContainsFunc(js.all, func(o *job) bool { return o.source == j.source && o.queue == j.queue && o.runs() }) {
		return false
	}
	if len(js.all) >= keptJobs {
		if i := slices.IndexFunc(js.all, func(o *job) bool { return !o.runs() }); i >= 0 {
			js.all = slices.Delete(js.all, i, i+1)
		}
	}
	js.all = append(js.all, j)
	return true
}

func (js *jobs) find(id string) *job {
	js.mu.Lock()
	defer js.mu.Unlock()
	for _, j := range js.all {
		if j.id == id {
			return j
		}
	}
	return nil
}

// running returns the job of a queue that runs, or nil.
func (js *jobs) running(source, queue string) *jobView {
	js.mu.Lock()
	defer js.mu.Unlock()
	for _, j := range js.all {
		if j.source == source && j.queue == queue && j.runs() {
			return j.view()
		}
	}
	return nil
}

// jobView is a job as its page shows it.
type jobView struct {
	ID, Source, Queue, By string
	Done, Looked, Total   int64
	Began, Ended          time.Time
	Err                   string
	Cancelled             bool
}

// Runs reports whether it has not ended.
func (v *jobView) Runs() bool { return v.Ended.IsZero() }

// Most is the end of the progress bar.
func (v *jobView) Most() int64 { return max(v.Total, v.Done, 1) }

func (j *job) view() *jobView {
	j.mu.Lock()
	defer j.mu.Unlock()
	v := &jobView{
		ID: j.id, Source: j.source, Queue: j.queue, By: j.by, Done: j.done.Load(), Looked: j.looked.Load(), Total: j.total,
		Began: j.began, Ended: j.ended, Cancelled: j.err == context.Canceled,
	}
	if !v.Cancelled {
		v.Err = errorText(j.err)
	}
	return v
}

func (u *UI) jobPage(_ context.Context, _ viewer, r *http.Request) (*page, error) {
	j := u.jobs.find(r.FormValue("id"))
	if j == nil {
		return nil, notFound("there is no such job (it ran in another process, or long ago)")
	}
	v := j.view()
	p := &page{Template: "job", Title: "Redrive of " + v.Queue, Data: v}
	if v.Runs() {
		p.Refresh, p.Live = 2, address("events", "page", "job", "id", j.id)
	}
	return p, nil
}

func (u *UI) jobBlocks(_ context.Context, r *http.Request) (up update, err error) {
	j := u.jobs.find(r.FormValue("id"))
	if j == nil {
		return up, notFound("there is no such job")
	}
	v := j.view()
	up.end = !v.Runs()
	return up, up.add("progress", "progress", v)
}

package mqui

import (
	"context"
	"strconv"
	"time"

	"github.com/portmq/mq"
)

// redriveBatch is how many messages one call looks at, or brings back, at most.
const redriveBatch = 100

// redrive brings archived messages back, in batches. Those that were archived after it
// began stay, so that it ends even if all of them are rejected again.
type redrive struct {
	ui    *UI
	queue *mq.Queue
	began time.Time // by the backend's clock
	key   string    // of the reason, "" for all
	rate  float64   // messages a second, 0 for no limit
	job   *job

	ids  []string
	next time.Time // when the next batch is due
}

// startRedrive starts a redrive in the background. The page of the job follows it.
func startRedrive(ctx context.Context, a *acting) error {
	rate, err := readRate(a.value("rate"))
	if err != nil {
		return err
	}
	stats, err := a.queue.Stats(ctx)
	if err != nil {
		return err
	}
	r := &redrive{ui: a.ui, queue: a.queue, began: stats.ScrapedAt, key: a.value("reason"), rate: rate}
	if r.began.IsZero() {
		r.began = time.Now()
	}
	total := stats.Archived
	if n, err := strconv.ParseInt(a.value("total"), 10, 64); err == nil && r.key != "" {
		total = n
	}
	j, err := a.ui.startJob(a, total, r.run)
	if err != nil {
		return err
	}
	a.note, a.said, a.to = "job "+j.id, "redrive started", address("job", "id", j.id)
	return nil
}

// The lowest and the highest rate. Below minRate the pause between two messages could
// overflow a time.Duration, and there would be none.
const minRate, maxRate = 1e-3, 1e6

// readRate reads how many messages a second are wanted.
func readRate(text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	rate, err := strconv.ParseFloat(text, 64)
	if err != nil || !(rate >= minRate && rate <= maxRate) {
		return 0, badRequest("give the rate in messages per second, at least 0.001")
	}
	return rate, nil
}

func cancelRedrive(_ context.Context, a *acting) error {
	j := a.ui.jobs.find(a.value("job"))
	if j == nil {
		return notFound("there is no such job")
	}
	j.cancel()
	a.note, a.said, a.to = "job "+j.id, "the redrive is being cancelled", address("job", "id", j.id)
	return nil
}

// run goes through the archive, oldest message first.
func (r *redrive) run(ctx context.Context, j *job) error {
	r.job = j
	l := listing{queue: r.queue, archive: true, limit: min(redriveBatch, r.queue.Client().Caps().BatchLimit())}
	for end := false; !end; {
		found, err := r.look(ctx, l)
		if err != nil {
			return err
		}
		for _, rec := range found.Records {
			r.job.looked.Add(1)
			if rec.ArchivedAt.After(r.began) || !r.wanted(rec) {
				continue
			}
			if err := r.add(ctx, rec.ID); err != nil {
				return err
			}
		}
		l.after, end = found.Last, found.End
		r.ui.changed.notify()
	}
	return r.flush(ctx)
}

func (r *redrive) look(ctx context.Context, l listing) (mq.Found, error) {
	ctx, cancel := context.WithTimeout(ctx, actTimeout)
	defer cancel()
	return l.page(ctx, 1)
}

// wanted compares reasons as the viewer has seen them.
func (r *redrive) wanted(rec mq.Record) bool {
	return r.key == "" || reasonKey(r.ui.redactReason(r.queue.Name(), rec.Reason())) == r.key
}

func (r *redrive) add(ctx context.Context, id string) error {
	r.ids = append(r.ids, id)
	if len(r.ids) < r.batch() {
		return nil
	}
	return r.flush(ctx)
}

// batch is as many as are due in a quarter of a second.
func (r *redrive) batch() int {
	most := min(redriveBatch, r.queue.Client().Caps().BatchLimit())
	if r.rate == 0 {
		return most
	}
	return max(1, min(most, int(r.rate/4)))
}

// flush brings back what has been collected, when it is due.
func (r *redrive) flush(ctx context.Context) error {
	if len(r.ids) == 0 {
		return nil
	}
	if err := r.await(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, actTimeout)
	defer cancel()
	n, err := r.queue.Redrive(ctx, mq.RedriveOptions{IDs: r.ids})
	r.job.done.Add(n)
	r.ids = r.ids[:0]
	r.ui.changed.notify()
	return err
}

// await keeps to the rate.
func (r *redrive) await(ctx context.Context) error {
	if r.rate == 0 {
		return ctx.Err()
	}
	now := time.Now()
	wait := r.next.Sub(now)
	r.next = now.Add(max(wait, 0) + time.Duration(float64(len(r.ids))/r.rate*float64(time.Second)))
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait):
		return nil
	}
}

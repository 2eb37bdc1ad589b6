package work

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/mqcron"
)

// producer sends messages of all kinds. What it does is random, and its own: the ledger
// does not need to know it beforehand.
type producer struct {
	*backend
	name  string
	pause time.Duration // of each loop, on average
	seed  uint64
}

// keyTime is how long all producers send the same key.
const keyTime = 300 * time.Millisecond

// loops are how many goroutines a producer has.
const loops = 5

// run produces until ctx ends.
func (p *producer) run(ctx context.Context) {
	var all sync.WaitGroup
	loop := func(queue string, one func(ctx context.Context, r *rand.Rand, q *mq.Queue, n int)) {
		all.Go(func() {
			r := rand.New(rand.NewPCG(p.seed, uint64(len(queue))))
			for n := 1; ctx.Err() == nil; n++ {
				one(context.WithoutCancel(ctx), r, p.Queue(queue), n)
				sleep(ctx, time.Duration(r.Float64()*2*float64(p.pause)))
			}
		})
	}
	loop(Plain, p.plain)
	loop(Volatile, p.single)
	if p.dedup {
		loop(Plain, p.keyed)
	}
	if p.groups {
		loop(Grouped, p.grouped)
	}
	if p.tx {
		loop(Steps, p.single)
	}
	if p.schedules {
		all.Go(func() { p.schedule(ctx) })
	}
	all.Wait()
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (p *producer) key(queue string, n int) string { return fmt.Sprintf("%s.%s.%d", p.name, queue, n) }

// plain sends a message or a batch, some delayed, some large.
func (p *producer) plain(ctx context.Context, r *rand.Rand, q *mq.Queue, n int) {
	size := 1
	if r.IntN(4) == 0 {
		size = 1 + r.IntN(8)
	}
	msgs := make([]*mq.Message, size)
	for i := range msgs {
		body := payload{Key: fmt.Sprintf("%s.%d", p.key(Plain, n), i), Length: r.IntN(50)}
		if r.IntN(40) == 0 {
			body.Length = 2000 + r.IntN(20000)
		}
		msgs[i] = body.message()
		if p.delay && r.IntN(10) == 0 {
			msgs[i].Delay = time.Duration(r.IntN(500)) * time.Millisecond
		}
	}
	if _, err := q.SendAll(ctx, msgs); err != nil {
		sleep(ctx, 50*time.Millisecond) // a backend that is down answers at once
	}
}

func (p *producer) single(ctx context.Context, _ *rand.Rand, q *mq.Queue, n int) {
	if _, err := q.Send(ctx, payload{Key: p.key(q.Name(), n)}.message()); err != nil {
		sleep(ctx, 50*time.Millisecond)
	}
}

// keyed sends what other producers send at the same time as well, and repeats a send
// without an answer: that makes it happen once.
func (p *producer) keyed(ctx context.Context, _ *rand.Rand, q *mq.Queue, _ int) {
	m := payload{Key: fmt.Sprint("key", time.Now().UnixNano()/int64(keyTime))}.message()
	m.DedupKey, m.DedupFor = "the "+string(m.Body), time.Hour
	for range 3 {
		if _, _, err := q.SendOnce(ctx, m); err == nil || !errors.Is(err, mq.ErrUnavailable) {
			return
		}
	}
}

// groups of a producer.
const groupCount = 6

// grouped sends the messages of each group one after the other.
func (p *producer) grouped(ctx context.Context, _ *rand.Rand, q *mq.Queue, n int) {
	body := payload{Key: p.key(Grouped, n), Group: fmt.Sprintf("%s-%d", p.name, n%groupCount), Seq: n}
	if _, err := q.Send(ctx, body.message()); err != nil {
		sleep(ctx, 50*time.Millisecond)
	}
}

// schedule fires the schedule, as each producer does.
func (p *producer) schedule(ctx context.Context) {
	s := mqcron.Schedule{
		Name: "tick", Spec: fmt.Sprintf("@every %ds", ScheduleEvery), Queue: Fired, CatchUp: mqcron.CatchUpAll, Message: mq.Message{Body: []byte(`{}`)},
	}
	for ctx.Err() == nil {
		_ = mqcron.Run(ctx, p.Client, mqcron.Config{}, s) // the ledger has the errors of its calls
		sleep(ctx, 100*time.Millisecond)
	}
}

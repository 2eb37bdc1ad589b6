package cron_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	_ "github.com/portmq/mq/drivers/pgmq"
	_ "github.com/portmq/mq/drivers/sqlite"
	"github.com/portmq/mq/internal/integration/server"
	"github.com/portmq/mq/mqcron"
	"github.com/portmq/mq/mqtest"
)

func TestPGMQ(t *testing.T) {
	t.Parallel()
	run(t, "pgmq"+strings.TrimPrefix(server.Postgres(t).Database(t), "postgres"))
}

func TestSQLite(t *testing.T) {
	t.Parallel()
	run(t, "sqlite://"+filepath.ToSlash(filepath.Join(t.TempDir(), "q.db")))
}

// run runs several processes for some minutes, with a schedule of each second, and cuts one
// off now and then, which takes the length of a lease to make up for. Each second must be
// fired once.
func run(t *testing.T, dsn string) {
	t.Helper()
	length, life := 3*time.Minute, 20*time.Second
	if testing.Short() {
		length, life = 10*time.Second, 5*time.Second
	}
	c := open(t, dsn)
	if _, err := c.EnsureQueue(t.Context(), "ticks", mq.QueueOptions{}); err != nil {
		t.Fatal(err)
	}
	tick := mqcron.Every("tick", "@every 1s", nil, mq.Of[string](c.Queue("ticks")), "tick", mqcron.CatchUpAll)
	if err := mqcron.Set(t.Context(), c, mqcron.Config{}, tick); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	for i := 0; time.Since(begin) < length; i++ {
		p := start(t, dsn, tick)
		start(t, dsn)
		time.Sleep(life)
		cutOff(p, steps[i%len(steps)])
	}
	end := time.Now()
	await(t, c, end)
	requireEach(t, c.Queue("ticks"), begin, end)
}

func open(t *testing.T, dsn string) *mq.Client {
	t.Helper()
	c, err := mq.OpenConfig(dsn, mq.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// start runs schedules in a process of its own until the test ends.
func start(t *testing.T, dsn string, schedules ...mqcron.Schedule) *mqtest.FaultyProvider {
	t.Helper()
	p := mqtest.Faulty(open(t, dsn).Provider())
	c := mq.New(p, mq.Config{Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := mqcron.Run(ctx, c, mqcron.Config{}, schedules...); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		_ = c.Close()
		<-ended
	})
	return p
}

// steps are calls that a process makes to fire an occurrence.
var steps = []string{"settle", "send unique", "browse"}

// cutOff cuts a process off after the next call of an operation: it is carried out,
// and neither answered nor followed by others.
func cutOff(p *mqtest.FaultyProvider, op string) {
	var dead atomic.Bool
	for _, other := range []string{"settle", "extend", "send unique", "receive", "browse", "stats"} {
		p.Plan(mqtest.Fault{Op: other, Err: driver.ErrBadConn, When: func(int) bool { return dead.Load() }})
	}
	p.Plan(mqtest.Fault{Op: op, Applied: true, Err: driver.ErrUnavailable, When: func(int) bool { return !dead.Swap(true) }})
}

// await waits until the occurrences up to a time have been fired.
func await(t *testing.T, c *mq.Client, until time.Time) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		all, err := mqcron.List(t.Context(), c, mqcron.Config{})
		if err != nil || len(all) != 1 {
			t.Fatalf("%v, %v", all, err)
		}
		if all[0].Next.After(until) {
			return
		}
	}
	t.Error("it is not caught up with")
}

// requireEach requires the occurrence of each second once.
func requireEach(t *testing.T, q *mq.Queue, begin, end time.Time) {
	t.Helper()
	fired := make(map[string]int)
	for {
		ds, err := q.Pop(t.Context(), 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(ds) == 0 {
			break
		}
		for _, d := range ds {
			fired[d.Headers[mqcron.HeaderDue]]++
		}
	}
	for due, n := range fired {
		if n != 1 {
			t.Errorf("%s was fired %d times", due, n)
		}
	}
	for due := begin.Truncate(time.Second).Add(time.Second); due.Before(end); due = due.Add(time.Second) {
		if text := due.UTC().Format(time.RFC3339); fired[text] != 1 {
			t.Errorf("%s was fired %d times", text, fired[text])
		}
	}
}

package suite_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/pgmq"
	"github.com/portmq/mq/internal/integration/checks"
	"github.com/portmq/mq/internal/integration/server"
)

func (p *provided) pauses() (queues []string) {
	p.Helper()
	for _, x := range must(p.Paused(p.Context()))(p) {
		queues = append(queues, x.Queue+" by "+x.By)
	}
	return queues
}

// TestPause: a pause lasts until it is ended, or its queue is dropped, by whatever program.
func TestPause(t *testing.T) {
	eachProvider(t, func(p *provided) {
		set := func(queue string, paused bool, by string) error { return p.SetPaused(p.Context(), queue, paused, by) }
		p.exec("DROP TABLE pgmq.mq_paused")
		p.want("paused", p.pauses(), []string(nil))
		ok(p, set(jobs, false, ""))
		wantError(p, set("missing", false, ""), driver.ErrQueueNotFound)
		p.want("tables", checks.Value[int](p, p.db, "SELECT count(*) FROM pg_class WHERE relname = 'mq_paused'"), 0)
		wantError(p, set("missing", true, "me"), driver.ErrQueueNotFound)
		for _, queue := range []string{"z_b", "z a", `z"'\c`} {
			ok(p, p.EnsureQueue(p.Context(), strings.ReplaceAll(queue, "'", ""), driver.QueueOptions{}))
		}
		ok(p, set("z_b", true, "you"))
		ok(p, set("z a", true, ""))
		ok(p, set(`z"\c`, true, "him"))
		ok(p, set(jobs, true, "me"))
		since := must(p.Paused(p.Context()))(p)[0].Since
		if age := time.Since(since).Abs(); age > checks.Patience {
			p.Errorf("it is paused since %v", since)
		}
		ok(p, set(jobs, true, "another"))
		p.want("since", must(p.Paused(p.Context()))(p)[0].Since, since)
		p.want("paused", p.pauses(), []string{"jobs by me", "z a by ", `z"\c by him`, "z_b by you"})
		ok(p, set("z a", false, ""))
		ok(p, set("z a", false, ""))
		ok(p, p.DropQueue(p.Context(), "z_b"))
		p.exec(`DROP TABLE pgmq."q_z""\c"`)
		p.want("left", p.pauses(), []string{"jobs by me"})
		p.want("rows", checks.Value[int](p, p.db, "SELECT count(*) FROM pgmq.mq_paused"), 2)
		ok(p, p.EnsureQueue(p.Context(), "z_b", driver.QueueOptions{}))
		p.want("created again", p.pauses(), []string{"jobs by me"})
		p.exec("DROP TABLE pgmq.mq_paused")
		p.want("without a table", p.pauses(), []string(nil))
		ok(p, p.DropQueue(p.Context(), "z_b"))
		ok(p, set(jobs, true, "me"))
		p.want("paused again", p.pauses(), []string{"jobs by me"})
	})
}

// listens returns the same database for a client that listens.
func (p *provided) listens() *provided {
	p.Helper()
	cfg := must(pgx.ParseConfig(p.dsn))(p)
	return provide(p.T, "pgx", p.dsn, pgmq.Config{Listen: cfg})
}

// TestPauseHeard: another client hears of a pause, of its end, and of the drop of a queue that
// is paused, and nothing is lost between two calls or while the connection is. The calls
// would wait for much longer than the test.
func TestPauseHeard(t *testing.T) {
	eachProvider(t, func(p *provided) {
		other := p.listens()
		heard := make(chan []string)
		ctx, stop := context.WithCancel(p.Context())
		defer stop()
		go func() {
			for other.AwaitPause(ctx, time.Hour) == nil {
				var names []string
				all, err := other.Paused(ctx)
				if err != nil {
					names = append(names, err.Error())
				}
				for _, x := range all {
					names = append(names, x.Queue)
				}
				select {
				case heard <- names:
				case <-ctx.Done():
				}
			}
		}()
		hears := func(what string, want ...string) {
			p.Helper()
			for end := time.After(checks.Patience); ; {
				select {
				case got := <-heard:
					if slices.Equal(got, want) {
						return
					}
				case <-end:
					p.Fatalf("it does not hear of %s", what)
				}
			}
		}
		hears("the connection")
		ok(p, p.SetPaused(p.Context(), jobs, true, "me"))
		hears("a pause", jobs)
		ok(p, p.SetPaused(p.Context(), jobs, false, "me"))
		hears("its end")
		ok(p, p.SetPaused(p.Context(), jobs, true, "me"))
		hears("another one", jobs)
		p.exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'")
		p.exec("DELETE FROM pgmq.mq_paused") // of which nobody is notified
		hears("a new connection")
		ok(p, p.SetPaused(p.Context(), jobs, true, "me"))
		hears("a pause again", jobs)
		ok(p, p.DropQueue(p.Context(), jobs))
		hears("the drop")
		ok(p, p.EnsureQueue(p.Context(), jobs, driver.QueueOptions{}))
	})
}

func report(id, queue, name string) driver.ConsumerReport {
	return driver.ConsumerReport{
		ID: id, Queue: queue, Name: name, Concurrency: 4, Running: 2, Done: 7, Failed: 1, LastError: "why \x00 \"ж\"",
		Held: 1, Longest: []driver.HeldMessage{{ID: "17", For: time.Minute}}, Age: time.Hour,
	}
}

// TestReports: a report replaces the one before, and lasts for its time.
func TestReports(t *testing.T) {
	eachProvider(t, func(p *provided) {
		consumers := func(queue string) (all []string) {
			p.Helper()
			for _, r := range must(p.Consumers(p.Context(), queue))(p) {
				all = append(all, r.ID)
			}
			return all
		}
		send := func(r driver.ConsumerReport, ttl time.Duration) {
			p.Helper()
			ok(p, p.Report(p.Context(), r, ttl))
		}
		p.exec("DROP TABLE pgmq.mq_consumers")
		p.want("without a table", consumers(""), []string(nil))
		send(report("1", jobs, "b"), 0)
		p.want("tables", checks.Value[int](p, p.db, "SELECT count(*) FROM pg_class WHERE relname = 'mq_consumers'"), 0)
		send(report("1", jobs, "b"), time.Hour)
		send(report("2", jobs, "a"), time.Hour)
		send(report("3", "else", "c"), time.Hour)
		p.want("all", consumers(""), []string{"3", "2", "1"})
		p.want("of one queue", consumers(jobs), []string{"2", "1"})
		got := must(p.Consumers(p.Context(), "else"))(p)[0]
		if age := time.Since(got.At).Abs(); age > checks.Patience {
			p.Errorf("it was stored at %v", got.At)
		}
		want := report("3", "else", "c")
		want.LastError, got.At = `why  "ж"`, time.Time{}
		p.want("report", got, want)
		send(report("2", jobs, "c"), time.Hour)
		p.want("replaced", consumers(jobs), []string{"1", "2"})
		send(report("1", jobs, "b"), 0)
		send(report("3", "else", "c"), time.Microsecond)
		p.want("expired", consumers(""), []string{"2"})
		checks.Eventually(p, "what has expired is removed", func() bool {
			send(report("2", jobs, "c"), time.Hour)
			return checks.Value[int](p, p.db, "SELECT count(*) FROM pgmq.mq_consumers") == 1
		})
		p.want("left", consumers(""), []string{"2"})
		p.exec("DROP TABLE pgmq.mq_consumers")
		p.want("dropped", consumers(""), []string(nil))
		send(report("1", jobs, "b"), time.Hour)
		p.want("made again", consumers(""), []string{"1"})
	})
}

// TestReportsTogether: reports and the removal of what has expired do not get into each
// other's way.
func TestReportsTogether(t *testing.T) {
	eachProvider(t, func(p *provided) {
		ended := make(chan error, 4)
		for i := range cap(ended) {
			go func() {
				var err error
				for n := 0; n < 200 && err == nil; n++ {
					err = p.Report(p.Context(), report(fmt.Sprint(i, n%5), jobs, "x"), time.Duration(1+n%2)*time.Microsecond)
				}
				ended <- err
			}()
		}
		for range cap(ended) {
			ok(p, <-ended)
		}
	})
}

// TestOperatorRights: what a role may not do says so, and names who may. One that has the
// rights needs no others.
func TestOperatorRights(t *testing.T) {
	t.Parallel()
	cluster := server.Postgres(t)
	role := cluster.Role(t)
	dsn := cluster.Database(t)
	owner := provide(t, "pgx", dsn, pgmq.Config{})
	owner.exec("DROP TABLE pgmq.mq_paused, pgmq.mq_consumers")
	grant := func(rights string) { t.Helper(); owner.exec("GRANT " + rights + " TO " + role.Username()) }
	grant("USAGE ON SCHEMA pgmq")
	u := must(url.Parse(dsn))(t)
	u.User = role
	worker := provide(t, "pgx", u.String(), pgmq.Config{})
	refused := func(what string, err error, remedy string) {
		t.Helper()
		wantError(t, err, driver.ErrNotSupported)
		if err != nil && !strings.Contains(err.Error(), remedy) {
			t.Errorf("%s: %v", what, err)
		}
	}
	pause := func() error { return worker.SetPaused(t.Context(), jobs, true, "me") }
	reports := func() error { return worker.Report(t.Context(), report("1", jobs, "a"), time.Hour) }
	refused("a pause without a table", pause(), "pgmq.Install")
	refused("a report without a table", reports(), "pgmq.Install")
	worker.want("paused", worker.pauses(), []string(nil))
	worker.want("reports", len(must(worker.Consumers(t.Context(), ""))(t)), 0)

	ok(t, pgmq.Install(t.Context(), owner.db))
	refused("a report that was refused before", reports(), "pgmq.Install")
	worker = provide(t, "pgx", u.String(), pgmq.Config{})
	refused("a pause", pause(), "GRANT")
	refused("a report", reports(), "GRANT")
	_, err := worker.Paused(t.Context())
	refused("paused", err, "GRANT")
	_, err = worker.Consumers(t.Context(), "")
	refused("consumers", err, "GRANT")

	grant("SELECT, INSERT, DELETE ON pgmq.mq_paused")
	grant("SELECT, INSERT, UPDATE, DELETE ON pgmq.mq_consumers")
	worker = provide(t, "pgx", u.String(), pgmq.Config{})
	ok(t, pause())
	worker.want("paused", worker.pauses(), []string{"jobs by me"})
	ok(t, worker.SetPaused(t.Context(), jobs, false, ""))
	for range 100 { // now and then it sweeps
		ok(t, reports())
	}
	worker.want("reports", len(must(worker.Consumers(t.Context(), ""))(t)), 1)
	ok(t, worker.Report(t.Context(), report("1", jobs, "a"), 0))
}

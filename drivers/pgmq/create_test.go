package pgmq

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

// asks returns options of this driver as EnsureQueue takes them.
func asks(o QueueOptions) driver.QueueOptions {
	return driver.QueueOptions{Drivers: []driver.DriverOptions{o}}
}

func indexesBy(by ...driver.GroupBy) driver.QueueOptions { return asks(QueueOptions{GroupIndexes: by}) }

// TestEnsureQueueInterval: the interval of the trigger is in milliseconds, and
// never 0, with which senders would wait for each other.
func TestEnsureQueueInterval(t *testing.T) {
	row := statement("make throttle row", nil)
	for _, tt := range []struct {
		has   values
		every time.Duration
		want  int64 // 0: there is no trigger
	}{
		{pgmqThere, 0, 250},
		{pgmqThere, 2 * time.Second, 2000},
		{pgmqThere, time.Microsecond, 1},
		{pgmqThere, NoNotify, 0},
		{values{true, false, true, true, true, false}, 0, 0}, // before 1.8, or no right to make the trigger
		{pgmqMissing, 0, 250},
		{pgmqMissing, time.Second, 1000},
		{pgmqMissing, time.Microsecond, 1},
		{pgmqMissing, NoNotify, 0},
	} {
		r := newRig(t, call{missing: true, answers: answers{statement("has pgmq", nil): {tt.has}}})
		if err := r.EnsureQueue(t.Context(), "jobs", asks(QueueOptions{NotifyInterval: tt.every})); err != nil {
			t.Fatal(err)
		}
		var got int64
		for _, e := range r.ran {
			switch {
			case e.text == row:
				got = e.args[1].(int64)
			case strings.HasPrefix(e.text, "CREATE TRIGGER") && !strings.HasSuffix(e.text, fmt.Sprintf(`(E'jobs', '%d')`, tt.want)):
				t.Errorf("interval %v: %s", tt.every, e.text)
			}
		}
		if got != tt.want {
			t.Errorf("PGMQ is %v, interval %v: the trigger has %d ms, want %d", tt.has, tt.every, got, tt.want)
		}
	}
}

// TestEnsureQueueArchive: a queue that lacks only its archive gets that, keeps
// its trigger, and is looked up again.
func TestEnsureQueueArchive(t *testing.T) {
	alone := layout113
	alone.archive = ""
	r := newRig(t, call{answers: answers{sqlShape: {alone.row()}, statement("has pgmq", nil): {pgmqMissing}}})
	r.known("jobs")
	if err := r.EnsureQueue(t.Context(), "jobs", driver.QueueOptions{}); err != nil {
		t.Fatal(err)
	}
	texts := r.texts()
	if !slices.Contains(texts, statement("make archive", alone.names("jobs"))) || strings.Contains(strings.Join(texts, "\n"), "CREATE TRIGGER") {
		t.Errorf("it runs %q", texts)
	}
	if _, ok := r.queues.Load("jobs"); ok {
		t.Error("the queue is not looked up again")
	}
}

// TestEnsureQueueNames: a name that PGMQ does not take for a new queue may be
// that of an old one.
func TestEnsureQueueNames(t *testing.T) {
	for _, name := range []string{strings.Repeat("n", maxNewName+1), "a$b", "a;b", "a'b", "a--b"} {
		r := newRig(t, call{missing: true})
		requireErr(t, r.EnsureQueue(t.Context(), name, driver.QueueOptions{}), driver.ErrInvalid)
		r.made = true
		if err := r.EnsureQueue(t.Context(), name, driver.QueueOptions{}); err != nil || len(r.ran) != 3 {
			t.Errorf("queue %q: it runs %q: %v", name, r.texts(), err)
		}
	}
}

// TestEnsureQueueGroupIndexes: what is there is left alone, and what is made is
// looked up.
func TestEnsureQueueGroupIndexes(t *testing.T) {
	group, lease := groupIndexes("jobs", driver.GroupBy{})
	for _, tt := range []struct{ there, made []string }{
		{nil, []string{group, lease}},
		{[]string{group}, []string{lease}},
		{[]string{lease}, []string{group}},
		{[]string{group, lease}, nil},
	} {
		l := layout113
		l.indexes = strings.Join(append(tt.there, l.indexes), ",")
		r := newRig(t, call{answers: answers{sqlShape: {l.row()}}})
		r.known("jobs")
		if err := r.EnsureQueue(t.Context(), "jobs", indexesBy(driver.GroupBy{})); err != nil {
			t.Fatal(err)
		}
		var made []string
		for _, text := range r.texts() {
			if strings.HasPrefix(text, "CREATE INDEX") {
				made = append(made, strings.Split(text, `"`)[1])
			}
		}
		if _, known := r.queues.Load("jobs"); known || !slices.Equal(made, tt.made) {
			t.Errorf("with %q it makes %q, want %q; known: %v", tt.there, made, tt.made, known)
		}
	}
}

// TestEnsureQueueLongBuild: the turn to make an index lasts as long as that
// takes.
func TestEnsureQueueLongBuild(t *testing.T) {
	const hours = 5 * time.Hour
	n := layout113.names("jobs")
	missing, err := indexesOf("jobs", n.shape, driver.GroupBy{}, true)
	if err != nil || len(missing) != 2 {
		t.Fatal(missing, err)
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, call{conns: 4})
		for _, x := range missing {
			r.add(x.statement, queued{took: hours})
		}
		ended := make(chan error)
		go func() {
			ended <- r.EnsureQueue(t.Context(), "jobs", indexesBy(driver.GroupBy{}))
		}()
		time.Sleep(2*hours - time.Minute)
		if r.mu.Lock(); !r.inTx {
			t.Error("the turn is over")
		}
		r.mu.Unlock()
		r.must(<-ended)
		r.released()
	})
}

// TestEnsureQueueOthersTurn: while another session is at it nothing is made. The
// log names the session, and so does the error of a caller that gives up.
func TestEnsureQueueOthersTurn(t *testing.T) {
	turn, indexer := statement("try lock indexes", nil), statement("indexer", nil)
	rival := values{int64(4711), "other", "active", float64(60)}
	for name, prepare := range map[string]func(*rig){
		"a build whose turn is over": func(r *rig) { r.call.answers[indexer] = []values{rival} },
		"a turn":                     func(r *rig) { r.call.answers[turn], r.call.answers[indexer] = []values{{false}}, []values{rival} },
		"a turn of nobody known":     func(r *rig) { r.call.answers[turn] = []values{{false}} },
	} {
		for _, conns := range []int{1, 4} {
			t.Run(fmt.Sprint(name, conns), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, call{conns: conns, answers: answers{}})
					prepare(r)
					if conns == 1 && r.call.answers[indexer] == nil {
						return // it cannot be known
					}
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					err := r.EnsureQueue(ctx, "jobs", indexesBy(driver.GroupBy{}))
					checkIs(t, name, err, context.DeadlineExceeded)
					who := "another session"
					if r.call.answers[indexer] != nil {
						who = `session 4711 of "other", active`
					}
					if log := r.log.take(); !strings.Contains(fmt.Sprint(err), who) || strings.Count(log, "waiting for a lock") != 1 {
						t.Errorf("error is %v; it logs %s", err, log)
					}
					if i := slices.IndexFunc(r.texts(), func(text string) bool { return strings.Contains(text, "CONCURRENTLY") }); i >= 0 {
						t.Errorf("it runs %s", r.texts()[i])
					}
					r.released()
				})
			})
		}
	}
}

// TestEnsureQueueOwnTurn: once the turn is ours the error names no session that was
// at it before. Another build of the same provider may come first.
func TestEnsureQueueOwnTurn(t *testing.T) {
	n := layout113.names("jobs")
	missing, err := indexesOf("jobs", n.shape, driver.GroupBy{}, true)
	if err != nil {
		t.Fatal(err)
	}
	indexer := statement("indexer", nil)
	rival := values{int64(4711), "other", "active", float64(60)}
	for name, prepare := range map[string]func(*rig){
		"its build": func(r *rig) {
			r.answers(indexer)
			r.add(missing[0].statement, queued{took: 24 * time.Hour})
		},
		"another build": func(r *rig) { r.indexing <- struct{}{} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, call{conns: 4})
				r.answers(indexer, rival)
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				ended := make(chan error)
				go func() {
					ended <- r.EnsureQueue(ctx, "jobs", indexesBy(driver.GroupBy{}))
				}()
				synctest.Wait() // it has found the rival
				prepare(r)
				err := <-ended
				if checkIs(t, name, err, context.DeadlineExceeded); strings.Contains(fmt.Sprint(err), "4711") {
					t.Errorf("error is %v", err)
				}
				synctest.Wait() // for database/sql to roll back
				r.released()
			})
		})
	}
}

// TestEnsureQueueClosed: Close ends a build, and those that wait for their turn.
func TestEnsureQueueClosed(t *testing.T) {
	n := layout113.names("jobs")
	missing, err := indexesOf("jobs", n.shape, driver.GroupBy{}, true)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, call{conns: 4})
		r.add(missing[0].statement, queued{took: 24 * time.Hour})
		begun, ended := time.Now(), make(chan error)
		for range 2 {
			go func() {
				ended <- r.EnsureQueue(t.Context(), "jobs", indexesBy(driver.GroupBy{}))
			}()
		}
		time.Sleep(time.Minute)
		r.must(r.Close())
		for range 2 {
			checkIs(t, "EnsureQueue", <-ended, driver.ErrClosed)
		}
		if took := time.Since(begun) - time.Minute; took > 10*time.Second {
			t.Errorf("they end %v after Close", took)
		}
	})
}

package pgmq

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// rig is a provider on a fake database that records its statements. The answers
// are the usual ones of the calls unless a test queues others.
type rig struct {
	*Provider
	t     testing.TB
	ctx   context.Context // of the call
	db    *sql.DB
	fake  fake
	log   logs
	call  call
	start time.Time

	mu       sync.Mutex
	ran      []exchange          // without the notifications that follow a call
	notified []string            // the channels of those
	timeline []string            // all statements, with their times
	next     map[string][]queued // by statement
	inTx     bool
	made     bool // the missing queue
	aborted  bool // the caller's transaction

	at      int // the number of the exchange that goes wrong, if fault is set
	fault   fault
	dead    bool // all later ones go wrong as well
	patient bool // the ctx does not end after a second
}

// exchange is a statement of a call, or BEGIN or COMMIT, and its answer.
type exchange struct {
	kind kind
	text string
	args values
	rows []values
}

// queued is the answer to the next statement of a text.
type queued struct {
	rows []values
	err  error
	took time.Duration
}

// logs is written by any goroutine.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// take returns what was logged since it was last called.
func (l *logs) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.b.Reset()
	return l.b.String()
}

// onRig runs a test on fake time.
func onRig(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newRig(t, call{})) })
}

func newRig(t testing.TB, c call) *rig {
	t.Helper()
	r := &rig{t: t, ctx: t.Context(), call: c, start: time.Now(), next: make(map[string][]queued)}
	r.fake.answer = r.answer
	r.db = sql.OpenDB(&r.fake)
	r.db.SetMaxOpenConns(max(1, c.conns)) // so that a leaked one shows at once
	r.Provider = newProvider(r.db, Config{Logger: slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	t.Cleanup(r.done)
	return r
}

// done checks that all queued answers were used, and nothing was logged.
func (r *rig) done() {
	r.must(r.Close())
	for text, left := range r.next {
		if len(left) > 0 {
			r.t.Errorf("%d answers are left to %s", len(left), text)
		}
	}
	if log := r.log.take(); log != "" && !strings.Contains(log, "no indexes for this grouping") {
		r.t.Errorf("it logs %s", log)
	}
	_ = r.db.Close()
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatalf("%v: %s", err, chain(err))
	}
}

// released checks that no connection, rows or transaction is left open.
func (r *rig) released() {
	r.t.Helper()
	if open, used := r.fake.unended.Load(), r.db.Stats().InUse; open != 0 || used != 0 {
		r.t.Fatalf("%d connections are in use, %d rows or transactions are open", used, open)
	}
}

// known makes the provider look a queue up, and forgets the exchange.
func (r *rig) known(name string) *queue {
	r.t.Helper()
	q, err := r.attach(r.t.Context(), r.db, name)
	r.must(err)
	r.ran = nil
	return q
}

// answers queues an answer. A statement that has had queued answers has no
// others.
func (r *rig) answers(text string, rows ...values) { r.add(text, queued{rows: rows}) }

func (r *rig) add(text string, a queued) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next[text] = append(r.next[text], a)
}

// answer is the database's reply.
func (r *rig) answer(ctx context.Context, text string, args values) ([]values, error) {
	rows, wrong := r.exchange(text, args)
	if wrong != nil {
		return wrong(ctx, rows)
	}
	return rows, nil
}

var names = map[string]string{
	sqlShape: "shape", sqlNotify: "notify", sqlThrottle: "throttle", jobs.claim: "claim", jobs.probe: "probe",
	jobs.insertOne: "insert", jobs.insertOneNotifying: "insert notifying",
}

// exchange records a statement and returns its answer.
func (r *rig) exchange(text string, args values) ([]values, fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.timeline = append(r.timeline, fmt.Sprintf("%v %s", time.Since(r.start), names[text]))
	switch {
	case text == "ROLLBACK":
		r.inTx = false
		return nil, nil
	case text == sqlAbort:
		r.aborted = true
		if r.dead {
			return nil, r.fault
		}
		return nil, refuses(pgxError("22012", "ERROR", ""))
	case text == sqlNotify && !r.inTx: // sent after a call, which does not wait for it
		r.notified = append(r.notified, strings.Split(strings.Trim(args[0].(string), `{"}`), `","`)...)
		return r.scripted(text)
	}
	e := exchange{r.kind(text), text, args, r.rows(text)}
	r.ran = append(r.ran, e)
	if r.fault != nil && (len(r.ran)-1 == r.at || r.dead && len(r.ran) > r.at) {
		return e.rows, r.fault
	}
	if begins := strings.HasPrefix(text, "BEGIN"); begins || text == "COMMIT" {
		r.inTx = begins
	}
	r.made = r.made || strings.Contains(text, `TABLE IF NOT EXISTS "pgmq"."q_jobs"`) || strings.HasPrefix(text, "SELECT FROM pgmq.create")
	if _, ok := r.next[text]; ok {
		return r.scripted(text)
	}
	return e.rows, nil
}

// scripted returns the next queued answer.
func (r *rig) scripted(text string) ([]values, fault) {
	next, ok := r.next[text]
	if !ok {
		return nil, nil
	}
	if len(next) == 0 {
		r.t.Errorf("unexpected: %s", text)
		return nil, nil
	}
	r.next[text] = next[1:]
	if next[0].err != nil {
		return nil, refuses(next[0].err)
	}
	return next[0].rows, late(next[0].took)
}

func (r *rig) rows(text string) []values {
	if text == sqlShape && r.call.missing {
		unheard := layout113
		unheard.notifies = false
		return map[bool][]values{true: {unheard.row()}}[r.made]
	}
	if rows, ok := r.call.answers[text]; ok {
		return rows
	}
	return usually[text]
}

// texts returns the statements so far.
func (r *rig) texts() (ts []string) {
	for _, e := range r.ran {
		ts = append(ts, e.text)
	}
	return ts
}

// own returns the exchanges that are not the caller's.
func (r *rig) own() []exchange {
	return slices.DeleteFunc(slices.Clone(r.ran), func(e exchange) bool { return e.kind == notOurs })
}

// follows checks the statements and their times.
func (r *rig) follows(want ...string) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.timeline, want) {
		r.t.Errorf("it runs\n%s\nwant\n%s", strings.Join(r.timeline, "\n"), strings.Join(want, "\n"))
	}
}

// try makes a call, with a ctx that ends after a second if something is to go
// wrong, and returns its exchanges.
func (c call) try(t *testing.T, prepare func(*rig), check func(t *testing.T, r *rig, err error)) (ran []exchange) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, c)
		var cancel func()
		r.ctx, cancel = context.WithCancel(t.Context())
		defer cancel()
		prepare(r)
		if r.fault != nil && !r.patient {
			time.AfterFunc(time.Second, cancel)
		}
		err := c.run(r)
		ran = r.ran
		synctest.Wait() // for database/sql to roll back
		r.released()
		check(t, r, err)
	})
	return ran
}

func healthy(*rig) {}

func goesWrong(i int, f fault) func(*rig) {
	return func(r *rig) { r.at, r.fault = i, f }
}

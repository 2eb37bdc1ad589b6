package pgmq

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/lib/pq"

	"github.com/portmq/mq/driver"
)

// kind decides what the loss of an answer means.
type kind string

const (
	reading    kind = "a statement that changes nothing"
	writing    kind = "a statement that is a transaction of its own"
	within     kind = "a statement in a transaction of the provider's"
	beginning  kind = "BEGIN"
	committing kind = "COMMIT"
	callers    kind = "a statement in a transaction of the caller's"
	notOurs    kind = "BEGIN or COMMIT of the caller"
)

// changeNothing lists statements that may be repeated. So may those of group
// indexes, which only make what is missing.
var changeNothing = map[string]bool{
	sqlShape: true, sqlList: true, sqlPing: true, jobs.probe: true, jobs.stats: true, jobs.browse: true, jobsNewest: true, jobsSearch: true, jobsReasons: true, sqlClock: true, statement("condition", nil): true,
	statement("indexer", nil): true,
	jobsRows:                  true,
	hasBindings:               true, sqlBound: true, statement("bind", nil): true, statement("unbind", nil): true, statement("bindings", nil): true,
}

// fault answers an exchange that would have returned rows. See reply.
type fault func(ctx context.Context, rows []values) ([]values, error)

func (r *rig) kind(text string) kind {
	begins, ends := strings.HasPrefix(text, "BEGIN"), text == "COMMIT"
	switch {
	case r.call.tx && (begins || ends):
		return notOurs
	case begins:
		return beginning
	case ends:
		return committing
	case r.inTx && r.call.tx:
		return callers
	case r.inTx:
		return within
	case changeNothing[text] || strings.Contains(text, " INDEX CONCURRENTLY "):
		return reading
	}
	return writing
}

// eachExchange calls f with each exchange of each call that can go wrong. BEGIN
// and COMMIT of the caller are not the provider's.
func eachExchange(t *testing.T, f func(t *testing.T, c call, i int, e exchange)) {
	t.Helper()
	for _, c := range calls() {
		t.Run(c.name, func(t *testing.T) {
			for i, e := range c.try(t, healthy, func(*testing.T, *rig, error) {}) {
				if e.kind == notOurs {
					continue
				}
				if f(t, c, i, e); t.Failed() {
					t.Fatalf("when %s went wrong: %s", e.kind, e.text)
				}
			}
		})
	}
}

// failure is an error of the server or of the connection, and its meaning by the
// kind of the exchange.
type failure struct {
	code, severity, routine, message string

	err     error // instead of what the server says
	want    map[kind]error
	text    string
	forgets bool // the queue is looked up again
}

// always is a meaning that is the same for every kind.
func always(err error) map[kind]error {
	return map[kind]error{reading: err, writing: err, within: err, beginning: err, committing: err, callers: err}
}

// lostConn is the meaning of a lost connection: only reads, and writes in a
// transaction that is not committed, the caller's too, have certainly not been applied.
func lostConn(writes error) map[kind]error {
	return map[kind]error{
		reading: driver.ErrBadConn, within: driver.ErrBadConn, beginning: driver.ErrBadConn,
		writing: writes, committing: driver.ErrUnavailable, callers: driver.ErrBadConn,
	}
}

var failures = []failure{
	{code: "42P01", want: always(driver.ErrQueueNotFound), text: "queue not found", forgets: true},
	{code: "42703", want: always(driver.ErrBadConn), text: "other columns", forgets: true},
	{code: "0A000", routine: "RevalidateCachedQuery", want: always(driver.ErrBadConn), text: "out of date", forgets: true},
	{code: "40P01", want: always(driver.ErrBadConn), text: "deadlock"},
	{code: "40001", want: always(driver.ErrBadConn), text: "concurrent"},
	{code: "25P02", want: always(nil), text: "the transaction was aborted by an earlier error"},
	{code: "42501", message: "permission denied", want: always(nil), text: "permission denied (docs/pgmq.md"},
	{code: "22021", want: always(driver.ErrInvalid), text: "not UTF-8"},
	cut, lostLink,
	{err: errors.New("sql: " + secret), want: always(nil), text: "the client library rejected the call or the reply"},
}

var (
	cut      = failure{code: "57P01", severity: "FATAL", message: "terminating connection", want: lostConn(driver.ErrBadConn), text: "terminating connection"}
	lostLink = failure{err: errLost, want: lostConn(driver.ErrUnavailable), text: "the connection was lost"}
)

// native is the error as one of the client libraries has it.
func (f failure) native(n int) error {
	severity := cmp.Or(f.severity, "ERROR")
	switch a, b := pgxError(f.code, severity, f.routine).(*pgconn.PgError), pqError(f.code, severity, f.routine).(*pq.Error); {
	case f.err != nil:
		return f.err
	case n%2 == 0:
		a.Message = cmp.Or(f.message, a.Message)
		return a
	default:
		b.Message = cmp.Or(f.message, b.Message)
		return b
	}
}

// refuses fails.
func refuses(err error) fault {
	return func(context.Context, []values) ([]values, error) { return nil, err }
}

// breaks fails after n rows.
func breaks(n int, err error) fault {
	return func(_ context.Context, rows []values) ([]values, error) { return append([]values{}, rows[:n]...), err }
}

// late answers after a while.
func late(took time.Duration) fault {
	return func(ctx context.Context, rows []values) ([]values, error) {
		t := time.NewTimer(took)
		defer t.Stop()
		select {
		case <-t.C:
			return rows, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// TestCallsFail lets each exchange of each call fail in each way.
func TestCallsFail(t *testing.T) {
	eachExchange(t, func(t *testing.T, c call, i int, e exchange) {
		for n, f := range failures {
			if e.text == sqlShape && f.code == "42P01" {
				continue // the catalog is always there
			}
			if f.code == "42P01" && e.text == toJobs && e.kind == callers {
				continue // see TestPublishTxDropped
			}
			if f.code == "22021" && c.reads() {
				continue // see TestWary
			}
			native := f.native(i + n)
			c.try(t, goesWrong(i, refuses(native)), func(t *testing.T, r *rig, err error) {
				f.check(t, e, native, err)
				r.checkCall(t, e, err, f.forgets)
			})
		}
	})
}

// reads reports whether a call shows what messages hold.
func (c call) reads() bool {
	name, _, _ := strings.Cut(c.name, " ")
	return slices.Contains([]string{"Receive", "ReceiveHeads", "ReceiveGroup", "Pop", "Browse", "Search", "CountReasons", "Rows"}, name)
}

// check checks the error of a call that met the failure.
func (f failure) check(t *testing.T, e exchange, native, err error) {
	t.Helper()
	if !errors.Is(err, native) || !strings.Contains(err.Error(), f.text) {
		t.Fatalf("%v: error is %v", native, err)
	}
	kind := e.kind
	if e.text == sqlShape && kind == callers {
		kind = reading
	}
	checkIs(t, native.Error(), err, f.want[kind])
	for _, part := range []string{secret, "SELECT", "INSERT", "DELETE", "UPDATE", "pgmq.", "q_jobs"} {
		if strings.Contains(strings.ReplaceAll(err.Error(), "docs/pgmq.md", ""), part) {
			t.Errorf("%v: error shows %s: %v", native, part, err)
		}
	}
}

// checkCall checks that a caller's transaction can no longer be committed after
// an error, and that a queue that has changed is looked up again.
func (r *rig) checkCall(t *testing.T, e exchange, err error, forgets bool) {
	t.Helper()
	if e.kind == callers && (!r.aborted || !strings.HasSuffix(err.Error(), " (roll the transaction back)")) {
		t.Errorf("the transaction can still be committed after %v", err)
	}
	_, known := r.queues.Load("jobs")
	if _, other := r.queues.Load("other"); other && e.text == move { // the target may be what has changed
		known = true
	}
	if ofQueue := e.text != sqlShape && e.text != sqlNotify && e.kind != beginning && e.kind != committing; known && forgets && ofQueue {
		t.Error("the queue is not looked up again")
	}
}

// TestCallsBreak breaks the connection within each answer. A statement that has
// answered with a row may have been applied, whatever broke the connection.
func TestCallsBreak(t *testing.T) {
	answered := cut
	answered.want = lostLink.want
	eachExchange(t, func(t *testing.T, c call, i int, e exchange) {
		for rows, fs := range [][]failure{{cut, lostLink}, {answered, lostLink}} {
			for _, f := range fs {
				if rows > len(e.rows) || e.kind == beginning || e.kind == committing {
					continue
				}
				native := f.native(i)
				c.try(t, goesWrong(i, breaks(rows, native)), func(t *testing.T, r *rig, err error) {
					f.check(t, e, native, err)
					r.checkCall(t, e, err, false)
				})
			}
		}
	})
}

// TestCallsMisread gives each call a row that it cannot read: one of texts, and
// one with a column too many. Errors do not show the values.
func TestCallsMisread(t *testing.T) {
	eachExchange(t, func(t *testing.T, c call, i int, e exchange) {
		for more := 0; more < 2 && len(e.rows) > 0; more++ {
			row := slices.Repeat(values{secret}, len(e.rows[0])+more)
			wrong := func(context.Context, []values) ([]values, error) { return []values{row}, nil }
			c.try(t, goesWrong(i, wrong), func(t *testing.T, r *rig, err error) {
				if err == nil && more == 0 {
					return // it wants texts
				}
				if checkIs(t, "error", err, nil); err == nil || strings.Contains(err.Error(), secret) {
					t.Errorf("error is %v", err)
				}
				r.checkCall(t, e, err, false)
			})
		}
	})
}

// TestCallsHang: a call ends with its ctx, or a second later if it may have
// leased something or must abort a transaction; whether an answer does not
// come, or stops after a row, or the server is dead from then on.
func TestCallsHang(t *testing.T) {
	silent := func(ctx context.Context, _ []values) ([]values, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	eachExchange(t, func(t *testing.T, c call, i int, e exchange) {
		ways := []func(*rig){goesWrong(i, silent), func(r *rig) { r.at, r.fault, r.dead = i, silent, true }}
		if len(e.rows) > 0 {
			ways = append(ways, goesWrong(i, breaks(1, errHangs)))
		}
		for _, hangs := range ways {
			c.try(t, hangs, func(t *testing.T, r *rig, err error) {
				if took := time.Since(r.start); took > time.Second+claimGrace {
					t.Errorf("it takes %v", took)
				}
				requireErr(t, err, context.Canceled)
				uncertain := e.kind == writing || e.kind == committing
				if e.kind != callers && errors.Is(err, driver.ErrBadConn) || uncertain != errors.Is(err, driver.ErrUnavailable) {
					t.Errorf("error is %v", err)
				}
				if e.kind == callers && !strings.Contains(err.Error(), "roll the transaction back") {
					t.Errorf("error is %v", err)
				}
				r.checkCall(t, e, err, false)
			})
		}
	})
}

package pgmq

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

// call is one entry point of the provider. Its bodies, reasons and groups are
// secret: no error may show them.
type call struct {
	name    string
	run     func(r *rig) error
	answers map[string][]values // where they are not the usual ones
	tx      bool                // it runs in a caller's transaction
	missing bool                // queue jobs does not exist until the call makes it
	conns   int                 // needed, if more than one
	want    error
}

// calls returns all entry points. No queue is known when they begin.
func calls() []call {
	hasPGMQ, hasSchema := statement("has pgmq", nil), statement("has schema", nil)
	waiting := oneMinute
	waiting.Wait = minPoll
	browse, newest := driver.BrowseRequest{Limit: 1}, driver.BrowseRequest{Limit: 1, Newest: true, CutBody: 10}
	search := driver.SearchRequest{BrowseRequest: browse, Match: driver.Match{Text: secret}, Scan: 10}
	groups, group := driver.GroupRequest{ReceiveRequest: oneMinute}, driver.GroupDrainRequest{ReceiveRequest: oneMinute, Value: secret}
	stale, gone := driver.ErrStaleReceipt, driver.ErrMessageNotFound
	return []call{
		{name: "Send", run: sends(body(secret))},
		{name: "Send two", run: sends(body(secret), body(secret))},
		{name: "Receive", run: func(r *rig) error { return second(r.Receive(r.ctx, "jobs", oneMinute)) }},
		{name: "Receive waiting", answers: answers{jobs.claim: nil}, run: func(r *rig) error { return second(r.Receive(r.ctx, "jobs", waiting)) }},
		{name: "Pop", run: func(r *rig) error { return second(r.Pop(r.ctx, "jobs", 10)) }},
		{name: "Settle one", answers: answers{jobs.ack: {failed(1, true)}}, run: settles(ack(lease(7))), want: gone},
		{name: "Settle acks", run: settles(ack(lease(7)), ack(lease(8)))},
		{name: "Settle", run: settles(nack(lease(7), 0), archived(lease(8), secret))},
		{name: "Settle move", run: settles(moved(lease(7), "other", secret))},
		{name: "Settle failing", answers: answers{jobs.nack: {failed(1, false)}}, run: settles(nack(lease(7), 0)), want: stale},
		{name: "Extend", run: func(r *rig) error { return r.Extend(r.ctx, "jobs", []driver.Receipt{lease(7)}, time.Minute) }},
		{name: "Stats", run: func(r *rig) error { return second(r.Stats(r.ctx, "jobs")) }},
		{name: "Browse", run: func(r *rig) error { return second(r.Browse(r.ctx, "jobs", browse)) }},
		{name: "Browse cut", run: func(r *rig) error { return second(r.Browse(r.ctx, "jobs", newest)) }},
		{name: "Search", run: func(r *rig) error { return second(r.Search(r.ctx, "jobs", search)) }},
		{name: "CountReasons", run: func(r *rig) error { return third(r.CountReasons(r.ctx, "jobs", 10)) }},
		{name: "Override", run: takesOver(driver.OpNack)},
		{name: "Override moving", run: takesOver(driver.OpMove)},
		{name: "RemoveArchived", run: func(r *rig) error { return second(r.RemoveArchived(r.ctx, "jobs", []string{"7"})) }},
		{name: "Rows", run: func(r *rig) error { return second(r.Rows(r.ctx, "jobs", "7")) }},
		{name: "SendRows", run: func(r *rig) error { return second(r.SendRows(r.ctx, "jobs", Row{Message: []byte(secret)}, Row{})) }},
		{name: "PurgeQueue", run: purges},
		{name: "PurgeArchive", run: func(r *rig) error { return second(r.PurgeArchive(r.ctx, "jobs", 0)) }},
		{name: "Redrive", run: redrives},
		{name: "ReceiveHeads", run: func(r *rig) error { return second(r.ReceiveHeads(r.ctx, "jobs", groups)) }},
		{name: "ReceiveGroup", run: func(r *rig) error { return second(r.ReceiveGroup(r.ctx, "jobs", group)) }},

		{name: "Bind", run: func(r *rig) error { return r.Bind(r.ctx, "jobs", "a.*") }},
		{name: "Unbind", run: func(r *rig) error { return r.Unbind(r.ctx, "jobs", "a.*") }},
		{name: "Bindings", run: func(r *rig) error { return second(r.Bindings(r.ctx, "jobs")) }},
		{name: "Publish", run: publishes(body(secret), body(secret))},

		{name: "Ping", run: func(r *rig) error { return r.Ping(r.ctx) }},
		{name: "ListQueues", run: func(r *rig) error { return second(r.ListQueues(r.ctx)) }},
		{name: "EnsureQueue", run: ensures()},
		{name: "EnsureQueue by PGMQ", run: ensures(), missing: true},
		{name: "EnsureQueue by itself", run: ensures(), missing: true, answers: answers{hasPGMQ: {pgmqMissing}, hasSchema: {{false, false, false, false, false, false, false, false}}}},
		{name: "EnsureQueue with indexes", run: ensures(driver.GroupBy{})},
		{name: "EnsureQueue with indexes in turn", run: ensures(driver.GroupBy{}), conns: 2},
		{name: "DropQueue", run: drops},
		{name: "Install", answers: answers{hasPGMQ: {pgmqMissing}, sqlShape: {layout15.row()}}, run: func(r *rig) error { return Install(r.ctx, r.db) }},

		{name: "Tx Send", tx: true, run: txSends(body(secret))},
		{name: "Tx Publish", tx: true, run: txPublishes(body(secret))},
		{name: "Tx Settle", tx: true, run: txSettles(nack(lease(7), 0), moved(lease(8), "other", secret))},
		{name: "Tx Settle failing", tx: true, answers: answers{jobs.ackWaiting: {failed(1, false)}}, run: txSettles(ack(lease(7))), want: stale},
	}
}

type answers = map[string][]values

func second[T any](_ T, err error) error { return err }

func third[T, U any](_ T, _ U, err error) error { return err }

func sends(ms ...driver.Message) func(*rig) error {
	return func(r *rig) error { return second(r.Send(r.ctx, "jobs", ms)) }
}

func settles(s ...driver.Settlement) func(*rig) error {
	return func(r *rig) error { return r.Settle(r.ctx, "jobs", s) }
}

func takesOver(op driver.Op) func(*rig) error {
	return func(r *rig) error {
		return second(r.Override(r.ctx, "jobs", []string{"7"}, driver.Settlement{Op: op, To: "other", Reason: secret}))
	}
}

func ensures(by ...driver.GroupBy) func(*rig) error {
	return func(r *rig) error { return r.EnsureQueue(r.ctx, "jobs", indexesBy(by...)) }
}

func purges(r *rig) error   { return second(r.PurgeQueue(r.ctx, "jobs")) }
func redrives(r *rig) error { return second(r.Redrive(r.ctx, "jobs", []string{"7"}, 10)) }
func drops(r *rig) error    { return r.DropQueue(r.ctx, "jobs") }

func txSends(ms ...driver.Message) func(*rig) error {
	return inTransaction(func(r *rig, p driver.TxProvider) error { return second(p.Send(r.ctx, "jobs", ms)) })
}

func publishes(ms ...driver.Message) func(*rig) error {
	return func(r *rig) error { return second(r.Publish(r.ctx, "a.b", ms)) }
}

func txPublishes(ms ...driver.Message) func(*rig) error {
	return inTransaction(func(r *rig, p driver.TxProvider) error {
		return second(p.(driver.TxPublisher).Publish(r.ctx, "a.b", ms))
	})
}

func txSettles(s ...driver.Settlement) func(*rig) error {
	return inTransaction(func(r *rig, p driver.TxProvider) error { return p.Settle(r.ctx, "jobs", s) })
}

// inTransaction calls f inside a transaction of the caller's.
func inTransaction(f func(*rig, driver.TxProvider) error) func(*rig) error {
	return func(r *rig) error {
		tx, err := r.db.Begin()
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		p, err := r.Tx(tx)
		if err != nil {
			return err
		}
		if err := f(r, p); err != nil {
			return err
		}
		return tx.Commit()
	}
}

// usually holds the usual answers, without rows that are not scanned.
var jobsNewest, jobsSearch, jobsReasons = pagesOfJobs()

func pagesOfJobs() (newest, search, reasons string) {
	q := &queue{name: "jobs", names: layout113.names("jobs")}
	newest, _ = pageStatement(q, 0, driver.BrowseRequest{Newest: true, CutBody: 10}, false)
	return newest, searchStatement(q, driver.BrowseRequest{}), statement("reasons", q.names.archived())
}

var usually = func() answers {
	g := groupingOf(layout113, driver.GroupBy{})
	number := []values{{int64(1)}}
	return answers{
		sqlShape: {layout113.row()}, sqlList: {{"jobs"}},
		jobs.insertOneNotifying: number, jobs.insertNotifying: {{int64(1)}, {int64(2)}},
		jobs.claim: {leased(1), leased(2)}, jobs.pop: {leased(1)}, jobs.probe: {{false, nil}},
		jobs.stats:  {{int64(0), int64(0), int64(0), false, int64(0), nil, int64(0), nil, nil, nil, sentAt}},
		jobs.browse: {paged(leased(2))}, jobs.redrive: number, sqlClock: number,
		jobsNewest: {paged(leased(2))}, jobsSearch: {append(values{int64(1), int64(2), true}, paged(leased(2))...)},
		statement("remove archived", layout113.names("jobs")): number,
		jobsReasons: {{secret, int64(1), sentAt, nil}},
		jobs.purge:  {{int64(1), int64(1), int64(1)}}, jobs.purgeArchive: {{int64(1), int64(1), int64(1)}}, jobs.purgeOlder: {{int64(1), int64(1)}},
		g.choose: {{int64(2), ""}}, g.claim: {leased(1, "g")}, g.drain: {leased(1, "g")},
		hasBindings: {{true, true}}, statement("bind", nil): {{"Jobs"}}, statement("bindings", nil): {{"jobs", "a.*"}},
		sqlBound: {{"jobs"}}, toJobs: {{int64(0), int64(1), nil}, {int64(0), int64(2), nil}},
		statement("has pgmq", nil): {pgmqThere}, statement("spellings", nil): {{"Jobs"}},
		statement("has schema", nil): {{true, true, true, false, true, true, true, true}}, statement("try lock indexes", nil): {{true}},
	}
}()

// TestCalls: each call succeeds on a pool with one connection, and gives it
// back. Its own transactions are READ COMMITTED, whatever the server's default:
// the second look at a group must see what was committed before it began.
func TestCalls(t *testing.T) {
	for _, c := range calls() {
		t.Run(c.name, func(t *testing.T) {
			ran := c.try(t, healthy, func(t *testing.T, _ *rig, err error) {
				if !errors.Is(err, c.want) {
					t.Fatalf("error is %v, want %v: %s", err, c.want, chain(err))
				}
			})
			for _, e := range ran {
				if e.kind == beginning && e.text != "BEGIN Read Committed" {
					t.Errorf("it runs %s", e.text)
				}
			}
		})
	}
}

// TestCallsComplete keeps the list complete.
func TestCallsComplete(t *testing.T) {
	seen := make(map[string]bool)
	for _, c := range calls() {
		name, _, _ := strings.Cut(c.name, " ")
		seen[name] = true
	}
	for _, name := range []string{
		"EnsureQueue", "Send", "Receive", "Settle", "Extend", "Stats", "Ping", "DropQueue", "ListQueues", "PurgeQueue", "Pop", "Browse", "Search", "CountReasons", "Override", "RemoveArchived",
		"Redrive", "PurgeArchive", "ReceiveHeads", "ReceiveGroup", "Tx", "Install",
		"Bind", "Unbind", "Bindings", "Publish",
	} {
		if !seen[name] {
			t.Errorf("%s is not among the calls", name)
		}
	}
}

// TestCallsClosed: after Close nothing is run, whether the queue is known or
// not.
func TestCallsClosed(t *testing.T) {
	testRefused(t, driver.ErrClosed, func(r *rig) { _ = r.Close() })
}

// TestCallsEnded: with a ctx that has ended nothing is run, and the error does
// not say that something may have been.
func TestCallsEnded(t *testing.T) {
	testRefused(t, context.Canceled, func(r *rig) { r.ctx = canceled() })
}

// testRefused checks that calls fail without running anything, except for what
// keeps a caller's transaction from being committed.
func testRefused(t *testing.T, want error, prepare func(*rig)) {
	t.Helper()
	for _, c := range calls() {
		if c.name == "Install" && want == driver.ErrClosed {
			continue // it has no provider
		}
		for _, known := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				r := newRig(t, c)
				if known && !c.missing {
					r.known("jobs")
					r.known("other")
				}
				prepare(r)
				err := c.run(r)
				requireErr(t, err, want)
				checkIs(t, c.name, err, want)
				if own := r.own(); len(own) > 0 || c.tx && want == context.Canceled && !r.aborted {
					t.Errorf("it runs %v, and aborts the transaction: %v", own, r.aborted)
				}
				r.released()
			})
		}
	}
}

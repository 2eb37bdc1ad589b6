package plans

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/pgmq"
)

// statement is one that the driver runs, and with what.
type statement struct {
	text string
	args []any
}

// recorder is told of every statement of a connection, and keeps those that
// are about queues.
type recorder struct {
	mu   sync.Mutex
	seen []statement
}

func (r *recorder) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	r.keep(q.SQL, q.Args)
	return ctx
}

// TraceBatchQuery is told of each statement of a transaction that is sent as
// a whole.
func (r *recorder) TraceBatchQuery(_ context.Context, _ *pgx.Conn, q pgx.TraceBatchQueryData) {
	r.keep(q.SQL, q.Args)
}

func (r *recorder) keep(text string, args []any) {
	if strings.Contains(text, `"pgmq".`) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.seen = append(r.seen, statement{text, values(args)})
	}
}

// values returns the arguments that are values, and not options of pgx.
func values(args []any) []any {
	return slices.DeleteFunc(slices.Clone(args), func(arg any) bool {
		_, formats := arg.(pgx.QueryResultFormatsByOID)
		return formats
	})
}

func (*recorder) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}
func (*recorder) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}
func (*recorder) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// take returns what was seen since the last time.
func (r *recorder) take() []statement {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := r.seen
	r.seen = nil
	return seen
}

// batch is how many messages a statement is about.
const batch = 100

// times are those of the rows that fill makes: the receipts below fit them.
const sentAt = 1_600_000_000_000_000 // microseconds since the epoch

// receipts name messages all over the queue.
func receipts(queue string) (rs []driver.Receipt) {
	for i := range batch {
		rs = append(rs, driver.Receipt(fmt.Sprintf("p1:%d:1:%d:%s", 1+i*7919%1000, sentAt, queue)))
	}
	return rs
}

// settlements are of all kinds.
func settlements(queue string, ops ...driver.Op) (s []driver.Settlement) {
	for i, r := range receipts(queue) {
		s = append(s, driver.Settlement{Receipt: r, Op: ops[i%len(ops)], Reason: "why", To: queue})
	}
	return s
}

// operation runs statements, one of which is meant.
type operation struct {
	name string
	at   int
	run  func(ctx context.Context, p *pgmq.Provider, q string) error
}

// hot are the operations that run all day.
var hot = []operation{
	{"insert one", 0, func(ctx context.Context, p *pgmq.Provider, q string) error {
		_, err := p.Send(ctx, q, []driver.Message{{Body: []byte("1")}})
		return err
	}},
	{"insert", 0, func(ctx context.Context, p *pgmq.Provider, q string) error {
		_, err := p.Send(ctx, q, slices.Repeat([]driver.Message{{Body: []byte("1"), Group: "g", Delay: time.Second}}, batch))
		return err
	}},
	{"publish", 0, func(ctx context.Context, p *pgmq.Provider, q string) error {
		if err := p.Bind(ctx, q, q+".*"); err != nil {
			return err
		}
		_, err := p.Publish(ctx, q+".a", []driver.Message{{Body: []byte("1"), Group: "g", Delay: time.Second}, {Body: []byte("2")}})
		return err
	}},
	{"claim", 0, func(ctx context.Context, p *pgmq.Provider, q string) error {
		_, err := p.Receive(ctx, q, driver.ReceiveRequest{Max: batch, Visibility: time.Minute})
		return err
	}},
	{"probe", 1, func(ctx context.Context, p *pgmq.Provider, q string) error {
		_, err := p.Receive(ctx, q, driver.ReceiveRequest{Max: batch, Visibility: time.Minute, Wait: 50 * time.Millisecond})
		return err
	}},
	{"pop", 0, func(ctx context.Context, p *pgmq.Provider, q string) error {
		_, err := p.Pop(ctx, q, batch)
		return err
	}},
	{"ack one", 0, func(ctx context.Context, p *pgmq.Provider, q string) error {
		return p.Settle(ctx, q, settlements(q, driver.OpAck)[:1])
	}},
	{"ack", 0, func(ctx context.Context, p *pgmq.Provider, q string) error {
		return p.Settle(ctx, q, settlements(q, driver.OpAck))
	}},
	{"settle", 0, func(ctx context.Context, p *pgmq.Provider, q string) error {
		return p.Settle(ctx, q, settlements(q, driver.OpAck, driver.OpNack, driver.OpArchive))
	}},
	{"nack", 0, func(ctx context.Context, p *pgmq.Provider, q string) error {
		return p.Settle(ctx, q, settlements(q, driver.OpNack))
	}},
	{"move", 0, func(ctx context.Context, p *pgmq.Provider, q string) error {
		return p.Settle(ctx, q, settlements(q, driver.OpMove))
	}},
	{"extend", 0, func(ctx context.Context, p *pgmq.Provider, q string) error {
		return p.Extend(ctx, q, receipts(q), time.Minute)
	}},
	{"stats", 0, func(ctx context.Context, p *pgmq.Provider, q string) error {
		_, err := p.Stats(ctx, q)
		return err
	}},
	{"browse", 0, func(ctx context.Context, p *pgmq.Provider, q string) error {
		_, err := p.Browse(ctx, q, driver.BrowseRequest{After: "500", Limit: batch})
		return err
	}},
	{"browse newest", 0, func(ctx context.Context, p *pgmq.Provider, q string) error {
		_, err := p.Browse(ctx, q, driver.BrowseRequest{Newest: true, CutBody: 10, Limit: batch})
		return err
	}},
	{"browse some", 0, func(ctx context.Context, p *pgmq.Provider, q string) error {
		var ids []string
		for i := range batch {
			ids = append(ids, fmt.Sprint(1+i*7919%1000))
		}
		_, err := p.Browse(ctx, q, driver.BrowseRequest{IDs: ids, Limit: batch})
		return err
	}},
	{"search", 0, func(ctx context.Context, p *pgmq.Provider, q string) error {
		_, err := p.Search(ctx, q, search(driver.Match{Text: "none", State: driver.StateVisible}))
		return err
	}},
	{"search for all", 0, func(ctx context.Context, p *pgmq.Provider, q string) error {
		_, err := p.Search(ctx, q, search(driver.Match{}))
		return err
	}},
	{"browse archive", 0, func(ctx context.Context, p *pgmq.Provider, q string) error {
		_, err := p.Browse(ctx, q, driver.BrowseRequest{Archive: true, Limit: batch})
		return err
	}},
}

// search looks at a batch of the newest.
func search(m driver.Match) driver.SearchRequest {
	return driver.SearchRequest{BrowseRequest: driver.BrowseRequest{Newest: true, Limit: batch}, Match: m, Scan: batch}
}

// grouped are those of group receivers: one claims in two steps.
var grouped = []operation{{"choose groups", 0, receiveGroups(0)}, {"claim groups", 1, receiveGroups(0)}, {"claim group", 1, receiveGroup}}

// limited are the operations on groups with a limit.
var limited = []operation{{"choose limited groups", 0, receiveGroups(3)}, {"claim limited groups", 1, receiveGroups(3)}}

func receiveGroups(limit int) func(context.Context, *pgmq.Provider, string) error {
	return func(ctx context.Context, p *pgmq.Provider, q string) error {
		r := driver.GroupRequest{ReceiveRequest: driver.ReceiveRequest{Max: batch, Visibility: time.Minute}, By: driver.GroupBy{Limit: limit}}
		_, err := p.ReceiveHeads(ctx, q, r)
		return err
	}
}

func receiveGroup(ctx context.Context, p *pgmq.Provider, q string) error {
	r := driver.GroupDrainRequest{ReceiveRequest: driver.ReceiveRequest{Max: batch, Visibility: time.Minute}, Value: "1", Holding: receipts(q)[:1]}
	_, err := p.ReceiveGroup(ctx, q, r)
	return err
}

// record makes a queue and returns the statements of operations on it.
func record(t *testing.T, dsn, queue string, ops []operation, o pgmq.QueueOptions) map[string]statement {
	t.Helper()
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	r := new(recorder)
	cfg.Tracer = r
	db := stdlib.OpenDB(*cfg)
	t.Cleanup(func() { _ = db.Close() })
	p := pgmq.FromDB(db, pgmq.Config{Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { _ = p.Close() })
	o.NotifyInterval = pgmq.NoNotify
	if err := p.EnsureQueue(t.Context(), queue, driver.QueueOptions{Drivers: []driver.DriverOptions{o}}); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]statement)
	for _, op := range ops {
		r.take()
		_ = op.run(t.Context(), p, queue) // the receipts are stale
		seen := r.take()
		if len(seen) <= op.at {
			t.Fatalf("%s runs %d statements", op.name, len(seen))
		}
		all[op.name] = seen[op.at]
	}
	// Plans are the same without a log, and rows are there sooner. Nobody
	// analyses the queue but the test.
	if _, err := db.Exec("TRUNCATE pgmq.q_" + queue + ", pgmq.a_" + queue + " RESTART IDENTITY; ALTER TABLE pgmq.q_" + queue + " SET UNLOGGED, SET (autovacuum_enabled = off)"); err != nil {
		t.Fatal(err)
	}
	return all
}

package pgmq

import (
	"bytes"
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/DATA-DOG/go-sqlmock"

	"github.com/portmq/mq/driver"
)

// values are the arguments of a statement, or a row.
type values = []sqldriver.Value

// layout is what the catalog says of a queue.
type layout struct {
	queue, archive string // columns; no archive if ""
	indexes        string
	notifies       bool
}

// The layouts that are in use. The names are of versions of PGMQ.
var (
	layout14 = layout{
		queue:   "msg_id,read_ct,enqueued_at,vt,message",
		archive: "msg_id,read_ct,enqueued_at,archived_at,vt,message",
		indexes: "q_jobs_pkey,q_jobs_vt_idx",
	}
	layout15 = layout{
		queue:   "msg_id,read_ct,enqueued_at,vt,message,headers",
		archive: "msg_id,read_ct,enqueued_at,archived_at,vt,message,headers",
		indexes: "q_jobs_pkey,q_jobs_vt_idx",
	}
	layout113 = layout{
		queue:    "msg_id,read_ct,enqueued_at,last_read_at,vt,message,headers",
		archive:  "msg_id,read_ct,enqueued_at,last_read_at,archived_at,vt,message,headers",
		indexes:  "q_jobs_pkey,q_jobs_vt_idx",
		notifies: true,
	}
	layoutUpgraded = layout{
		queue:   "msg_id,read_ct,enqueued_at,vt,message,headers,last_read_at",
		archive: "msg_id,read_ct,enqueued_at,archived_at,vt,message,headers,last_read_at",
		indexes: "q_jobs_vt_idx,q_jobs_pkey",
	}
	layoutHalf  = layout{queue: layout113.queue, archive: layout14.archive, indexes: layout113.indexes}
	layoutTS    = layout{queue: layout14.queue, archive: layout14.archive, indexes: "q_jobs_pkey"}
	layoutAlone = layout{queue: layout113.queue, indexes: "q_jobs_pkey"}
)

var layouts = map[string]layout{
	"1.4": layout14, "1.5": layout15, "1.10": layout113, "1.10 upgraded": layoutUpgraded,
	"archive of 1.4": layoutHalf, "pgmq-ts": layoutTS, "no archive": layoutAlone,
}

// row is the answer to the statement "shape".
func (l layout) row() values {
	row := values{l.queue, nil, nil, l.notifies}
	if l.archive != "" {
		row[1] = l.archive
	}
	if l.indexes != "" {
		row[2] = l.indexes
	}
	return row
}

func (l layout) shape() (s shape) {
	s.columns(strings.Split(l.queue, ","), strings.Split(l.archive, ","))
	s.indexes, s.notifies = strings.Split(l.indexes, ","), l.notifies
	return s
}

// indexed is l with the indexes of a grouping of queue jobs.
func (l layout) indexed(by driver.GroupBy) layout {
	group, lease := groupIndexes("jobs", groupKey(by))
	l.indexes += "," + group + "," + lease
	return l
}

func (l layout) names(queue string) tableNames { return namesOf(queue, l.shape(), "vt") }
func (l layout) texts(queue string) texts      { return textsOf(l.names(queue)) }

var jobs = layout113.texts("jobs")

// mock is a provider on a database that goes by a script.
type mock struct {
	sqlmock.Sqlmock
	*Provider
	t     testing.TB
	db    *sql.DB
	log   logs
	start time.Time
	names map[string]string // of statements, by text
	ran   []string          // statements, and when
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

// mocked runs a test on fake time.
func mocked(t *testing.T, f func(t *testing.T, m *mock)) {
	t.Helper()
	mockedWith(t, Config{}, f)
}

func mockedWith(t *testing.T, cfg Config, f func(t *testing.T, m *mock)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newMock(t, cfg)) })
}

func newMock(t testing.TB, cfg Config) *mock {
	t.Helper()
	m := &mock{t: t, start: time.Now(), names: map[string]string{sqlShape: "shape", sqlNotify: "notify", sqlThrottle: "throttle"}}
	m.name("", jobs)
	db, script, err := sqlmock.New(sqlmock.QueryMatcherOption(sqlmock.QueryMatcherFunc(m.match)))
	if err != nil {
		t.Fatal(err)
	}
	// A connection that is not given back shows at once.
	db.SetMaxOpenConns(1)
	cfg.Logger = m.logger()
	m.db, m.Sqlmock, m.Provider = db, script, newProvider(db, cfg)
	t.Cleanup(m.done)
	return m
}

func (m *mock) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(&m.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// name gives the statements of a queue names for m.ran.
func (m *mock) name(prefix string, t texts) {
	for name, text := range map[string]string{
		"insert": t.insertOne, "insert notifying": t.insertOneNotifying, "claim": t.claim, "probe": t.probe, "settle": t.settle,
	} {
		m.names[text] = prefix + name
	}
}

func (m *mock) match(want, got string) error {
	m.ran = append(m.ran, fmt.Sprintf("%v %s", time.Since(m.start), m.names[got]))
	if want == got { // which is faster
		return nil
	}
	return sqlmock.QueryMatcherEqual.Match(want, got)
}

// done checks that all was run that the script has, and nothing else.
func (m *mock) done() {
	m.must(m.Close())
	synctest.Wait() // for database/sql to roll back
	if err := m.ExpectationsWereMet(); err != nil {
		m.t.Error(err)
	}
	if log := m.log.take(); log != "" && !strings.Contains(log, "no indexes for this grouping") {
		m.t.Errorf("it logs %s", log)
	}
	m.ExpectClose()
	_ = m.db.Close()
}

// released checks that no connection is in use.
func (m *mock) released() {
	m.t.Helper()
	synctest.Wait()
	if n := m.db.Stats().InUse; n != 0 {
		m.t.Errorf("%d connections are in use", n)
	}
}

func (m *mock) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatalf("%v: %s", err, chain(err))
	}
}

// chain returns the texts of an error's causes, which it does not show itself.
func chain(err error) string {
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return chain(e.Unwrap())
	case interface{ Unwrap() []error }:
		var texts []string
		for _, err := range e.Unwrap() {
			texts = append(texts, chain(err))
		}
		return strings.Join(texts, "; ")
	}
	text := fmt.Sprint(err)
	return text[:min(len(text), 500)]
}

// expect adds a statement to the script.
func (m *mock) expect(text string, args ...sqldriver.Value) *sqlmock.ExpectedQuery {
	e := m.ExpectQuery(text)
	if len(args) == 0 {
		return e.WithoutArgs()
	}
	return e.WithArgs(args...)
}

// answers adds a statement and its answer. sqlmock has no lock for its script:
// that of the pool shows the race detector that nobody reads it meanwhile.
func (m *mock) answers(text string, args values, rows ...values) *sqlmock.ExpectedQuery {
	m.db.Stats()
	defer m.db.Stats()
	return m.expect(text, args...).WillReturnRows(rowsOf(rows...))
}

func (m *mock) fails(text string, args values, err error) {
	m.db.Stats()
	defer m.db.Stats()
	m.expect(text, args...).WillReturnError(err)
}

// rowsOf makes the rows of an answer.
func rowsOf(rows ...values) *sqlmock.Rows {
	width := 1
	if len(rows) > 0 {
		width = len(rows[0])
	}
	t := sqlmock.NewRows(make([]string, width))
	for _, row := range rows {
		t.AddRow(row...)
	}
	return t
}

// shape adds the look-up of a queue.
func (m *mock) shape(queue string, l layout) {
	m.answers(sqlShape, values{"q_" + queue, "a_" + queue}, l.row())
}

func (m *mock) noQueue(queue string) { m.answers(sqlShape, values{"q_" + queue, "a_" + queue}) }

// known makes the provider know a queue.
func (m *mock) known(name string, l layout) *queue {
	m.t.Helper()
	m.shape(name, l)
	q, err := m.attach(m.t.Context(), m.db, name)
	m.must(err)
	return q
}

// notifies adds a notification.
func (m *mock) notifies(queue string) {
	m.answers(sqlNotify, values{"pgmq.q_" + queue + ".INSERT"}, values{""})
}

// notified waits for the notification that follows a call.
func (m *mock) notified(queue string) {
	m.notifies(queue)
	time.Sleep(notifyEvery)
	synctest.Wait()
}

// timeline checks what was run, and when.
func (m *mock) timeline(want ...string) {
	m.t.Helper()
	if !slices.Equal(m.ran, want) {
		m.t.Errorf("it runs\n%s\nwant\n%s", strings.Join(m.ran, "\n"), strings.Join(want, "\n"))
	}
}

func requireErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error is %v (%s), want %v", err, chain(err), want)
	}
}

// requireItems checks the errors of a batch, one for each item.
func requireItems(t testing.TB, err error, want ...error) {
	t.Helper()
	var batch *driver.BatchError
	if !errors.As(err, &batch) {
		t.Fatalf("error is %v (%s), want a BatchError", err, chain(err))
	}
	if len(batch.Errs) != len(want) {
		t.Fatalf("%d errors, want %d", len(batch.Errs), len(want))
	}
	for i, got := range batch.Errs {
		// ErrMessageNotFound is ErrStaleReceipt as well.
		if !errors.Is(got, want[i]) || want[i] == driver.ErrStaleReceipt && errors.Is(got, driver.ErrMessageNotFound) {
			t.Errorf("item %d: error is %v, want %v", i, got, want[i])
		}
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// A message as the database shows it.
var (
	sentAt = time.UnixMicro(1_700_000_000_123_456).UTC()
	dueAt  = sentAt.Add(time.Minute)
)

// leased is a row of {{template "delivery"}}.
func leased(id int64, more ...sqldriver.Value) values {
	return append(values{id, int64(2), sentAt, dueAt, []byte(`{"a":1}`), []byte(`{"k":"v","x-pgmq-group":"g"}`)}, more...)
}

// lease is the receipt of such a row.
func lease(id int64) driver.Receipt {
	return receipt{id: id, reads: 2, sentAt: sentAt.UnixMicro()}.encode("jobs")
}

func ack(r driver.Receipt) driver.Settlement {
	return driver.Settlement{Receipt: r, Op: driver.OpAck}
}

func nack(r driver.Receipt, d time.Duration) driver.Settlement {
	return driver.Settlement{Receipt: r, Op: driver.OpNack, Delay: d}
}

func archived(r driver.Receipt, reason string) driver.Settlement {
	return driver.Settlement{Receipt: r, Op: driver.OpArchive, Reason: reason}
}

func moved(r driver.Receipt, to, reason string) driver.Settlement {
	return driver.Settlement{Receipt: r, Op: driver.OpMove, To: to, Reason: reason}
}

// fake is a database that answers by what it is asked: several callers at once
// go by no script.
type fake struct {
	answer   func(ctx context.Context, text string, args values) ([]values, error)
	isolated func(sqldriver.TxOptions)
	ended    func() // a transaction
}

// open returns a provider on the fake.
func (f *fake) open(t testing.TB) *Provider {
	t.Helper()
	db := sql.OpenDB(f)
	p := newProvider(db, Config{Logger: slog.New(slog.DiscardHandler)})
	p.owned = true
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func (f *fake) Connect(context.Context) (sqldriver.Conn, error) { return fakeConn{f}, nil }
func (f *fake) Driver() sqldriver.Driver                        { return nil }

type fakeConn struct{ *fake }

func (fakeConn) Prepare(string) (sqldriver.Stmt, error) { return nil, errors.New("prepared") }
func (fakeConn) Close() error                           { return nil }
func (fakeConn) Begin() (sqldriver.Tx, error)           { return nil, errors.New("begun without options") }

func (c fakeConn) Commit() error { return c.Rollback() }

func (c fakeConn) Rollback() error {
	if c.ended != nil {
		c.ended()
	}
	return nil
}

func (c fakeConn) BeginTx(_ context.Context, o sqldriver.TxOptions) (sqldriver.Tx, error) {
	if c.isolated != nil {
		c.isolated(o)
	}
	return c, nil
}

func (c fakeConn) QueryContext(ctx context.Context, text string, named []sqldriver.NamedValue) (sqldriver.Rows, error) {
	var args values
	for _, n := range named {
		args = append(args, n.Value)
	}
	rows, err := c.answer(ctx, text, args)
	if err != nil {
		return nil, err
	}
	return &fakeRows{rows}, nil
}

type fakeRows struct{ left []values }

func (r *fakeRows) Columns() []string {
	if len(r.left) == 0 {
		return nil
	}
	return make([]string, len(r.left[0]))
}
func (r *fakeRows) Close() error { return nil }

func (r *fakeRows) Next(dest []sqldriver.Value) error {
	if len(r.left) == 0 {
		return io.EOF
	}
	copy(dest, r.left[0])
	r.left = r.left[1:]
	return nil
}

// exchange is a statement of a call, with its answer, or BEGIN or COMMIT.
type exchange struct {
	kind kind
	text string
	args values
	rows []values
}

// kind says what an error of a statement means.
type kind string

const (
	reading    kind = "a statement that changes nothing"
	writing    kind = "a statement that is a transaction of its own"
	within     kind = "a statement in a transaction of the provider's"
	beginning  kind = "BEGIN"
	committing kind = "COMMIT"
	callers    kind = "a statement in a transaction of the caller's"
)

// entry is one way into the provider, with all that it runs on a queue that is
// not known yet.
type entry struct {
	name      string
	call      func(ctx context.Context, m *mock) error
	exchanges []exchange
	notifies  string // a queue of which a notification follows
	want      error
}

// script writes the first n exchanges.
func (m *mock) script(es []exchange) {
	for _, e := range es {
		switch e.kind {
		case beginning:
			m.ExpectBegin()
		case committing:
			m.ExpectCommit()
		default:
			m.answers(e.text, e.args, e.rows...)
		}
	}
}

// fail writes an exchange that fails, and what must follow.
func (m *mock) fail(e exchange, err error) {
	switch e.kind {
	case beginning:
		m.ExpectBegin().WillReturnError(err)
	case committing:
		m.ExpectCommit().WillReturnError(err)
	case within:
		m.fails(e.text, e.args, err)
		m.ExpectRollback()
	case callers:
		m.fails(e.text, e.args, err)
		m.aborts()
		m.ExpectRollback()
	default:
		m.fails(e.text, e.args, err)
	}
}

func looksUp(k kind, queue string, l layout) exchange {
	return exchange{k, sqlShape, values{"q_" + queue, "a_" + queue}, []values{l.row()}}
}

// inTransaction puts a transaction of the provider's around statements.
func inTransaction(first []exchange, statements ...exchange) []exchange {
	es := append(first, exchange{kind: beginning})
	for _, e := range statements {
		e.kind = within
		es = append(es, e)
	}
	return append(es, exchange{kind: committing})
}

func does(text string, args ...sqldriver.Value) exchange {
	return exchange{kind: within, text: text, args: args}
}

func says(row values, text string, args ...sqldriver.Value) exchange {
	return exchange{kind: within, text: text, args: args, rows: []values{row}}
}

// entries are all of them.
func entries() []entry {
	lookup := looksUp(reading, "jobs", layout113)
	on := func(k kind, text string, args values, rows ...values) []exchange {
		return []exchange{lookup, {k, text, args, rows}}
	}
	secretive := driver.Message{Body: []byte(secret)}
	g := groupingOf(layout113, driver.GroupBy{})
	group, leaseIndex := groupIndexes("jobs", groupKey(driver.GroupBy{}))
	half := layout113
	half.indexes += "," + group
	return append(administration(), []entry{
		{"Send", func(ctx context.Context, m *mock) error {
			_, err := m.Send(ctx, "jobs", []driver.Message{secretive})
			return err
		}, on(writing, jobs.insertOneNotifying, values{0, `{"mq:text":"hunter2"}`, nil, jobsChannel}, values{int64(1)}), "", nil},
		{"Send two", func(ctx context.Context, m *mock) error {
			_, err := m.Send(ctx, "jobs", []driver.Message{secretive, secretive})
			return err
		}, on(writing, jobs.insertNotifying, values{nil, `{"{\"mq:text\":\"hunter2\"}","{\"mq:text\":\"hunter2\"}"}`, nil, jobsChannel}, values{int64(1)}, values{int64(2)}), "", nil},
		{"Receive", func(ctx context.Context, m *mock) error {
			_, err := m.Receive(ctx, "jobs", oneMinute)
			return err
		}, on(writing, jobs.claim, values{10, 60_000_000}, leased(1)), "", nil},
		{"Receive, waiting", func(ctx context.Context, m *mock) error {
			r := oneMinute
			r.Wait = minPoll
			_, err := m.Receive(ctx, "jobs", r)
			return err
		}, append(on(writing, jobs.claim, values{10, 60_000_000}), exchange{reading, jobs.probe, nil, []values{{false, nil}}}), "", nil},
		{"Pop", func(ctx context.Context, m *mock) error {
			_, err := m.Pop(ctx, "jobs", 10)
			return err
		}, on(writing, jobs.pop, values{10}, leased(1)), "", nil},
		{"Settle one", settles(ack(lease(7))), append(on(writing, jobs.ackOne, values{7, 2, sentMicros}),
			exchange{reading, jobs.exists, values{7}, nil}), "", driver.ErrMessageNotFound},
		{"Settle acks", settles(ack(lease(7)), ack(lease(8))), on(writing, jobs.ack, values{"{7,8}", "{2,2}", fences(2)}), "", nil},
		{"Settle", settles(nack(lease(7), 0), archived(lease(8), secret)), on(writing, jobs.settle, values{
			"{7,8}", "{2,2}", fences(2), "{2,3}", "{0,0}", `{NULL,"hunter2"}`,
		}), "jobs", nil},
		{"Settle move", settles(moved(lease(7), "other", secret)), []exchange{
			lookup, looksUp(reading, "other", layout15), {writing, move, values{"{7}", "{2}", fences(1), `{"hunter2"}`, "jobs/"}, nil},
		}, "other", nil},
		{"Extend", func(ctx context.Context, m *mock) error {
			return m.Extend(ctx, "jobs", []driver.Receipt{lease(7)}, time.Second)
		}, on(writing, jobs.extend, values{"{7}", "{2}", fences(1), 1_000_000}), "", nil},
		{"Stats", func(ctx context.Context, m *mock) error {
			_, err := m.Stats(ctx, "jobs")
			return err
		}, on(reading, jobs.stats, values{exactUpTo, "q_jobs"}, values{int64(0), int64(0), int64(0), int64(0), nil, nil, nil, nil, nil, nil, sentAt}), "", nil},
		{"Browse", func(ctx context.Context, m *mock) error {
			_, err := m.Browse(ctx, "jobs", driver.BrowseRequest{Limit: 1, After: "1"})
			return err
		}, on(reading, jobs.browse, values{1, 1}, leased(2, nil)), "", nil},
		{"PurgeQueue", func(ctx context.Context, m *mock) error {
			_, err := m.PurgeQueue(ctx, "jobs")
			return err
		}, on(writing, jobs.purge, nil, values{int64(1)}), "", nil},
		{"PurgeArchive", func(ctx context.Context, m *mock) error {
			_, err := m.PurgeArchive(ctx, "jobs", 0)
			return err
		}, on(writing, jobs.purgeArchive, values{0}, values{int64(1)}), "", nil},
		{"Redrive", func(ctx context.Context, m *mock) error {
			_, err := m.Redrive(ctx, "jobs", []string{"7"}, 1)
			return err
		}, on(writing, jobs.redrive, values{"{7}", 1, "jobs/"}, values{int64(1)}), "jobs", nil},
		{"ReceiveGroups", func(ctx context.Context, m *mock) error {
			_, err := m.ReceiveGroups(ctx, "jobs", driver.GroupRequest{ReceiveRequest: oneMinute})
			return err
		}, inTransaction([]exchange{lookup}, says(values{"[]", ""}, g.choose, 10), says(leased(1, "g"), g.claim, 10, 60_000_000)), "", nil},
		{"ReceiveGroup", func(ctx context.Context, m *mock) error {
			_, err := m.ReceiveGroup(ctx, "jobs", driver.GroupDrainRequest{ReceiveRequest: oneMinute, Value: secret})
			return err
		}, inTransaction([]exchange{lookup}, does(g.lock, secret),
			says(leased(1, "g"), g.drain, 10, 60_000_000, secret, "{}", "{}", "{}", false)), "", nil},
		{"EnsureQueue, an index", func(ctx context.Context, m *mock) error {
			return m.EnsureQueue(ctx, "jobs", driver.QueueOptions{GroupIndexes: []driver.GroupBy{{}}})
		}, []exchange{
			looksUp(reading, "jobs", half), looksUp(reading, "jobs", half), looksUp(reading, "jobs", half),
			{reading, "DROP INDEX CONCURRENTLY IF EXISTS pgmq." + ident(leaseIndex), nil, nil},
			{reading, "CREATE INDEX CONCURRENTLY IF NOT EXISTS " + ident(leaseIndex) + ` ON "pgmq"."q_jobs" (((headers ->> 'x-pgmq-group') COLLATE "C"), vt)` +
				` WHERE read_ct > 0 OR ((headers ->> 'x-pgmq-group') COLLATE "C") IS NULL`, nil, nil},
		}, "", nil},
		{"Tx Send", transaction(sends(secretive)), []exchange{
			{kind: beginning},
			looksUp(callers, "jobs", layout113),
			{callers, jobs.insertOneNotifying, values{0, `{"mq:text":"hunter2"}`, nil, jobsChannel}, []values{{int64(1)}}},
			{kind: committing},
		}, "", nil},
		{"Tx Settle", transaction(func(ctx context.Context, c caller) error {
			return c.Settle(ctx, "jobs", []driver.Settlement{nack(lease(7), 0), moved(lease(8), "other", secret)})
		}), []exchange{
			{kind: beginning},
			looksUp(callers, "jobs", layout113),
			{callers, jobs.settle, values{"{7}", "{2}", fences(1), "{2}", "{0}", "{NULL}"}, nil},
			looksUp(callers, "other", layout113),
			{callers, move, values{"{8}", "{2}", fences(1), `{"hunter2"}`, "jobs/"}, nil},
			{callers, sqlNotify, values{jobsChannel}, nil},
			{callers, sqlNotify, values{"pgmq.q_other.INSERT"}, nil},
			{kind: committing},
		}, "", nil},
	}...)
}

// administration are the entries that need no queue that is known.
func administration() []entry {
	n := layout113.names("jobs")
	hasPGMQ := statement("has pgmq", nil)
	none := exchange{reading, sqlShape, values{"q_jobs", "a_jobs"}, nil}
	stillNone := exchange{within, sqlShape, values{"q_jobs", "a_jobs"}, nil}
	unheard := layout113
	unheard.notifies = false
	index := struct{ VTIndex, Q, ArchivedAtIndex, A string }{ident("q_jobs_vt_idx"), n.Q, ident("archived_at_idx_jobs"), n.A}
	ensure := func(ctx context.Context, m *mock) error {
		return m.EnsureQueue(ctx, "jobs", driver.QueueOptions{})
	}
	return []entry{
		{"Ping", func(ctx context.Context, m *mock) error { return m.Ping(ctx) }, []exchange{{reading, sqlPing, nil, []values{{int64(1)}}}}, "", nil},
		{"ListQueues", func(ctx context.Context, m *mock) error {
			_, err := m.ListQueues(ctx)
			return err
		}, []exchange{{reading, sqlList, nil, []values{{"jobs"}}}}, "", nil},
		{"EnsureQueue", ensure, []exchange{looksUp(reading, "jobs", layout113)}, "", nil},
		{"EnsureQueue by PGMQ", ensure, inTransaction([]exchange{none}, does(statement("lock queue", nil), "jobs"), stillNone, says(pgmqThere, hasPGMQ), does(statement("pgmq create", nil), "jobs"),
			does(statement("pgmq enable notify", nil), "jobs", 250), does(statement("tune queue", n))), "", nil},
		{"EnsureQueue by itself", ensure, inTransaction([]exchange{none}, does(statement("lock queue", nil), "jobs"), stillNone, says(pgmqMissing, hasPGMQ), does(statement("lock install", nil)),
			says(values{false, false, false, false}, statement("has schema", nil)), does(statement("make schema", nil)), does(statement("make meta", nil)),
			does(statement("make throttle", nil)), does(statement("make notify function", nil)),
			does(statement("make queue", n)), does(statement("make index", index)), does(statement("make archive", n)),
			does(statement("make archive index", index)), does(statement("tune queue", n)), does(statement("make meta row", nil), "jobs", n.Q),
			looksUp(within, "jobs", unheard), does(statement("make trigger", struct {
				Q, Literal string
				Every      int
			}{n.Q, "E'jobs'", 250})), does(statement("make throttle row", nil), "jobs", 250)), "", nil},
		{"DropQueue", func(ctx context.Context, m *mock) error { return m.DropQueue(ctx, "jobs") }, inTransaction(nil,
			says(pgmqThere, hasPGMQ), does(statement("lock queue", nil), "jobs"), says(values{"Jobs"}, statement("spellings", nil), "jobs"),
			does(statement("pgmq drop", nil), "Jobs"), does(statement("drop queue", n)), does(statement("drop archive", n)),
			does(statement("drop meta rows", nil), "jobs"), does(sqlNotify, jobsChannel)), "", nil},
		{"Install", func(ctx context.Context, m *mock) error { return Install(ctx, m.db) }, inTransaction(nil,
			says(pgmqMissing, hasPGMQ), does(statement("lock install", nil)), says(values{true, true, true, false}, statement("has schema", nil)),
			does(statement("make notify function", nil)), says(values{"jobs"}, sqlList), looksUp(within, "jobs", layout15), does(statement("lock queue", nil), "jobs"),
			does(statement("add last_read_at", n.Q)), does(statement("add last_read_at", n.A)), does(statement("make meta row", nil), "jobs", n.Q)), "", nil},
	}
}

func settles(s ...driver.Settlement) func(context.Context, *mock) error {
	return func(ctx context.Context, m *mock) error { return m.Settle(ctx, "jobs", s) }
}

// transaction makes a call in a transaction of its own, as a caller would.
func transaction(call func(context.Context, caller) error) func(context.Context, *mock) error {
	return func(ctx context.Context, m *mock) error {
		tx, err := m.db.Begin()
		if err != nil {
			return mapError(err)
		}
		defer func() { _ = tx.Rollback() }()
		p, err := m.Tx(tx)
		if err != nil {
			return err
		}
		if err := call(ctx, caller{m, tx, p}); err != nil {
			return err
		}
		return mapError(tx.Commit())
	}
}

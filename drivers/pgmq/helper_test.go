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
func mocked(t *testing.T, f func(m *mock)) {
	t.Helper()
	mockedWith(t, Config{}, f)
}

func mockedWith(t *testing.T, cfg Config, f func(m *mock)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(newMock(t, cfg)) })
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
	return sqlmock.QueryMatcherEqual.Match(want, got)
}

// done checks that all was run that the script has, and nothing else.
func (m *mock) done() {
	m.must(m.Close())
	if err := m.ExpectationsWereMet(); err != nil {
		m.t.Error(err)
	}
	m.released()
	if log := m.log.take(); log != "" {
		m.t.Errorf("it logs %s", log)
	}
	m.ExpectClose()
	_ = m.db.Close()
}

// released checks that no connection is in use.
func (m *mock) released() {
	m.t.Helper()
	if n := m.db.Stats().InUse; n != 0 {
		m.t.Fatalf("%d connections are in use", n)
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
	return fmt.Sprint(err)
}

// expect adds a statement to the script.
func (m *mock) expect(text string, args ...sqldriver.Value) *sqlmock.ExpectedQuery {
	e := m.ExpectQuery(text)
	if len(args) == 0 {
		return e.WithoutArgs()
	}
	return e.WithArgs(args...)
}

// answers adds a statement and its answer.
func (m *mock) answers(text string, args values, rows ...values) *sqlmock.ExpectedQuery {
	return m.expect(text, args...).WillReturnRows(rowsOf(rows...))
}

func (m *mock) fails(text string, args values, err error) {
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
func (m *mock) notifies(queue string) { m.answers(sqlNotify, values{"pgmq.q_" + queue + ".INSERT"}, values{""}) }

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
func (fakeConn) Commit() error                          { return nil }
func (fakeConn) Rollback() error                        { return nil }

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

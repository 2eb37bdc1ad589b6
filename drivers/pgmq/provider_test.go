package pgmq

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

// TestEntries checks what each entry runs, and that it succeeds on a pool with
// one connection.
func TestEntries(t *testing.T) {
	for _, e := range entries() {
		t.Run(e.name, func(t *testing.T) {
			mocked(t, func(t *testing.T, m *mock) {
				m.script(e.exchanges)
				if e.notifies != "" {
					m.notifies(e.notifies)
				}
				err := e.call(t.Context(), m)
				if e.want == nil {
					m.must(err)
				} else {
					requireErr(t, err, e.want)
				}
			})
		})
	}
}

// TestEntriesAll keeps the list of entries complete.
func TestEntriesAll(t *testing.T) {
	seen := make(map[string]bool)
	for _, e := range entries() {
		name, _, _ := strings.Cut(strings.ReplaceAll(e.name, ",", " "), " ")
		seen[name] = true
	}
	for _, name := range []string{
		"EnsureQueue", "Send", "Receive", "Settle", "Extend", "Stats", "Ping", "DropQueue", "ListQueues", "PurgeQueue", "Pop", "Browse",
		"Redrive", "PurgeArchive", "ReceiveGroups", "ReceiveGroup", "Tx", "Install",
	} {
		if !seen[name] {
			t.Errorf("%s is not among the entries", name)
		}
	}
}

// failure is an error of a statement, and what it means by the kind of that.
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

// lostConn is what the loss of a connection means: only what reads, and what is
// in a transaction that is not committed, has certainly not been applied.
func lostConn(writes error) map[kind]error {
	return map[kind]error{
		reading: driver.ErrBadConn, within: driver.ErrBadConn, beginning: driver.ErrBadConn,
		writing: writes, committing: driver.ErrUnavailable, callers: driver.ErrUnavailable,
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
	{code: "57P01", severity: "FATAL", message: "terminating connection", want: lostConn(driver.ErrBadConn), text: "terminating connection"},
	{err: errLost, want: lostConn(driver.ErrUnavailable), text: "the connection was lost"},
	{err: errors.New("sql: " + secret), want: always(nil), text: "the client library refused the call or its answer"},
}

// natives are the errors of both client libraries.
func (f failure) natives() []error {
	if f.err != nil {
		return []error{f.err}
	}
	message, severity := f.message, f.severity
	if message == "" {
		message = "about " + secret
	}
	if severity == "" {
		severity = "ERROR"
	}
	return []error{
		&pgconn.PgError{Code: f.code, Severity: severity, Routine: f.routine, Message: message, Detail: secret, Where: secret},
		&pq.Error{Code: pqerror.Code(f.code), Severity: severity, Routine: f.routine, Message: message, Detail: secret, Where: secret},
	}
}

// TestEntriesFail lets each statement of each entry fail in each way.
func TestEntriesFail(t *testing.T) {
	for _, e := range entries() {
		t.Run(e.name, func(t *testing.T) {
			for i, ex := range e.exchanges {
				for n, f := range failures {
					if ex.text == sqlShape && f.code == "42P01" {
						continue // the catalog is always there
					}
					natives := f.natives()
					native := natives[(i+n)%len(natives)]
					mocked(t, func(t *testing.T, m *mock) { testFailure(t, m, e, i, f, native) })
				}
				if t.Failed() {
					t.Fatalf("when %s failed: %s", ex.kind, ex.text)
				}
			}
		})
	}
}

func testFailure(t *testing.T, m *mock, e entry, i int, f failure, native error) {
	m.script(e.exchanges[:i])
	failing := e.exchanges[i]
	m.fail(failing, native)
	err := e.call(t.Context(), m)
	if err == nil {
		t.Fatalf("%v: no error", native)
	}
	kind := failing.kind
	if failing.text == sqlShape && kind == callers {
		kind = reading
	}
	if byCaller := strings.HasPrefix(e.name, "Tx") && failing.text == ""; !byCaller {
		checkIs(t, native.Error(), err, f.want[kind])
	}
	text := err.Error()
	if !errors.Is(err, native) || !strings.Contains(text, f.text) {
		t.Errorf("%v: error is %v", native, err)
	}
	for _, part := range []string{secret, "SELECT", "INSERT", "DELETE", "UPDATE", "pgmq.", "q_jobs"} {
		if strings.Contains(strings.ReplaceAll(text, "docs/pgmq.md", ""), part) {
			t.Errorf("%v: error shows %s: %v", native, part, err)
		}
	}
	_, known := m.queues.Load("jobs")
	if ofQueue := failing.text != sqlShape && failing.text != sqlNotify && failing.text != ""; known && f.forgets && ofQueue {
		t.Errorf("%v: the queue is not looked up again", native)
	}
	m.released()
	m.answers(sqlPing, nil)
	m.must(m.Ping(t.Context()))
}

// TestEntriesKeepNothing makes 100 calls that fail on a pool with one
// connection, at one statement after the other.
func TestEntriesKeepNothing(t *testing.T) {
	for _, e := range entries() {
		t.Run(e.name, func(t *testing.T) {
			left := 0 // until a statement fails
			f := &fake{answer: func(_ context.Context, text string, _ values) ([]values, error) {
				if left--; left < 0 {
					return nil, pgxError("53200", "ERROR", "")
				}
				for _, ex := range e.exchanges {
					if ex.text == text {
						return ex.rows, nil
					}
				}
				return nil, nil
			}}
			p := f.open(t)
			p.db.SetMaxOpenConns(1)
			statements := 0
			for _, ex := range e.exchanges {
				if ex.kind != beginning && ex.kind != committing {
					statements++
				}
			}
			for n := range 100 {
				left = n % statements
				p.queues.Clear()
				clear(p.hubs) // no notification is to follow from the call before
				if err := e.call(t.Context(), &mock{Provider: p, t: t, db: p.db}); err == nil {
					t.Fatalf("it succeeds without its statement %d", n%statements)
				}
				if n := p.db.Stats().InUse; n != 0 {
					t.Fatalf("%d connections are in use", n)
				}
			}
		})
	}
}

// TestEntriesClosed: after Close nothing is run, whether the queue is known or
// not. The pool is the caller's, and still works.
func TestEntriesClosed(t *testing.T) {
	for _, e := range entries() {
		if strings.HasPrefix(e.name, "Tx") || e.name == "Install" {
			continue // see TestTxClosed
		}
		for _, known := range []bool{false, true} {
			t.Run(e.name, func(t *testing.T) {
				mocked(t, func(t *testing.T, m *mock) {
					if known {
						m.known("jobs", layout113)
						m.known("other", layout113)
					}
					m.must(m.Close())
					requireErr(t, e.call(t.Context(), m), driver.ErrClosed)
				})
			})
		}
	}
}

// TestEntriesEnded: with a ctx that has ended nothing is run, and the error
// does not say that something may have been.
func TestEntriesEnded(t *testing.T) {
	for _, e := range entries() {
		if strings.HasPrefix(e.name, "Tx") {
			continue // see TestTxEnded
		}
		for _, known := range []bool{false, true} {
			t.Run(e.name, func(t *testing.T) {
				mocked(t, func(t *testing.T, m *mock) {
					if known {
						m.known("jobs", layout113)
						m.known("other", layout113)
					}
					err := e.call(canceled(), m)
					if requireErr(t, err, context.Canceled); errors.Is(err, driver.ErrUnavailable) || errors.Is(err, driver.ErrBadConn) {
						t.Errorf("error is %v", err)
					}
				})
			})
		}
	}
}

func TestQueueName(t *testing.T) {
	for _, tt := range []struct{ name, want string }{
		{"jobs", "jobs"},
		{"Jobs_A1", "jobs_a1"},
		{"ÄÖ", "äö"},
		{`a"B'c.d e`, `a"b'c.d e`},
		{strings.Repeat("N", maxName), strings.Repeat("n", maxName)},
		{strings.Repeat("é", maxName/2), strings.Repeat("é", maxName/2)},
		{"", ""},
		{strings.Repeat("n", maxName+1), ""},
		{strings.Repeat("Ⱥ", maxName/2), ""}, // three bytes each in lower case
		{"a\x00", ""},
		{"a\nb", ""},
		{"a\u0085", ""},
		{"\xff", ""},
	} {
		got, err := new(Provider).QueueName(tt.name)
		if got != tt.want || (err != nil) != (tt.want == "") || err != nil && !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("QueueName(%q) = %q, %v, want %q", tt.name, got, err, tt.want)
		}
		if again, err := new(Provider).QueueName(got); got != "" && (again != got || err != nil) {
			t.Errorf("QueueName(%q) = %q, %v: it is not canonical", got, again, err)
		}
	}
	if maxName != 61 {
		t.Errorf("maxName is %d", maxName)
	}
}

func TestCaps(t *testing.T) {
	usual := driver.Caps{
		Delay: true, Headers: true, Groups: true, Durable: true, Shared: true, PortableReceipts: true, LateSettle: true, ExactReadCount: true,
		ExactStats: true, AtomicSend: true, AtomicArchive: true, AtomicMove: true, Order: driver.OrderDue, MaxBatch: 1000, MaxBody: 64 << 20,
		Resolution: time.Microsecond,
	}
	for _, tt := range []struct {
		cfg   Config
		want  func(*driver.Caps)
		order string
	}{
		{Config{}, func(*driver.Caps) {}, "ORDER BY vt LIMIT $1"},
		{Config{ByID: true}, func(c *driver.Caps) { c.Order = driver.OrderID }, "ORDER BY msg_id LIMIT $1"},
		{Config{ExactBodies: true}, func(c *driver.Caps) { c.ExactBodies = true }, "ORDER BY vt LIMIT $1"},
	} {
		mockedWith(t, tt.cfg, func(t *testing.T, m *mock) {
			want := usual
			tt.want(&want)
			if got := m.Caps(); got != want {
				t.Errorf("Caps are %+v, want %+v", got, want)
			}
			if q := m.known("jobs", layout113); !strings.Contains(q.texts.claim, tt.order) {
				t.Errorf("%+v: it claims with %s", tt.cfg, q.texts.claim)
			}
			if m.Name() != "pgmq" {
				t.Errorf("Name is %q", m.Name())
			}
		})
	}
}

// TestOpen checks what a DSN makes of a provider.
func TestOpen(t *testing.T) {
	noEnvironment(t)
	for _, tt := range []struct {
		params          string
		prepares, hears bool
		cfg             Config
	}{
		{"", false, true, Config{}}, // pgx prepares by itself
		{"driver=pgx&poll_only=true", false, false, Config{}},
		{"driver=pq", true, true, Config{}},
		{"driver=pq&prepare=false", false, true, Config{}},
		{"driver=pgx&prepare=false", false, true, Config{}},
		{"order=id&body=bytes", false, true, Config{ByID: true, ExactBodies: true}},
	} {
		c, err := mq.Open("pgmq://app:hunter2@127.0.0.1:1/shop?" + tt.params)
		if err != nil {
			t.Fatal(err)
		}
		p := c.Provider().(*Provider)
		if _, prepares := p.pool.(*stmtPool); prepares != tt.prepares {
			t.Errorf("%q: it prepares statements: %v, want %v", tt.params, prepares, tt.prepares)
		}
		tt.cfg.Logger = p.cfg.Logger
		if hears := p.listenConfig != nil; hears != tt.hears || !p.owned || p.cfg != tt.cfg {
			t.Errorf("%q: it listens: %v, owns its pool: %v, config %+v", tt.params, hears, p.owned, p.cfg)
		}
		if err := errors.Join(c.Close(), p.Close()); err != nil {
			t.Error(err)
		}
		if err := p.db.Ping(); err == nil || err.Error() != "sql: database is closed" {
			t.Errorf("%q: after Close its pool says %v", tt.params, err)
		}
	}
	for _, dsn := range []string{"pgmq://app:hunter2@h/shop?nope=1", "pgmq://app:hunter2@h:x/shop"} {
		if _, err := mq.Open(dsn); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("Open(%q): %v", dsn, err)
		}
	}
}

func TestFromDB(t *testing.T) {
	noEnvironment(t)
	for name, prepares := range map[string]bool{"pgx": false, "postgres": true} {
		db, err := sql.Open(name, "postgres://127.0.0.1:1/shop")
		if err != nil {
			t.Fatal(err)
		}
		p := FromDB(db)
		if _, ok := p.pool.(*stmtPool); ok != prepares || p.listenConfig != nil || p.owned || p.log != slog.Default() {
			t.Errorf("%s: provider is %+v", name, p)
		}
		if err := errors.Join(p.Close(), p.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	}
}

// TestFromDBCloses: the pool is the caller's.
func TestFromDBCloses(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		m.must(m.Close())
		m.must(m.Close())
		requireErr(t, m.Ping(t.Context()), driver.ErrClosed)
		m.must(m.db.Ping())
	})
}

func TestFromDBConfig(t *testing.T) {
	noEnvironment(t)
	for _, tt := range []struct {
		dsn   string
		hears bool
		fails bool
	}{
		{"", false, false},
		{"pgmq://app:hunter2@h/shop", true, false},
		{"postgres://app:hunter2@h/shop", true, false},
		{"postgresql://app:hunter2@h/shop?sslmode=disable", true, false},
		{"postgres://app:hunter2@h/shop?nope=1", false, true},
		{"host=h password=hunter2", false, true},
	} {
		db := sql.OpenDB(&fake{})
		p, err := FromDBConfig(db, Config{ListenDSN: tt.dsn})
		if (err != nil) != tt.fails || err != nil && (strings.Contains(err.Error(), secret) || !strings.HasPrefix(err.Error(), "pgmq: ListenDSN: ")) {
			t.Errorf("ListenDSN %q: %v", tt.dsn, err)
			continue
		}
		if err == nil && (p.listenConfig != nil) != tt.hears {
			t.Errorf("ListenDSN %q: it listens: %v", tt.dsn, p.listenConfig != nil)
		}
		if err == nil && tt.hears && p.listenConfig().Database != "shop" {
			t.Errorf("ListenDSN %q: it listens in database %q", tt.dsn, p.listenConfig().Database)
		}
		_ = db.Close()
	}
}

package pgmq

import (
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

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
		Delay: true, HeadStart: true, Headers: true, Groups: true, GroupLimit: true, Durable: true, Shared: true, PortableReceipts: true, LateSettle: true, ExactReadCount: true, Attempts: true, NackReasons: true,
		ExactStats: true, AtomicSend: true, AtomicArchive: true, AtomicMove: true, Order: driver.OrderDue, MaxBatch: 1000, MaxBody: 64 << 20,
		Resolution: time.Microsecond,
	}
	byID, exact := usual, usual
	byID.Order, byID.HeadStart, exact.ExactBodies = driver.OrderID, false, true
	for _, tt := range []struct {
		cfg   Config
		want  driver.Caps
		order string
	}{{Config{}, usual, "vt"}, {Config{ByID: true}, byID, "msg_id"}, {Config{ExactBodies: true}, exact, "vt"}} {
		p := &Provider{cfg: tt.cfg}
		if got := p.Caps(); got != tt.want || p.order() != tt.order || p.Name() != "pgmq" {
			t.Errorf("%+v: %s orders by %s, Caps are %+v, want %+v", tt.cfg, p.Name(), p.order(), got, tt.want)
		}
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
		p := FromDB(db, Config{})
		if _, ok := p.pool.(*stmtPool); ok != prepares || p.listenConfig != nil || p.owned || p.log == nil {
			t.Errorf("%s: provider is %+v", name, p)
		}
		if err := errors.Join(p.Close(), p.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	}
}

// TestFromDBCloses: the pool is the caller's.
func TestFromDBCloses(t *testing.T) {
	db := sql.OpenDB(&fake{})
	defer func() { _ = db.Close() }()
	p := FromDB(db, Config{})
	if err := errors.Join(p.Close(), p.Close(), db.Ping()); err != nil {
		t.Error(err)
	}
	requireErr(t, p.Ping(t.Context()), driver.ErrClosed)
}

func TestListenConfig(t *testing.T) {
	noEnvironment(t)
	elsewhere, err := pgx.ParseConfig("postgres://app@h/elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(t.Context(), "postgres://app@h/shop")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	from := func(cfg Config) *Provider { return FromPool(pool, cfg) }
	fromDB := func(cfg Config) *Provider { return FromDB(sql.OpenDB(&fake{}), cfg) }
	for _, tt := range []struct {
		from func(Config) *Provider
		cfg  Config
		want string
	}{
		{fromDB, Config{}, ""},
		{fromDB, Config{Listen: elsewhere}, "elsewhere"},
		{fromDB, Config{Listen: elsewhere, PollOnly: true}, ""},
		{from, Config{}, "shop"},
		{from, Config{Listen: elsewhere}, "elsewhere"},
		{from, Config{PollOnly: true}, ""},
	} {
		p, got := tt.from(tt.cfg), ""
		if p.listenConfig != nil {
			cfg, err := p.listenConfig(t.Context())
			if err != nil {
				t.Error(err)
			}
			got = cfg.Database
		}
		if got != tt.want {
			t.Errorf("%+v: it listens in %q, want %q", tt.cfg, got, tt.want)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

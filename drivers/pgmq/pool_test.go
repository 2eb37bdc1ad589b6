package pgmq

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/portmq/mq/driver"
)

// serve is a PostgreSQL server with a script: session answers a connection
// after its startup message, and its end closes it. serve returns the address.
func serve(t *testing.T, session func(settings map[string]string, b *pgproto3.Backend)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				b := pgproto3.NewBackend(c, c)
				if m, _ := b.ReceiveStartupMessage(); m != nil {
					if s, ok := m.(*pgproto3.StartupMessage); ok {
						session(s.Parameters, b)
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

func send(b *pgproto3.Backend, ms ...pgproto3.BackendMessage) {
	for _, m := range ms {
		b.Send(m)
	}
	_ = b.Flush()
}

var ready = &pgproto3.ReadyForQuery{TxStatus: 'I'}

// welcome lets a client in.
func welcome(b *pgproto3.Backend) {
	send(b, &pgproto3.AuthenticationOk{}, &pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte("key4")}, ready)
}

// follow answers what does not run a statement until it gets one that does,
// which it returns.
func follow(b *pgproto3.Backend) pgproto3.FrontendMessage {
	for {
		m, err := b.Receive()
		if err != nil {
			return nil
		}
		switch m := m.(type) {
		case *pgproto3.Query:
			switch {
			case strings.HasPrefix(strings.ToLower(m.String), "begin"):
				send(b, &pgproto3.CommandComplete{CommandTag: []byte("BEGIN")}, &pgproto3.ReadyForQuery{TxStatus: 'T'})
			case strings.HasSuffix(m.String, "ping") || m.String == ";":
				send(b, &pgproto3.EmptyQueryResponse{}, ready)
			default:
				return m
			}
		case *pgproto3.Parse:
			send(b, &pgproto3.ParseComplete{})
		case *pgproto3.Describe:
			send(b, &pgproto3.ParameterDescription{}, &pgproto3.NoData{})
		case *pgproto3.Sync:
			send(b, ready)
		case *pgproto3.Bind:
			return m
		}
	}
}

func openPool(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := mustParse(t, dsn).open(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// clients are the options that make a difference on the wire.
var clients = []string{"driver=pgx", "driver=pgx&prepare=false", "driver=pq", "driver=pq&prepare=false"}

func TestOpenSettings(t *testing.T) {
	noEnvironment(t)
	settings := make(chan map[string]string, len(clients))
	addr := serve(t, func(got map[string]string, b *pgproto3.Backend) {
		settings <- got
		welcome(b)
		follow(b)
	})
	for _, client := range clients {
		db := openPool(t, "pgmq://app@"+addr+"/shop?sslmode=disable&pool_max_conns=3&"+client)
		if err := db.Ping(); err != nil {
			t.Errorf("%s: %v", client, err)
			continue
		}
		got := <-settings
		want := map[string]string{"user": "app", "database": "shop", "application_name": "mq", "client_encoding": "UTF8"}
		if !strings.Contains(client, "prepare") {
			want["enable_seqscan"], want["jit"], want["mq.notify"], want["plan_cache_mode"] = "off", "off", "own", "force_generic_plan"
		}
		delete(got, "datestyle") // lib/pq's own
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: the server gets %v, want %v", client, got, want)
		}
		if n := db.Stats().MaxOpenConnections; n != 3 {
			t.Errorf("%s: %d connections at most, want 3", client, n)
		}
	}
}

// TestOpenLost is a statement whose connection breaks: it must not be made
// again, since it may have been applied. pgx makes it again after an Exec
// without arguments: the driver uses Query.
func TestOpenLost(t *testing.T) {
	noEnvironment(t)
	for name, call := range map[string]func(*sql.DB) error{
		"Exec":  func(db *sql.DB) error { _, err := db.Exec("insert"); return err },
		"Query": func(db *sql.DB) error { return scanAll(db.Query("insert")) },
		"Prepare": func(db *sql.DB) error {
			st, err := db.Prepare("insert")
			if err != nil {
				return fmt.Errorf("in Prepare: %w", err)
			}
			_, err = st.Exec()
			return err
		},
		"PrepareQuery": func(db *sql.DB) error {
			st, err := db.Prepare("insert")
			if err != nil {
				return fmt.Errorf("in Prepare: %w", err)
			}
			return scanAll(st.Query())
		},
		"Commit": func(db *sql.DB) error {
			tx, err := db.Begin()
			if err != nil {
				return fmt.Errorf("in Begin: %w", err)
			}
			return tx.Commit()
		},
	} {
		for _, client := range clients {
			if name == "Exec" && strings.HasPrefix(client, "driver=pgx") {
				continue
			}
			var runs atomic.Int32
			addr := serve(t, func(_ map[string]string, b *pgproto3.Backend) {
				welcome(b)
				if follow(b) != nil {
					runs.Add(1)
				}
			})
			err := call(openPool(t, "pgmq://app@"+addr+"?sslmode=disable&"+client))
			if n := runs.Load(); n != 1 || err == nil || strings.Contains(err.Error(), "in ") {
				t.Errorf("%s, %s: ran %d times, want once: %v", client, name, n, err)
			}
			if mapped := mapError(err); !errors.Is(mapped, driver.ErrUnavailable) || errors.Is(mapped, driver.ErrBadConn) {
				t.Errorf("%s, %s: mapped to %v, want ErrUnavailable", client, name, mapped)
			}
			if !errors.Is(readError(err), driver.ErrBadConn) {
				t.Errorf("%s, %s: readError is %v, want ErrBadConn", client, name, readError(err))
			}
		}
	}
}

func scanAll(rows *sql.Rows, err error) error {
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
	}
	return rows.Err()
}

func TestOpenLostBetweenRows(t *testing.T) {
	noEnvironment(t)
	for _, client := range clients {
		addr := serve(t, func(_ map[string]string, b *pgproto3.Backend) {
			welcome(b)
			follow(b)
			field := pgproto3.FieldDescription{Name: []byte("n"), DataTypeOID: 25, DataTypeSize: -1, TypeModifier: -1}
			row := &pgproto3.DataRow{Values: [][]byte{[]byte("1")}}
			send(b, &pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{field}}, row, row)
		})
		err := scanAll(openPool(t, "pgmq://app@"+addr+"?sslmode=disable&"+client).Query("update"))
		if !errors.Is(mapError(err), driver.ErrUnavailable) {
			t.Errorf("%s: %v, want ErrUnavailable", client, mapError(err))
		}
	}
}

// TestOpenRefused has what a server says instead of letting a client in.
func TestOpenRefused(t *testing.T) {
	noEnvironment(t)
	for _, tt := range []struct {
		code, message string
		is            error
		text          string
	}{
		{"28P01", "password authentication failed", nil, "password authentication failed (SQLSTATE 28P01)"},
		{"3D000", "no such database", nil, "no such database (SQLSTATE 3D000)"},
		{"53300", "too many clients", driver.ErrBadConn, "too many clients (lower pool_max_conns"},
		{"57P03", "starting up", driver.ErrBadConn, "starting up (SQLSTATE 57P03)"},
		{"57P01", "shutting down", driver.ErrBadConn, "shutting down (SQLSTATE 57P01)"},
		{"22023", "hunter2", nil, "the server refuses a setting of the connection (SQLSTATE 22023)"},
		{"XX000", "hunter2", nil, "the database refused the statement (SQLSTATE XX000)"},
		{"08006", "server is gone", driver.ErrBadConn, "server is gone (SQLSTATE 08006)"},
		{"08P01", "no such thing", driver.ErrBadConn, "no such thing (SQLSTATE 08P01)"},
		{"08P01", "unsupported startup parameter: jit", nil, "unsupported startup parameter: jit (behind a pooler set prepare=false, and poll_only=true"},
		{"", "", driver.ErrBadConn, "cannot connect: "},
	} {
		addr := serve(t, func(_ map[string]string, b *pgproto3.Backend) {
			if tt.code != "" {
				send(b, &pgproto3.ErrorResponse{Severity: "FATAL", Code: tt.code, Message: tt.message})
			}
		})
		for _, client := range clients {
			_, err := openPool(t, "pgmq://app:hunter2@"+addr+"?sslmode=disable&"+client).Exec("select 1")
			err = mapError(err)
			if !strings.HasPrefix(err.Error(), tt.text) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: %v, want %s", client, err, tt.text)
			}
			for _, is := range []error{driver.ErrBadConn, driver.ErrUnavailable, driver.ErrInvalid} {
				if errors.Is(err, is) != (is == tt.is) {
					t.Errorf("%s: %v: errors.Is %v is %v", client, err, is, is != tt.is)
				}
			}
		}
	}
}

// TestOpenDown dials a port that nobody listens on.
func TestOpenDown(t *testing.T) {
	noEnvironment(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	for _, client := range clients {
		_, err := openPool(t, "pgmq://app:hunter2@"+addr+"/shop?"+client).Exec("select 1")
		err = mapError(err)
		if !errors.Is(err, driver.ErrBadConn) || !strings.Contains(err.Error(), addr) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", client, err)
		}
	}
}

func TestHostaddr(t *testing.T) {
	noEnvironment(t)
	addr := serve(t, func(_ map[string]string, b *pgproto3.Backend) {
		welcome(b)
		follow(b)
	})
	_, port, _ := net.SplitHostPort(addr)
	for _, client := range clients {
		if err := openPool(t, "pgmq://app@db.invalid:"+port+"?hostaddr=127.0.0.1&sslmode=disable&"+client).Ping(); err != nil {
			t.Errorf("%s: %v", client, err)
		}
	}
}

func TestDialer(t *testing.T) {
	for _, tt := range []struct {
		set  map[string]string
		want time.Duration
		cfg  net.KeepAliveConfig
	}{
		{nil, 0, net.KeepAliveConfig{Enable: true}},
		{map[string]string{"keepalives": "0", "keepalives_idle": "5"}, -1, net.KeepAliveConfig{}},
		{
			map[string]string{"keepalives_idle": "5", "keepalives_interval": "6", "keepalives_count": "7"},
			0,
			net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 6 * time.Second, Count: 7},
		},
	} {
		d, err := newDialer(tt.set)
		if err != nil || d.KeepAlive != tt.want || d.KeepAliveConfig != tt.cfg {
			t.Errorf("newDialer(%v) has %v, %+v, %v", tt.set, d.KeepAlive, d.KeepAliveConfig, err)
		}
	}
}

func TestBalance(t *testing.T) {
	noEnvironment(t)
	o := mustParse(t, "pgmq://a,b,c/?load_balance_hosts=random")
	seen := make(map[string]bool)
	for range 200 {
		cfg := o.listenConfig()
		seen[where(cfg)] = true
		for _, as := range byHost(attempts(cfg)) {
			if len(as) != 2 || as[0].TLSConfig == nil || as[1].TLSConfig != nil {
				t.Fatalf("host %s has not both choices of sslmode=prefer in order", as[0].Host)
			}
		}
	}
	if len(seen) != 6 {
		t.Errorf("%d orders of three hosts in 200 tries, want 6", len(seen))
	}
	if got := where(mustParse(t, "pgmq://u@a,b,c/").listenConfig()); got != "u: a:5432,b:5432,c:5432/" {
		t.Errorf("without load_balance_hosts: %s", got)
	}
}

func TestListenConfigIsACopy(t *testing.T) {
	noEnvironment(t)
	o := mustParse(t, "pgmq://db?driver=pq")
	o.listenConfig().RuntimeParams["x"] = "y"
	if got := o.listenConfig().RuntimeParams; len(got) != 2 || got["client_encoding"] != "UTF8" || got["application_name"] != "mq" {
		t.Errorf("a LISTEN connection has the settings %v", got)
	}
}

func TestPQConnIdle(t *testing.T) {
	noEnvironment(t)
	var gone sync.WaitGroup
	gone.Add(1)
	addr := serve(t, func(_ map[string]string, b *pgproto3.Backend) {
		welcome(b)
		gone.Wait()
	})
	c, err := mustParse(t, "pgmq://app@"+addr+"?sslmode=disable&driver=pq").connector()
	if err != nil {
		t.Fatal(err)
	}
	cn, err := c.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pc := cn.(*pqConn)
	if err := pc.ResetSession(t.Context()); err != nil {
		t.Errorf("a connection just used: %v", err)
	}
	gone.Done()
	pc.used = time.Now().Add(-2 * time.Second)
	if err := pc.ResetSession(t.Context()); err != sqldriver.ErrBadConn {
		t.Errorf("an idle connection that is dead: %v, want ErrBadConn", err)
	}
}

func TestInterrupted(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	other := errors.New("other")
	for _, tt := range []struct {
		ctx   context.Context
		valid bool
		err   error
		want  []error
	}{
		{t.Context(), true, other, []error{other}},
		{t.Context(), true, sqldriver.ErrBadConn, []error{errLost}},
		{t.Context(), false, sqldriver.ErrBadConn, []error{sqldriver.ErrBadConn}},
		{ended, true, other, []error{other, context.Canceled}},
		{ended, true, sqldriver.ErrBadConn, []error{errLost, context.Canceled}},
		{ended, false, sqldriver.ErrBadConn, []error{sqldriver.ErrBadConn}},
	} {
		err := interrupted(tt.ctx, tt.valid, tt.err)
		for _, is := range []error{other, errLost, sqldriver.ErrBadConn, context.Canceled} {
			if errors.Is(err, is) != slices.Contains(tt.want, is) {
				t.Errorf("interrupted(%v, %v, %v) = %v, want %v", tt.ctx.Err(), tt.valid, tt.err, err, tt.want)
			}
		}
	}
}

// TestOpenPrepare tells how a statement comes: with its arguments at once, or
// described first.
func TestOpenPrepare(t *testing.T) {
	noEnvironment(t)
	atOnce := make(chan bool, len(clients))
	addr := serve(t, func(_ map[string]string, b *pgproto3.Backend) {
		welcome(b)
		_, _ = b.Receive()
		m, _ := b.Receive()
		_, bind := m.(*pgproto3.Bind)
		atOnce <- bind
	})
	for _, client := range clients {
		_, _ = openPool(t, "pgmq://app@"+addr+"?sslmode=disable&"+client).Query("select $1", "x")
		if got, want := <-atOnce, strings.Contains(client, "prepare=false"); got != want {
			t.Errorf("%s: the arguments come at once: %v, want %v", client, got, want)
		}
	}
}

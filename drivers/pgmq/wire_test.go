package pgmq

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/portmq/mq/driver"
)

// serve is a PostgreSQL server with a script: session answers a connection
// after its startup message, and its end closes it. serve returns the address.
// Requests to cancel a statement are passed on.
func serve(t *testing.T, session func(settings map[string]string, b *pgproto3.Backend), cancels ...func()) string {
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
				switch m, _ := b.ReceiveStartupMessage(); m := m.(type) {
				case *pgproto3.StartupMessage:
					session(m.Parameters, b)
				case *pgproto3.CancelRequest:
					for _, f := range cancels {
						f()
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

// wired are ways to run a statement. pgx makes one again after an Exec without
// arguments: the driver uses Query, or talks to pgx itself.
var wired = []struct {
	name, only string
	call       func(context.Context, *sql.DB) error
}{
	{"Exec", "driver=pq", func(ctx context.Context, db *sql.DB) error { return second(db.ExecContext(ctx, "insert")) }},
	{"Query", "", func(ctx context.Context, db *sql.DB) error { return scanAll(db.QueryContext(ctx, "insert")) }},
	{"Prepare", "", func(ctx context.Context, db *sql.DB) error {
		st, err := db.PrepareContext(ctx, "insert")
		if err != nil {
			return fmt.Errorf("in Prepare: %w", err)
		}
		return second(st.ExecContext(ctx))
	}},
	{"PrepareQuery", "", func(ctx context.Context, db *sql.DB) error {
		st, err := db.PrepareContext(ctx, "insert")
		if err != nil {
			return fmt.Errorf("in Prepare: %w", err)
		}
		return scanAll(st.QueryContext(ctx))
	}},
	{"Commit", "", func(ctx context.Context, db *sql.DB) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return fmt.Errorf("in Begin: %w", err)
		}
		return tx.Commit()
	}},
	{"directly", "driver=pgx", func(ctx context.Context, db *sql.DB) error {
		return query(ctx, FromDB(db, Config{}).pool, "insert", nil, ignore)
	}},
	{"transaction directly", "driver=pgx", func(ctx context.Context, db *sql.DB) error {
		return FromDB(db, Config{}).transact(ctx, "jobs", step{"insert", nil, ignore})
	}},
}

// wire is a statement on a server of its own.
type wire struct {
	client string
	call   func(context.Context, *sql.DB) error
}

// eachWired makes a wire of each way and each client.
func eachWired(t *testing.T, f func(t *testing.T, w *wire)) {
	t.Helper()
	noEnvironment(t)
	for _, way := range wired {
		for _, client := range clients {
			if strings.HasPrefix(client, way.only) {
				t.Run(way.name+", "+client, func(t *testing.T) { f(t, &wire{client, way.call}) })
			}
		}
	}
}

// run runs the statement, on a server that does session instead of answering
// it, and is told when to cancel it.
func (w *wire) run(ctx context.Context, t *testing.T, session func(*pgproto3.Backend, pgproto3.FrontendMessage), cancel func()) error {
	t.Helper()
	addr := serve(t, func(_ map[string]string, b *pgproto3.Backend) {
		welcome(b)
		if m := follow(b); m != nil {
			session(b, m)
		}
	}, cancel)
	db := openPool(t, "pgmq://app@"+addr+"?sslmode=disable&"+w.client)
	err := w.call(ctx, db)
	if n := db.Stats().InUse; n != 0 {
		t.Errorf("%d connections are in use", n)
	}
	return err
}

// TestOpenLost is a statement whose connection breaks: it must not be made
// again, since it may have been applied.
func TestOpenLost(t *testing.T) {
	eachWired(t, func(t *testing.T, w *wire) {
		var runs atomic.Int32
		err := w.run(t.Context(), t, func(*pgproto3.Backend, pgproto3.FrontendMessage) { runs.Add(1) }, func() {})
		if n := runs.Load(); n != 1 || err == nil || strings.Contains(err.Error(), "in ") {
			t.Errorf("ran %d times, want once: %v", n, err)
		}
		checkIs(t, "mapped", mapError(err), driver.ErrUnavailable)
		checkIs(t, "read", readError(err), driver.ErrBadConn)
	})
}

// TestOpenHangs is a statement that gets no answer: it ends with its ctx, and
// may have been applied. lib/pq asks the server to cancel it, and waits for the
// answer to that, which a server that is dead does not give.
func TestOpenHangs(t *testing.T) {
	eachWired(t, func(t *testing.T, w *wire) {
		ctx, cancel := context.WithCancel(t.Context())
		canceled := make(chan struct{}, 10)
		ended := make(chan error, 1)
		go func() {
			ended <- w.run(ctx, t, func(b *pgproto3.Backend, m pgproto3.FrontendMessage) {
				cancel()
				if strings.HasPrefix(w.client, "driver=pgx") {
					for _, err := b.Receive(); err == nil; _, err = b.Receive() {
					}
					return
				}
				<-canceled
				send(b, &pgproto3.ErrorResponse{Severity: "ERROR", Code: "57014"})
				if _, ok := m.(*pgproto3.Query); ok {
					send(b, ready)
				}
				follow(b) // lib/pq closes its statement
			}, func() { canceled <- struct{}{} })
		}()
		select {
		case err := <-ended:
			requireErr(t, err, context.Canceled)
			checkIs(t, "mapped", mapError(err), driver.ErrUnavailable)
		case <-time.After(30 * time.Second):
			t.Fatal("it does not end")
		}
	})
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

// TestOpenSilent has a server that accepts a connection and says nothing: pgx
// gives up when its ctx ends, lib/pq after connect_timeout only.
func TestOpenSilent(t *testing.T) {
	noEnvironment(t)
	ended := make(chan error, len(clients))
	for _, client := range clients {
		timeout := map[bool]string{true: "&connect_timeout=0", false: "&connect_timeout=1"}[strings.HasPrefix(client, "driver=pgx")]
		ctx, cancel := context.WithCancel(t.Context())
		addr := serve(t, func(_ map[string]string, b *pgproto3.Backend) {
			cancel()
			_, _ = b.Receive()
		})
		db := openPool(t, "pgmq://app@"+addr+"?sslmode=disable&"+client+timeout)
		go func() { ended <- mapError(second(db.ExecContext(ctx, "insert"))) }()
	}
	for range clients {
		select {
		case err := <-ended:
			checkIs(t, "error", err, driver.ErrBadConn)
		case <-time.After(30 * time.Second):
			t.Fatal("a call does not end")
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

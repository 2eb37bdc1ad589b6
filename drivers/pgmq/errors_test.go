package pgmq

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/portmq/mq/driver"
)

// sentinels are all that mapError may map to.
var sentinels = []error{
	driver.ErrBadConn, driver.ErrUnavailable, driver.ErrQueueNotFound, driver.ErrInvalid, driver.ErrTooLarge, driver.ErrClosed,
}

// checkIs checks that err is want, one of the sentinels, and no other.
func checkIs(t *testing.T, what string, err, want error) {
	t.Helper()
	for _, is := range sentinels {
		if got := errors.Is(err, is); got != (is == want || want == driver.ErrTooLarge && is == driver.ErrInvalid) {
			t.Errorf("%s: errors.Is(%q, %q) is %v", what, err, is, got)
		}
	}
}

const secret = "hunter2"

func pgxError(code, severity, routine string) error {
	return &pgconn.PgError{
		Code: code, Severity: severity, Routine: routine, Message: "message " + secret, Detail: secret, Hint: secret,
		Where: secret, InternalQuery: secret, TableName: secret, ColumnName: secret, ConstraintName: secret,
	}
}

func pqError(code, severity, routine string) error {
	return &pq.Error{
		Code: pqerror.Code(code), Severity: severity, Routine: routine, Message: "message " + secret, Detail: secret, Hint: secret,
		Where: secret, InternalQuery: secret, Table: secret, Column: secret, Constraint: secret,
	}
}

func TestMapErrorSQLState(t *testing.T) {
	const shown = true
	for _, tt := range []struct {
		code, severity, routine string
		is                      error
		message                 bool // the server's message is shown
		text                    string
	}{
		{"42P01", "ERROR", "", driver.ErrQueueNotFound, !shown, "queue not found (create it with EnsureQueue) (SQLSTATE 42P01)"},
		{"3F000", "ERROR", "", driver.ErrQueueNotFound, !shown, "create it with EnsureQueue"},

		{"42703", "ERROR", "", driver.ErrBadConn, !shown, "other columns"},
		{"0A000", "ERROR", "RevalidateCachedQuery", driver.ErrBadConn, !shown, "out of date"},
		{"26000", "ERROR", "", driver.ErrBadConn, !shown, "prepare=false"},
		{"42P05", "ERROR", "", driver.ErrBadConn, !shown, "prepare=false"},
		{"40P01", "ERROR", "", driver.ErrBadConn, !shown, "deadlock"},
		{"40001", "ERROR", "", driver.ErrBadConn, !shown, "concurrent"},
		{"55P03", "ERROR", "", driver.ErrBadConn, !shown, "lock"},
		{"53300", "FATAL", "", driver.ErrBadConn, shown, "pool_max_conns"},
		{"57P03", "FATAL", "", driver.ErrBadConn, shown, ""},
		{"57P05", "FATAL", "", driver.ErrBadConn, shown, ""},
		{"08001", "FATAL", "", driver.ErrBadConn, shown, ""},
		{"08004", "FATAL", "", driver.ErrBadConn, shown, ""},

		{"57P01", "FATAL", "", driver.ErrUnavailable, shown, "may or may not"},
		{"57P02", "FATAL", "", driver.ErrUnavailable, shown, "may or may not"},
		{"57014", "ERROR", "", driver.ErrUnavailable, shown, "may or may not"},
		{"08006", "FATAL", "", driver.ErrUnavailable, !shown, "may or may not"},
		{"08003", "ERROR", "", driver.ErrUnavailable, !shown, "may or may not"},
		{"08P01", "FATAL", "", driver.ErrUnavailable, shown, "may or may not"},
		{"XX000", "FATAL", "", driver.ErrUnavailable, !shown, "closed the connection"},
		{"25P03", "FATAL", "", driver.ErrUnavailable, !shown, "closed the connection"},

		{"22P02", "ERROR", "", driver.ErrInvalid, !shown, "invalid argument"},
		{"22P05", "ERROR", "", driver.ErrInvalid, !shown, "invalid argument"},
		{"22003", "ERROR", "", driver.ErrInvalid, !shown, "invalid argument"},
		{"22021", "ERROR", "", driver.ErrInvalid, !shown, "invalid argument"},
		{"22023", "ERROR", "", driver.ErrInvalid, !shown, "invalid argument"},
		{"54001", "ERROR", "", driver.ErrInvalid, !shown, "invalid argument"},
		{"54000", "ERROR", "", driver.ErrTooLarge, !shown, "too large"},

		{"28P01", "ERROR", "", nil, shown, ""},
		{"28000", "ERROR", "", nil, shown, ""},
		{"3D000", "ERROR", "", nil, shown, ""},
		{"42501", "ERROR", "", nil, shown, "docs/pgmq.md"},
		{"25006", "ERROR", "", nil, shown, "target_session_attrs=read-write"},
		{"53100", "ERROR", "", nil, shown, ""},
		{"57P04", "ERROR", "", nil, shown, ""},
		{"25P02", "ERROR", "", nil, !shown, "aborted"},
		{"P0001", "ERROR", "", nil, !shown, "raised an exception"},
		{"23505", "ERROR", "", nil, !shown, "key exists"},
		{"42883", "ERROR", "", nil, !shown, "does not exist"},
		{"0A000", "ERROR", "elsewhere", nil, shown, ""},
		{"42601", "ERROR", "", nil, !shown, "refused the statement (SQLSTATE 42601)"},
		{"XX000", "ERROR", "", nil, !shown, "refused the statement"},
		{"", "ERROR", "", nil, !shown, "refused the statement"},
	} {
		for what, native := range map[string]error{
			"pgx": pgxError(tt.code, tt.severity, tt.routine), "lib/pq": pqError(tt.code, tt.severity, tt.routine),
		} {
			what += " " + tt.code
			err := mapError(fmt.Errorf("wrapped: %w", native))
			checkIs(t, what, err, tt.is)
			if !errors.Is(err, native) || sqlState(err) != tt.code {
				t.Errorf("%s: the native error is not in the chain", what)
			}
			if text := err.Error(); strings.Contains(text, secret) != tt.message || strings.HasPrefix(text, "pgmq: ") ||
				!strings.Contains(text, tt.text) || !strings.HasSuffix(text, tt.code+")") && tt.code != "" {
				t.Errorf("%s: the text is %q", what, text)
			}
		}
	}
}

// timeout is what pgx makes of the end of a context.
type timeout struct{ error }

func (t timeout) Unwrap() error     { return t.error }
func (t timeout) SafeToRetry() bool { return false }

type safeToRetry struct{ error }

func (safeToRetry) SafeToRetry() bool { return true }

func TestMapError(t *testing.T) {
	read := &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	dial := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	closed := sql.OpenDB(pqConnector{})
	_ = closed.Close()
	for _, tt := range []struct {
		err      error
		is       error
		readIs   error
		contains string
	}{
		{context.Canceled, driver.ErrUnavailable, nil, "context canceled"},
		{context.DeadlineExceeded, driver.ErrUnavailable, nil, "deadline exceeded"},
		{timeout{context.DeadlineExceeded}, driver.ErrUnavailable, driver.ErrUnavailable, "deadline exceeded"},
		{fmt.Errorf("%w: %w", context.Canceled, errLost), driver.ErrUnavailable, driver.ErrUnavailable, "context canceled"},
		{fmt.Errorf("%w: %w", context.Canceled, pqError("57014", "ERROR", "")), driver.ErrUnavailable, driver.ErrUnavailable, "57014"},
		{pqError("57014", "ERROR", ""), driver.ErrUnavailable, driver.ErrUnavailable, "57014"},

		{read, driver.ErrUnavailable, driver.ErrBadConn, "connection reset by peer"},
		{io.EOF, driver.ErrUnavailable, driver.ErrBadConn, "the connection was lost"},
		{fmt.Errorf("x: %w", io.ErrUnexpectedEOF), driver.ErrUnavailable, driver.ErrBadConn, "the connection was lost"},
		{net.ErrClosed, driver.ErrUnavailable, driver.ErrBadConn, "the connection was lost"},
		{errLost, driver.ErrUnavailable, driver.ErrBadConn, "the connection was lost"},
		{timeout{errors.New(secret)}, driver.ErrUnavailable, driver.ErrBadConn, "the connection was lost"},
		{fmt.Errorf("%w: %w", safeToRetry{io.EOF}, pgconn.ErrConnClosed), driver.ErrUnavailable, driver.ErrBadConn, "the connection was lost"},
		{pgxError("57P01", "FATAL", ""), driver.ErrUnavailable, driver.ErrBadConn, "57P01"},
		{pgxError("XX000", "FATAL", ""), driver.ErrUnavailable, driver.ErrBadConn, "XX000"},

		{sqldriver.ErrBadConn, driver.ErrBadConn, driver.ErrBadConn, "before the call"},
		{fmt.Errorf("x: %w", safeToRetry{errors.New("conn busy")}), driver.ErrBadConn, driver.ErrBadConn, "before the call"},
		{dial, driver.ErrBadConn, driver.ErrBadConn, "cannot connect: dial tcp: connection refused"},
		{&net.DNSError{Err: "no such host", Name: "db"}, driver.ErrBadConn, driver.ErrBadConn, "cannot connect: lookup db: no such host"},
		{&connectError{io.EOF}, driver.ErrBadConn, driver.ErrBadConn, "cannot connect: EOF"},
		{&connectError{errors.Join(dial, read)}, driver.ErrBadConn, driver.ErrBadConn, "refused; read"},
		{&connectError{pqError("28P01", "FATAL", "")}, nil, nil, "28P01"},
		{&connectError{pqError("57P01", "FATAL", "")}, driver.ErrBadConn, driver.ErrBadConn, "57P01"},

		{sql.ErrConnDone, driver.ErrClosed, driver.ErrClosed, "client is closed"},
		{closed.Ping(), driver.ErrClosed, driver.ErrClosed, "client is closed"},
		{sql.ErrTxDone, nil, nil, "sql: transaction has already"},
		{errors.New("sql: Scan error: " + secret), nil, nil, "the client library rejected the call or the reply"},
	} {
		err := mapError(tt.err)
		checkIs(t, "mapError", err, tt.is)
		checkIs(t, "readError", readError(tt.err), tt.readIs)
		if !errors.Is(err, tt.err) || !errors.Is(readError(tt.err), tt.err) || !strings.Contains(err.Error(), tt.contains) {
			t.Errorf("mapError(%q) is %q", tt.err, err)
		}
		if again := mapError(err); again != err {
			t.Errorf("mapError of what it returned is %q, not the same", again)
		}
	}
	if mapError(nil) != nil || readError(nil) != nil || notApplied(nil) != nil {
		t.Error("nil is mapped to an error")
	}
	if err := readError(context.Canceled); err != context.Canceled {
		t.Errorf("readError(context.Canceled) = %v", err)
	}
}

func TestNotApplied(t *testing.T) {
	for _, native := range []error{pgxError("23505", "ERROR", ""), pqError("57P01", "FATAL", ""), io.EOF} {
		err := notApplied(native)
		checkIs(t, "notApplied", err, driver.ErrBadConn)
		if !errors.Is(err, native) || strings.Contains(err.Error(), "may or may not") {
			t.Errorf("notApplied(%q) = %q", native, err)
		}
	}
}

func TestCutOff(t *testing.T) {
	for code, want := range map[string]bool{"57P01": true, "57P02": true, "57P03": false, "57014": false, "": false} {
		for _, err := range []error{pgxError(code, "FATAL", ""), fmt.Errorf("x: %w", pqError(code, "FATAL", "")), mapError(pqError(code, "FATAL", ""))} {
			if cutOff(err) != want {
				t.Errorf("cutOff(%v) is %v", err, !want)
			}
		}
	}
	if cutOff(nil) || cutOff(io.EOF) {
		t.Error("cutOff is true for what the server did not say")
	}
}

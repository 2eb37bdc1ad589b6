package pgmq

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/lib/pq"

	"github.com/portmq/mq/driver"
)

// dbError is an error of the database or of the way to it. Its text shows
// neither SQL nor data.
type dbError struct {
	text  string
	code  string // SQLSTATE, or ""
	is    error  // one of package driver, or nil
	cause error  // the native error
}

func (e *dbError) Error() string {
	text := e.text // mq puts the provider's name in front
	if e.is == driver.ErrUnavailable {
		text += ": the call may or may not have taken effect"
	}
	if e.code != "" {
		text += " (SQLSTATE " + e.code + ")"
	}
	return text
}

func (e *dbError) Unwrap() []error {
	if e.is == nil {
		return []error{e.cause}
	}
	return []error{e.is, e.cause}
}

// mapError maps what database/sql, pgx and lib/pq return to the errors of
// package driver.
//
// The bare errors of a context say nothing: database/sql returns them when
// nothing was sent, but also pgx when a statement was cut off, and sql.Rows
// when one has run.
func mapError(err error) error {
	var mapped *dbError
	switch {
	case err == nil || errors.As(err, &mapped) || ours(err) || errors.Is(err, sql.ErrTxDone) || errors.Is(err, pgx.ErrTxClosed):
		return err
	case errors.Is(err, errFull):
		return &dbError{text: err.Error() + " (raise pool_max_conns, SetMaxOpenConns or pgxpool's MaxConns, or lower Concurrency)", is: driver.ErrBadConn, cause: err}
	case errors.Is(err, sql.ErrConnDone) || err.Error() == "sql: database is closed" || isClosedPool(err):
		return &dbError{text: driver.ErrClosed.Error(), is: driver.ErrClosed, cause: err}
	}
	connecting, reason := dialing(err)
	if server, ok := serverError(err); ok {
		return server.mapped(connecting, err)
	}
	e := &dbError{cause: err}
	switch {
	case connecting:
		e.is, e.text = driver.ErrBadConn, "cannot connect: "+reason
	case unsent(err):
		e.is, e.text = driver.ErrBadConn, "the connection was lost before the call"
	case ended(err) != nil:
		e.is, e.text = driver.ErrUnavailable, "the call was cut off: "+ended(err).Error()+blocker(err)
	case lost(err):
		e.is, e.text = driver.ErrUnavailable, "the connection was lost"+because(err)
	default:
		e.text = "the client library rejected the call or the reply (details withheld, they may contain data: use errors.As)"
	}
	return e
}

// ours reports whether err is an answer of this package, which no library gave.
func ours(err error) bool {
	for _, answer := range []error{driver.ErrQueueNotFound, driver.ErrInvalid, driver.ErrNotSupported, driver.ErrClosed} {
		if errors.Is(err, answer) {
			return true
		}
	}
	return false
}

// unsent reports whether err says that a statement never left.
// pgconn.ErrConnClosed does not, whatever its SafeToRetry: it is also what a
// Commit returns whose connection broke.
func unsent(err error) bool {
	return errors.Is(err, sqldriver.ErrBadConn) || pgconn.SafeToRetry(err) && !errors.Is(err, pgconn.ErrConnClosed)
}

// readError is mapError for statements that change nothing: with the
// connection nothing is lost. The end of the context stays what it is.
func readError(err error) error {
	if err == context.Canceled || err == context.DeadlineExceeded {
		return err
	}
	if errors.Is(mapError(err), driver.ErrUnavailable) && ended(err) == nil && sqlState(err) != "57014" {
		return notApplied(err)
	}
	return mapError(err)
}

// notApplied is mapError where the caller knows that trying again is right.
func notApplied(err error) error {
	var e *dbError
	if err = mapError(err); !errors.As(err, &e) {
		return err
	}
	return &dbError{e.text, e.code, driver.ErrBadConn, e.cause}
}

// cutOff reports whether the server ended the connection of its own accord,
// for a restart, say. A statement outside of a transaction that got this for
// an answer, and no row before, has not been applied.
func cutOff(err error) bool {
	code := sqlState(err)
	return code == "57P01" || code == "57P02"
}

// sqlState returns the SQLSTATE of err, or "".
func sqlState(err error) string {
	server, _ := serverError(err)
	return server.code
}

// connectError marks an error of opening a connection, for libraries that do
// not.
type connectError struct{ error }

func (e *connectError) Unwrap() error { return e.error }

// dialing reports whether err comes from opening a connection, and why it
// failed. pgx's own text has user and database as well.
func dialing(err error) (yes bool, reason string) {
	var pgxErr *pgconn.ConnectError
	var pqErr *connectError
	var op *net.OpError
	var dns *net.DNSError
	switch {
	case errors.As(err, &pgxErr):
		reason = pgxErr.Unwrap().Error()
	case errors.As(err, &pqErr):
		reason = pqErr.Error()
	case errors.As(err, &op) && op.Op == "dial":
		reason = op.Error()
	case errors.As(err, &dns):
		reason = dns.Error()
	default:
		return false, ""
	}
	return true, strings.ReplaceAll(reason, "\n", "; ")
}

// ended returns the error of a context by which a statement was cut off, or nil.
func ended(err error) error {
	if errors.Is(err, errFull) {
		return nil
	}
	for _, end := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, end) {
			return end
		}
	}
	return nil
}

// lost reports whether err broke a connection.
func lost(err error) bool {
	var network net.Error
	var unsafe interface{ SafeToRetry() bool } // pgx's errors of a connection have it
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, errLost} {
		if errors.Is(err, end) {
			return true
		}
	}
	return errors.As(err, &network) || errors.As(err, &unsafe)
}

func because(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		return ": " + op.Error()
	}
	return ""
}

// answer is what the server says.
type answer struct {
	code, message, routine string
	fatal                  bool // it has closed the connection
}

func serverError(err error) (answer, bool) {
	var a *pgconn.PgError
	var b *pq.Error
	switch {
	case errors.As(err, &a):
		return answer{a.Code, a.Message, a.Routine, a.Severity == "FATAL" || a.SeverityUnlocalized == "FATAL"}, true
	case errors.As(err, &b):
		return answer{string(b.Code), b.Message, b.Routine, b.Fatal()}, true
	}
	return answer{}, false
}

// meaning is what a SQLSTATE means. %s stands for the server's message: only
// in those that cannot hold data.
type meaning struct {
	is   error
	text string
}

var meanings = map[string]meaning{
	"42P01": {driver.ErrQueueNotFound, driver.ErrQueueNotFound.Error()},
	"3F000": {driver.ErrQueueNotFound, driver.ErrQueueNotFound.Error()},

	"08001": {driver.ErrBadConn, "%s"},
	"08004": {driver.ErrBadConn, "%s"},
	"26000": {driver.ErrBadConn, "a prepared statement is gone (behind a pooler set prepare=false)"},
	"40001": {driver.ErrBadConn, "rolled back because of a concurrent transaction (this happens only above READ COMMITTED: see default_transaction_isolation)"},
	"40P01": {driver.ErrBadConn, "rolled back because of a deadlock"},
	"42703": {driver.ErrBadConn, "the queue has other columns than before"},
	"42P05": {driver.ErrBadConn, "a prepared statement of that name exists already: the session is shared (behind a pooler set prepare=false)"},
	"53300": {driver.ErrBadConn, "%s (lower pool_max_conns, or raise max_connections)"},
	"55P03": {driver.ErrBadConn, "a lock could not be had in time"},
	"57P03": {driver.ErrBadConn, "%s"},
	"57P05": {driver.ErrBadConn, "%s"},

	"08P01": {driver.ErrUnavailable, "%s"},
	"57014": {driver.ErrUnavailable, "%s"},
	"57P01": {driver.ErrUnavailable, "%s"},
	"57P02": {driver.ErrUnavailable, "%s"},

	"22003": {driver.ErrInvalid, "invalid argument: a number is out of range"},
	"22021": {driver.ErrInvalid, "invalid argument: text is not UTF-8"},
	"22023": {driver.ErrInvalid, "invalid argument: a value is out of range"},
	"22P02": {driver.ErrInvalid, "invalid argument: text cannot be read as the type it is for"},
	"22P05": {driver.ErrInvalid, "invalid argument: a character cannot be stored"},
	"54001": {driver.ErrInvalid, "invalid argument: JSON is nested too deeply"},
	"54000": {driver.ErrTooLarge, "message is too large, or its group key for the index of groups"},

	"0A000": {nil, "%s"},
	"23505": {nil, "a row with that key exists (the sequence of the queue is behind its ids: EnsureQueue raises it)"},
	"25006": {nil, "%s (a standby? set target_session_attrs=read-write)"},
	"25P02": {nil, "the transaction was aborted by an earlier error"},
	"28000": {nil, "%s"},
	"28P01": {nil, "%s"},
	"3D000": {nil, "%s"},
	"42501": {nil, "%s (docs/pgmq.md lists the rights a role needs)"},
	"42883": {nil, "a function does not exist (is the extension another version?)"},
	"P0001": {nil, "a function or trigger raised an exception"},
}

// meaning returns what an answer means where its code alone does not say it.
func (a answer) meaning(connecting bool) meaning {
	v, known := meanings[a.code]
	switch class := (a.code + "00")[:2]; {
	case a.code == "08P01" && strings.Contains(a.message, "startup parameter"):
		return meaning{nil, "%s (behind a pooler set prepare=false, and poll_only=true if it pools transactions)"}
	case a.code == "0A000" && a.routine == "RevalidateCachedQuery":
		return meaning{driver.ErrBadConn, "a prepared statement is out of date"}
	case connecting && v.is == driver.ErrUnavailable:
		return meaning{driver.ErrBadConn, v.text}
	case connecting && v.is == driver.ErrInvalid:
		return meaning{nil, "the server refuses a setting of the connection"}
	case known:
		return v
	case connecting && class == "08":
		return meaning{driver.ErrBadConn, "%s"}
	case class == "08" || a.fatal && !connecting:
		return meaning{driver.ErrUnavailable, "the server closed the connection"}
	case class == "53" || class == "57":
		return meaning{nil, "%s"}
	}
	return meaning{nil, "the database refused the statement"}
}

func (a answer) mapped(connecting bool, cause error) error {
	v := a.meaning(connecting)
	text := strings.Replace(v.text, "%s", strings.ReplaceAll(a.message, "\n", "; "), 1) + blocker(cause)
	return &dbError{text, a.code, v.is, cause}
}

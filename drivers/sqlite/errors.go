package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/portmq/mq/driver"
)

// Primary result codes of SQLite, https://sqlite.org/rescode.html.
const (
	codePerm      = 3
	codeBusy      = 5
	codeLocked    = 6
	codeNoMemory  = 7
	codeReadOnly  = 8
	codeInterrupt = 9
	codeIO        = 10
	codeCorrupt   = 11
	codeFull      = 13
	codeCantOpen  = 14
	codeProtocol  = 15
	codeTooBig    = 18
	codeAuth      = 23
	codeNotADB    = 26

	codeBusySnapshot = codeBusy | 2<<8
)

// resultCode returns the extended result code of an error of any SQLite library,
// or 0. None of them exports an interface for it, and this package imports only
// one: modernc.org/sqlite and ncruces/go-sqlite3 have methods, mattn/go-sqlite3 has
// fields.
func resultCode(err error) int {
	for ; err != nil; err = errors.Unwrap(err) {
		v := reflect.ValueOf(err)
		for _, name := range []string{"ExtendedCode", "Code"} {
			if m := v.MethodByName(name); m.IsValid() && m.Type().NumIn() == 0 && m.Type().NumOut() == 1 {
				if code, ok := number(m.Call(nil)[0]); ok {
					return code
				}
			}
			if v.Kind() != reflect.Struct {
				continue
			}
			if f := v.FieldByName(name); f.IsValid() {
				if code, ok := number(f); ok && code != 0 {
					return code
				}
			}
		}
	}
	return 0
}

func number(v reflect.Value) (int, bool) {
	switch {
	case v.CanInt():
		return int(v.Int()), true
	case v.CanUint():
		return int(v.Uint()), true
	}
	return 0, false
}

// isBusy reports whether err says that another connection has a lock, so that the
// statement, or the transaction, is to be tried again.
func isBusy(err error) bool {
	code := resultCode(err)
	primary := code & 0xff
	return (primary == codeBusy && code != codeBusySnapshot) || primary == codeLocked || primary == codeProtocol
}

// cutOff returns the error of ctx where that is why a statement has failed: a library may
// say no more than that it was interrupted.
func cutOff(ctx context.Context, err error) error {
	if resultCode(err)&0xff == codeInterrupt && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// fileError is an error of SQLite. Its text shows neither SQL nor data.
type fileError struct {
	text  string
	is    error // one of package driver, or nil
	cause error // the library's, or nil
}

func (e *fileError) Error() string { return e.text }

func (e *fileError) Unwrap() []error {
	return slices.DeleteFunc([]error{e.is, e.cause}, func(err error) bool { return err == nil })
}

// refuse returns the error of a file, or a database, that the provider does not work
// on.
func refuse(format string, args ...any) error {
	return &fileError{text: fmt.Sprintf(format, args...), is: driver.ErrInvalid}
}

// mapError maps errors of database/sql and of a SQLite library to those of package
// driver. What comes before the commit has changed nothing.
func mapError(err error) error {
	var mapped *fileError
	switch {
	case err == nil, errors.As(err, &mapped), resultCode(err) == 0 && ours(err):
		return err
	case errors.Is(err, sql.ErrConnDone), err.Error() == "sql: database is closed":
		return fmt.Errorf("%w: %w", driver.ErrClosed, err)
	}
	code := resultCode(err)
	e := &fileError{cause: err, text: fmt.Sprintf("SQLite refused the call (result code %d; details withheld, they may contain data: use errors.As)", code)}
	if known, ok := texts[code&0xff]; ok {
		e.text, e.is = fmt.Sprintf("%s (result code %d)", known.text, code), known.is
	}
	if code == codeBusySnapshot {
		e.text = "another connection has written since the transaction began to read, so that it cannot write any more (begin it with BEGIN IMMEDIATE, or write before you read)"
	}
	return e
}

var texts = map[int]struct {
	text string
	is   error
}{
	codePerm:     {text: "the file must not be written by this user"},
	codeBusy:     {text: "another connection has locked the database"},
	codeLocked:   {text: "another connection has locked the database"},
	codeNoMemory: {text: "SQLite is out of memory"},
	codeReadOnly: {text: "the file, its directory, or the -wal or -shm file beside it is read-only: the queue needs to write to all of them"},
	codeIO:       {text: "the disk reported an error"},
	codeCorrupt:  {text: "the file is damaged (PRAGMA integrity_check tells more; restore a copy, or save what can be read with the .recover command of the sqlite3 shell)"},
	codeFull:     {text: "the disk is full, or the file has reached its max_page_count: nothing was stored"},
	codeCantOpen: {text: "cannot open the file (is it a file, does its directory exist, and may this user write to it?)", is: driver.ErrBadConn},
	codeTooBig:   {text: "SQLite's own limit", is: driver.ErrTooLarge},
	codeAuth:     {text: "the connection's authorizer forbids it"},
	codeNotADB:   {text: "the file is not an SQLite database, or is an encrypted one"},
}

// ours reports whether no library gave err: it is of package driver, of a context, or
// of database/sql itself.
func ours(err error) bool {
	for _, known := range []error{
		driver.ErrQueueNotFound, driver.ErrInvalid, driver.ErrNotSupported, driver.ErrClosed, driver.ErrStaleReceipt,
		driver.ErrInvalidReceipt, driver.ErrBadConn, driver.ErrUnavailable, context.Canceled, context.DeadlineExceeded, sql.ErrTxDone,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// uncertain is the error of a commit that failed: what reached the disk before may be
// found there after a crash.
func uncertain(err error) error {
	if resultCode(err)&0xff != codeIO {
		return err
	}
	return &fileError{text: "the disk reported an error during the commit: the call may or may not have taken effect", is: driver.ErrUnavailable, cause: err}
}

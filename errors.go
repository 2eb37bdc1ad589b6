package mq

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"

	"github.com/portmq/mq/driver"
)

// Errors of a call that cannot work as it was made. Nothing was changed.
var (
	// ErrNotSupported: the provider cannot do this. It wraps
	// errors.ErrUnsupported.
	ErrNotSupported = driver.ErrNotSupported
	// ErrInvalid: an argument is outside its range.
	ErrInvalid = driver.ErrInvalid
	// ErrTooLarge: a body is above the provider's limit. It wraps ErrInvalid.
	ErrTooLarge = driver.ErrTooLarge
	// ErrQueueNotFound: there is no such queue.
	ErrQueueNotFound = driver.ErrQueueNotFound
	// ErrClosed: the client has been closed.
	ErrClosed = driver.ErrClosed
)

// Errors of one delivery or receipt. The others of a batch take effect.
var (
	// ErrStaleReceipt: the lease is over, and the message may be with
	// somebody else. It is also the cause with which a handler's context ends
	// when its lease is lost.
	ErrStaleReceipt = driver.ErrStaleReceipt
	// ErrMessageNotFound: the message is gone. It wraps ErrStaleReceipt.
	ErrMessageNotFound = driver.ErrMessageNotFound
	// ErrInvalidReceipt: the receipt is malformed, or of another queue.
	ErrInvalidReceipt = driver.ErrInvalidReceipt
)

// Errors of the way to the backend.
var (
	// ErrBadConn: the backend could not be reached and the call was certainly
	// not applied. mq has already retried it, but for Ping and in a
	// transaction.
	ErrBadConn = driver.ErrBadConn
	// ErrUnavailable: the call may or may not have been applied.
	ErrUnavailable = driver.ErrUnavailable
)

// ErrStopping is the cause with which a handler's context ends when its
// Consumer has been told to stop and SoftStop is over.
var ErrStopping = errors.New("mq: consumer is stopping")

// BatchError tells which items of a batch did not take effect. Find it with
// errors.As.
type BatchError = driver.BatchError

// Error is what every method of this package returns when it fails: the
// operation, where it was going, and why it failed.
type Error struct {
	Op       string // "send", "receive", "ack", ...
	Provider string // set if the provider said so, "" if mq did
	Queue    string // "" if the operation has none
	Err      error
}

// Error formats e as `mq: op "queue": provider: cause`.
func (e *Error) Error() string {
	s := "mq: " + e.Op
	if e.Queue != "" {
		s += " " + strconv.Quote(e.Queue)
	}
	if e.Provider != "" {
		s += ": " + e.Provider
	}
	return s + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// openError is the *Error of Open, whose text begins with the DSN instead.
type openError struct{ e *Error }

func (e *openError) Error() string { return e.e.Err.Error() }
func (e *openError) Unwrap() error { return e.e }

// DecodeError is a payload that does not decode into its type. A Consumer
// dead-letters such a message without another try.
type DecodeError struct {
	Type string // the Go type
	Err  error
}

// Error names the type and the codec's error, which may quote a few characters
// of the payload.
func (e *DecodeError) Error() string {
	return fmt.Sprintf("payload does not decode into %s: %v", e.Type, e.Err)
}

// Unwrap returns the codec's error.
func (e *DecodeError) Unwrap() error { return e.Err }

// PanicError is the panic of a handler, or of another function of the program that
// mq has called, seen as an error.
type PanicError struct {
	Value any    // what was passed to panic
	Stack []byte // as from debug.Stack

	function string // "" for a handler
}

// Error names the function and the panic's value, without the stack.
func (e *PanicError) Error() string {
	return fmt.Sprintf("%s panicked: %v", cmp.Or(e.function, "handler"), e.Value)
}

// Unwrap returns the panic's value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// StopError says that a Consumer stopped although handlers were still
// running after HardStop. Their messages come back when their visibility
// timeouts end.
type StopError struct {
	Abandoned int // handlers still running
}

// Error counts the handlers.
func (e *StopError) Error() string {
	return fmt.Sprintf("mq: consumer stopped with %d handlers still running (do they watch ctx.Done?)", e.Abandoned)
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}

func unsupported(what string) error {
	return fmt.Errorf("%w: %s", ErrNotSupported, what)
}

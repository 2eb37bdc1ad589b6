package driver

import (
	"errors"
	"fmt"
)

// sentinel is an error that also is another, broader one.
type sentinel struct {
	text string
	is   error
}

func (e *sentinel) Error() string { return e.text }
func (e *sentinel) Unwrap() error { return e.is }

// Errors of a call that cannot work as it was made. Nothing was changed.
var (
	// ErrNotSupported: the provider cannot do this. It wraps
	// errors.ErrUnsupported.
	ErrNotSupported error = &sentinel{"not supported by this provider", errors.ErrUnsupported}
	// ErrInvalid: an argument is outside its range.
	ErrInvalid = errors.New("invalid argument")
	// ErrTooLarge: a body is above Caps.MaxBody. It wraps ErrInvalid.
	ErrTooLarge error = &sentinel{"message is too large", ErrInvalid}
	// ErrQueueNotFound: there is no such queue.
	ErrQueueNotFound = errors.New("queue not found (create it with EnsureQueue)")
	// ErrClosed: the client has been closed.
	ErrClosed = errors.New("client is closed")
)

// Errors of one receipt. The others of a batch take effect.
var (
	// ErrStaleReceipt: the lease is over, and the message may be with
	// somebody else.
	ErrStaleReceipt = errors.New("receipt is stale: the visibility timeout ended or the message was already settled (raise Visibility, or Extend)")
	// ErrMessageNotFound: the message is gone. It wraps ErrStaleReceipt.
	ErrMessageNotFound error = &sentinel{"message not found: it was already settled, popped or purged", ErrStaleReceipt}
	// ErrInvalidReceipt: the receipt is malformed, or of another queue: a
	// defect of the caller, not a race.
	ErrInvalidReceipt = errors.New("receipt is not valid: malformed, or of another queue")
)

// Errors of the way to the backend.
var (
	// ErrBadConn: the call was certainly not applied. mq retries it.
	ErrBadConn = errors.New("no connection to the backend")
	// ErrUnavailable: the call may or may not have been applied. mq does not
	// retry it.
	ErrUnavailable = errors.New("backend did not answer: the call may or may not have taken effect")
)

// BatchError says which items of a batch did not take effect. All others did.
type BatchError struct {
	// Errs is as long as the batch; nil marks an item that took effect.
	Errs []error
}

// Batch returns a *BatchError if one of errs is not nil, and else nil.
func Batch(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return &BatchError{Errs: errs}
		}
	}
	return nil
}

// Error counts the failed items and shows the first.
func (e *BatchError) Error() string {
	failed := e.failed()
	if len(failed) == 0 {
		return "no item failed"
	}
	return fmt.Sprintf("%d of %d failed: %v", len(failed), len(e.Errs), failed[0])
}

// Is reports whether target says what became of the batch as a whole: every item
// failed, and each error is target. Items are looked at one by one, in Errs: that one
// receipt of a hundred is stale says nothing of the others.
func (e *BatchError) Is(target error) bool {
	for _, err := range e.Errs {
		if !errors.Is(err, target) {
			return false
		}
	}
	return len(e.Errs) > 0
}

func (e *BatchError) failed() (errs []error) {
	for _, err := range e.Errs {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

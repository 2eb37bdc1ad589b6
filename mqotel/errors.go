package mqotel

import (
	"cmp"
	"context"
	"errors"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/portmq/mq"
)

// errorTypes are the values of error.type that mq's own errors have, the
// narrow ones first.
var errorTypes = []struct {
	err  error
	name string
}{
	{mq.ErrMessageNotFound, "message_not_found"},
	{mq.ErrStaleReceipt, "stale_receipt"},
	{mq.ErrInvalidReceipt, "invalid_receipt"},
	{mq.ErrTooLarge, "too_large"},
	{mq.ErrInvalid, "invalid"},
	{mq.ErrNotSupported, "not_supported"},
	{mq.ErrQueueNotFound, "queue_not_found"},
	{mq.ErrClosed, "closed"},
	{mq.ErrBadConn, "bad_conn"},
	{mq.ErrUnavailable, "unavailable"},
	{mq.ErrStopping, "stopping"},
	{notReturned{}, "panic"},
	{context.Canceled, "canceled"},
	{context.DeadlineExceeded, "timeout"},
}

// errorType names the kind of err, "" for nil: one of few.
func errorType(err error) string {
	if err == nil {
		return ""
	}
	if batch := (*mq.BatchError)(nil); errors.As(err, &batch) { // the first item stands for the batch
		err = cmp.Or(batch.Errs...)
	}
	for _, e := range errorTypes {
		if errors.Is(err, e.err) {
			return e.name
		}
	}
	if decode := (*mq.DecodeError)(nil); errors.As(err, &decode) {
		return "decode"
	}
	return semconv.ErrorType(innermost(err)).Value.AsString()
}

// innermost returns the error below all wrappers.
func innermost(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// description returns the text of err, unless it may quote a payload.
func description(err error) string {
	if decode := (*mq.DecodeError)(nil); errors.As(err, &decode) {
		return "payload does not decode into " + decode.Type
	}
	return err.Error()
}

// itemError returns the error of item i of a call that ended with err.
func itemError(err error, i int) error {
	if batch := (*mq.BatchError)(nil); errors.As(err, &batch) && i < len(batch.Errs) {
		return batch.Errs[i]
	}
	return err
}

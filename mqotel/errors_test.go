package mqotel

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

type bankError struct{}

func (*bankError) Error() string { return "bank 4711 is closed" }

func TestErrorType(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{mq.ErrMessageNotFound, "message_not_found"},
		{mq.ErrStaleReceipt, "stale_receipt"},
		{mq.ErrTooLarge, "too_large"},
		{&mq.Error{Op: "send", Err: fmt.Errorf("native: %w", mq.ErrUnavailable)}, "unavailable"},
		{driver.Batch([]error{nil, mq.ErrInvalidReceipt}), "invalid_receipt"},
		{context.Canceled, "canceled"},
		{fmt.Errorf("%w: %w", mq.ErrBadConn, context.DeadlineExceeded), "bad_conn"},
		{&mq.DecodeError{Type: "Order", Err: errors.New("secret")}, "decode"},
		{mq.Reject(fmt.Errorf("charge: %w", &bankError{})), "*mqotel.bankError"},
		{mq.Retry(1, &bankError{}), "*mqotel.bankError"},
		{notReturned{}, "panic"},
	} {
		if got := errorType(test.err); got != test.want {
			t.Errorf("%v is %q, not %q", test.err, got, test.want)
		}
	}
}

func TestDescription(t *testing.T) {
	err := fmt.Errorf("handle: %w", &mq.DecodeError{Type: "Order", Err: errors.New("secret")})
	if got := description(err); strings.Contains(got, "secret") || !strings.Contains(got, "Order") {
		t.Errorf("the description of a DecodeError is %q", got)
	}
	if got := description(mq.ErrClosed); got != mq.ErrClosed.Error() {
		t.Errorf("the description is %q", got)
	}
}

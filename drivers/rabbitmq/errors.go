package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/portmq/mq/driver"
)

// amqpError is an error of the broker or of the way to it.
type amqpError struct {
	text  string
	is    error // one of package driver, or nil
	cause error // the native error
}

func (e *amqpError) Error() string {
	if e.is == driver.ErrUnavailable {
		return e.text + ": the call may or may not have taken effect"
	}
	return e.text
}

func (e *amqpError) Unwrap() []error {
	if e.is == nil {
		return []error{e.cause}
	}
	return []error{e.is, e.cause}
}

// mapError maps what amqp091-go returns to the errors of package driver. lost
// is what the loss of a channel or a connection means for the call.
func mapError(err, lost error) error {
	var mapped *amqpError
	var native *amqp.Error
	switch {
	case err == nil || errors.As(err, &mapped) || err == context.Canceled || err == context.DeadlineExceeded ||
		errors.Is(err, driver.ErrClosed):
		return err
	case errors.As(err, &native) && native.Server:
		return serverError(native, lost, err)
	}
	return &amqpError{"the connection was lost", lost, err}
}

// serverError maps why the broker has closed a channel or a connection.
func serverError(native *amqp.Error, lost, cause error) error {
	e := &amqpError{text: oneLine(native.Reason), cause: cause}
	switch native.Code {
	case amqp.NotFound:
		if strings.Contains(native.Reason, "no queue") {
			e.text, e.is = driver.ErrQueueNotFound.Error(), driver.ErrQueueNotFound
		}
	case amqp.PreconditionFailed:
		if strings.Contains(native.Reason, "message size") {
			e.is = driver.ErrTooLarge
		}
	case amqp.AccessRefused:
		e.text += " (docs/rabbitmq.md says which rights each call needs)"
	case amqp.NotAllowed, amqp.ResourceLocked, amqp.NotImplemented, amqp.CommandInvalid:
	default: // the broker stops, somebody closed the connection, or it has failed
		e.is = lost
	}
	return e
}

// isMissing reports whether there is no such queue or exchange.
func isMissing(err error) bool {
	native := (*amqp.Error)(nil)
	return errors.As(err, &native) && native.Code == amqp.NotFound
}

// refused reports whether the user lacks a right.
func refused(err error) bool {
	native := (*amqp.Error)(nil)
	return errors.As(err, &native) && native.Code == amqp.AccessRefused
}

func oneLine(s string) string { return strings.ReplaceAll(s, "\n", "; ") }

// dialError maps why a connection could not be opened. What the broker says of
// user, vhost and limits will not get better by itself.
func dialError(host string, err error) error {
	e := &amqpError{is: driver.ErrBadConn, cause: err}
	var native *amqp.Error
	switch {
	case errors.As(err, &native) && native.Server && native.Code != amqp.ConnectionForced && native.Code != amqp.InternalError:
		e.is, e.text = nil, oneLine(native.Reason)
	case errors.Is(err, amqp.ErrCredentials):
		e.is, e.text = nil, "the broker refused user or password"
	case errors.Is(err, amqp.ErrVhost):
		e.is, e.text = nil, "the broker refused the vhost"
	case errors.Is(err, amqp.ErrSASL):
		e.is, e.text = nil, "the broker does not offer the auth_mechanism"
	default:
		e.text = oneLine(err.Error())
	}
	e.text = fmt.Sprintf("cannot connect to %s: %s", host, e.text)
	return e
}

// cutOff is the error of a write whose ctx has ended.
func cutOff(ctx context.Context) error {
	return &amqpError{"the call was cut off: " + ctx.Err().Error(), driver.ErrUnavailable, ctx.Err()}
}

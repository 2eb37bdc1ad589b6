package mq

import (
	"context"
	"errors"
	"maps"
)

// Call describes one call for an Interceptor, which may read it, and change no more
// than the fields say.
//
// An Interceptor that mq has left behind, see there, may still read the Call and its
// slices. It must not touch a Delivery any more, which may be with a handler by then:
// not its headers either. Around a call that mq makes on its own, the end of ctx says
// so.
type Call struct {
	Op       string // "send", "receive", "ack", "nack", "archive", "move", "extend", "ensure", ...
	Provider string // Provider.Name
	Queue    string // "" if the operation has none
	Topic    string // of a publish; the pattern of a bind or unbind

	// Messages are those of a send. Before next an interceptor may set their
	// headers: the maps are its own, and nil only if the provider has none.
	Messages []Message
	// Settlements are those of an ack, nack, archive or move; Receipts those
	// of an extend.
	Settlements []Settlement
	Receipts    []Receipt
	// Deliveries are what a receive or pop returned, after next.
	Deliveries []*Delivery
	// IDs are those that a send returned, after next: "" for a message that
	// was not stored, none at all if no message was.
	IDs []string
	// Duplicates says which messages of a send were not stored because their DedupKey
	// is held, after next. It is nil if none has a key.
	Duplicates []bool
}

// Interceptor runs around a call, before it is merged with others: with the
// ctx of its caller and in the caller's goroutine, or in a goroutine of its own
// around the calls that a Consumer makes. The calls of a Consumer have the
// values of the ctx that Run was given, and its settlements those of the
// handler's, so that FromContext finds the delivery. It calls next once, or not
// at all to refuse the call, and returns next's error or another one.
// Interceptors are called concurrently.
//
// An interceptor that hangs holds up the call that it is around. Calls that the
// program makes wait for it without a limit. Around the calls of a Consumer, and
// around what Queue.Messages does besides receiving, the interceptors together
// have Config.CallTimeout before the call and as long after it, and less where
// leases would end: around a heartbeat, and after a receive, a sixth of the
// visibility timeout. Then ctx ends and mq goes on without them. A call that has
// ended keeps its result; one that has not begun fails, and next no longer makes
// it. While ten of them around one kind of call on one queue hang, such calls fail
// at once.
type Interceptor func(ctx context.Context, c *Call, next func(context.Context) error) error

// do runs one operation: refuses it after Close, runs the interceptors around
// it and makes its error an *Error. The hot operations call direct instead,
// which spares them the Call, if there are no interceptors.
func (c *Client) do(ctx context.Context, call *Call, op func(context.Context) error) error {
	err := c.admit(ctx)
	if err == nil {
		err = c.run(ctx, call, op)
	}
	return c.wrap(call.Op, call.Queue, err)
}

func (c *Client) direct() bool { return len(c.cfg.Interceptors) == 0 }

// admit returns why an operation must not begin.
func (c *Client) admit(ctx context.Context) error {
	if c.closed.Load() {
		return ErrClosed
	}
	return ctx.Err()
}

// run runs the interceptors around op.
func (c *Client) run(ctx context.Context, call *Call, op func(context.Context) error) error {
	if c.direct() {
		return op(ctx)
	}
	call.Provider = c.name
	if c.caps.Headers {
		call.ownHeaders()
	}
	if in, ok := ctx.Value(unattendedKey{}).(limits); ok {
		return c.runUnattended(ctx, in, call, op)
	}
	return c.intercept(call, op)(ctx)
}

// intercept wraps next in the interceptors.
func (c *Client) intercept(call *Call, next func(context.Context) error) func(context.Context) error {
	for i := len(c.cfg.Interceptors) - 1; i >= 0; i-- {
		intercept, inner := c.cfg.Interceptors[i], next
		next = func(ctx context.Context) error { return intercept(ctx, call, inner) }
	}
	return next
}

// ownHeaders gives each message a map of headers that is not the caller's.
func (call *Call) ownHeaders() {
	for i := range call.Messages {
		m := &call.Messages[i]
		if m.Headers = maps.Clone(m.Headers); m.Headers == nil {
			m.Headers = make(Headers)
		}
	}
}

// wrap makes an *Error of err unless it is nil or one already.
func (c *Client) wrap(op, queue string, err error) error {
	if err == nil {
		return nil
	}
	if e := (*Error)(nil); errors.As(err, &e) {
		return err
	}
	e := &Error{Op: op, Queue: queue, Err: err}
	switch cause := err.(type) {
	case *providerError:
		e.Provider, e.Err = c.name, cause.err
	case *BatchError:
		e.Provider = c.name
	}
	return e
}

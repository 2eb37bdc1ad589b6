package mq

import (
	"cmp"
	"context"
	"time"

	"github.com/portmq/mq/driver"
)

// Queue is a handle on one queue. It is safe for concurrent use.
type Queue struct {
	client *Client
	name   string // canonical
	lanes  *lanes
	err    error // the name is not valid
}

// ReceiveOptions say how much to receive. The zero value is the default.
type ReceiveOptions struct {
	// Max is the most that is received, up to Caps.MaxBatch. Defaults to 1;
	// for Messages to 10.
	Max int
	// Visibility is how long the messages stay leased unless extended.
	// Defaults to 30 seconds, or to the provider's limit if that is less.
	Visibility time.Duration
	// Wait is how long to wait if there is no message. 0 means not at all;
	// Forever means until ctx ends.
	Wait time.Duration
}

// Name returns the queue's canonical name.
func (q *Queue) Name() string { return q.name }

// Client returns the client the handle belongs to.
func (q *Queue) Client() *Client { return q.client }

// do is Client.do for an operation on this queue.
func (q *Queue) do(ctx context.Context, call *Call, op func(context.Context) error) error {
	call.Queue = q.name
	if q.err != nil {
		return q.fail(call.Op, q.err)
	}
	return q.client.do(ctx, call, op)
}

// admit returns why an operation on this queue must not begin.
func (q *Queue) admit(ctx context.Context) error {
	if q.err != nil {
		return q.err
	}
	return q.client.admit(ctx)
}

// fail makes an *Error of what an operation came to.
func (q *Queue) fail(op string, err error) error { return q.client.wrap(op, q.name, err) }

// Send stores a message and returns its id. When it returns nil the message is
// stored. Concurrent sends are merged into few calls of the provider, at no cost
// for a lone one. On ErrUnavailable the message may or may not have been stored,
// on other errors it was not. The message may be reused after the call.
func (q *Queue) Send(ctx context.Context, m *Message) (string, error) {
	return single(q.SendAll(ctx, []*Message{m}))
}

// SendAll stores messages and returns their ids, in order. A batch above the
// provider's limit is sent in parts; none is no call at all.
//
// If only some of several were stored the error contains a *BatchError, and ids holds ""
// for those that were not: look for it before any other error. On
// ErrUnavailable the messages may or may not have been stored. On other errors
// none was. A message that is not valid keeps the whole batch from being sent.
// The messages may be reused after the call. A message whose DedupKey is held is not
// stored, and its id is that of the message that holds it.
func (q *Queue) SendAll(ctx context.Context, msgs []*Message) ([]string, error) {
	ids, _, err := q.sendAll(ctx, msgs)
	return ids, err
}

// sendAll is SendAll, and tells which messages were duplicates if one has a key.
func (q *Queue) sendAll(ctx context.Context, msgs []*Message) (ids []string, duplicate []bool, err error) {
	batch, err := checkMessages(q.client.caps, msgs)
	if !q.client.direct() {
		return q.interceptSend(ctx, batch, err)
	}
	if err = cmp.Or(q.admit(ctx), err); err == nil {
		ids, duplicate, err = q.store(ctx, batch)
	}
	return ids, duplicate, q.fail("send", err)
}

// interceptSend sends messages whose validation had the error bad.
func (q *Queue) interceptSend(ctx context.Context, batch []driver.Message, bad error) ([]string, []bool, error) {
	call := &Call{Op: "send", Messages: messagesOf(batch)}
	err := q.do(ctx, call, func(ctx context.Context) (err error) {
		if bad != nil {
			return bad
		}
		call.IDs, call.Duplicates, err = q.store(ctx, driverMessages(call.Messages))
		return err
	})
	return call.IDs, call.Duplicates, err
}

// single returns the id of a lone message. An interceptor may say that it is sent,
// and give none.
func single(ids []string, err error) (string, error) {
	if err != nil || len(ids) == 0 {
		return "", err
	}
	return ids[0], nil
}

// Receive leases up to o.Max messages. None and no error means that there was
// nothing within o.Wait. Each message must be settled before its visibility
// timeout ends; Receive does not keep the leases alive, as Messages and a
// Consumer do.
func (q *Queue) Receive(ctx context.Context, o ReceiveOptions) ([]*Delivery, error) {
	req, err := q.request(o, 1)
	return q.receive(ctx, "receive", req, err, fetchAny)
}

// fetchAny is the fetch of a plain receive.
func fetchAny(ctx context.Context, q *Queue, r driver.ReceiveRequest) ([]driver.Delivery, error) {
	return q.client.provider.Receive(ctx, q.name, r)
}

// request validates o.
func (q *Queue) request(o ReceiveOptions, defaultMax int) (r driver.ReceiveRequest, err error) {
	caps := q.client.caps
	if r.Max, err = checkLimit(caps, "Max", o.Max, min(defaultMax, caps.BatchLimit())); err != nil {
		return r, err
	}
	r.Visibility = cmp.Or(o.Visibility, defaultVisibility(caps))
	if err = checkVisibility(caps, r.Visibility); err != nil {
		return r, err
	}
	if r.Wait = o.Wait; r.Wait < 0 {
		return r, invalid("Wait %v is negative", o.Wait)
	}
	return r, nil
}

// fetch is a way to lease messages.
type fetch func(context.Context, *Queue, driver.ReceiveRequest) ([]driver.Delivery, error)

// receive runs one receiving operation, whose request had the error bad.
func (q *Queue) receive(ctx context.Context, op string, r driver.ReceiveRequest, bad error, f fetch) ([]*Delivery, error) {
	if !q.client.direct() {
		return q.interceptReceive(ctx, op, r, bad, f)
	}
	var ds []*Delivery
	err := cmp.Or(q.admit(ctx), bad)
	if err == nil {
		ds, err = q.poll(ctx, r, f)
	}
	return ds, q.fail(op, err)
}

func (q *Queue) interceptReceive(ctx context.Context, op string, r driver.ReceiveRequest, bad error, f fetch) ([]*Delivery, error) {
	call := &Call{Op: op}
	err := q.do(ctx, call, func(ctx context.Context) (err error) {
		if bad != nil {
			return bad
		}
		call.Deliveries, err = q.poll(ctx, r, f)
		return err
	})
	return call.Deliveries, err
}

// maxWait is how long poll lets a provider wait in one call: short enough to
// be added to any time without overflow.
const maxWait = time.Minute

// The pauses of poll between two calls of a provider that does not wait.
const minPause, maxPause = 10 * time.Millisecond, time.Second

// poll calls f until there is something, r.Wait is over or ctx ends.
func (q *Queue) poll(ctx context.Context, r driver.ReceiveRequest, f fetch) ([]*Delivery, error) {
	wait, pause := r.Wait, minPause
	for begin := time.Now(); ; {
		start := time.Now()
		r.Wait = min(max(0, wait-start.Sub(begin)), maxWait)
		ds, err := q.once(ctx, r, f)
		if len(ds) > 0 {
			return q.deliveries(ds, start, r), nil
		}
		left := wait - time.Since(begin)
		if err != nil || left <= 0 {
			return nil, err
		}
		if time.Since(start) >= min(r.Wait/2, maxPause) { // the provider does wait
			pause = minPause
			continue
		}
		if err := q.client.pause(ctx, min(jitter(pause), left)); err != nil {
			return nil, err
		}
		pause = min(2*pause, maxPause)
	}
}

// once calls f, and calls it again while it answers ErrBadConn and nothing else. All
// calls together have CallTimeout beyond the time that one may wait.
func (q *Queue) once(ctx context.Context, r driver.ReceiveRequest, f fetch) (ds []driver.Delivery, err error) {
	call := func(ctx context.Context) error {
		ds, err = f(ctx, q, r)
		if len(ds) > 0 {
			return nil
		}
		return err
	}
	if q.client.caps.InProcess {
		err = theirs(call(ctx))
		return ds, err
	}
	short, cancel := q.client.receiveTimeout(r.Wait).bound(ctx)
	defer cancel()
	err = q.client.cutOff(short, try(short, call))
	return ds, err
}

// deliveries wraps what a call that began at start has leased.
func (q *Queue) deliveries(ds []driver.Delivery, start time.Time, r driver.ReceiveRequest) []*Delivery {
	// Reckoned from before the call. If that waited, the leases began when the
	// waiting ended, somewhere before now.
	begun := now()
	took := time.Since(start)
	begun = begun.add(-took)
	if r.Wait > 0 {
		begun = begun.add(max(0, took-r.Visibility/10))
	}
	out := make([]*Delivery, len(ds))
	for i := range ds { // one by one, so that a slow one does not hold the memory of all
		out[i] = newDelivery(ds[i], q)
		out[i].lease.begins(begun, r.Visibility, q.client.caps.MaxHold)
		out[i].noteExpiry(begun, r.Visibility)
		if q.client.movesByCopy() {
			out[i].lease.keepOriginal(in(cloneMessages([]driver.Message{ds[i].Message})[0]))
		}
	}
	return out
}

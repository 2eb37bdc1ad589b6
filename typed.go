package mq

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"reflect"
	"time"
)

// Codec encodes typed payloads. It must be safe for concurrent use.
type Codec interface {
	// ContentType is sent as header "content-type", "" for none.
	ContentType() string
	Marshal(v any) ([]byte, error)
	// Unmarshal decodes into v, a pointer. It must not retain data.
	Unmarshal(data []byte, v any) error
}

// JSON is the default codec. It sends no content-type header, so that it
// works on queues without headers.
var JSON Codec = jsonCodec{}

type jsonCodec struct{}

func (jsonCodec) ContentType() string                { return "" }
func (jsonCodec) Marshal(v any) ([]byte, error)      { return json.Marshal(v) }
func (jsonCodec) Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }

// Marshaler is a payload type with an encoding of its own, which takes
// precedence over the codec.
type Marshaler interface {
	MarshalMQ() ([]byte, error)
}

// Unmarshaler is the other half of Marshaler. It must not retain data.
type Unmarshaler interface {
	UnmarshalMQ(data []byte) error
}

// TypedQueue is a queue whose payloads are values of type T. It is safe for
// concurrent use.
type TypedQueue[T any] struct{ q *Queue }

// Of returns a view of q with payloads of type T.
func Of[T any](q *Queue) TypedQueue[T] { return TypedQueue[T]{q} }

// TypedDelivery is a delivery and its decoded payload.
type TypedDelivery[T any] struct {
	*Delivery
	Value T
}

// SendOption sets a field of the message that carries a typed payload.
type SendOption func(*Message)

// Delay hides the message for d after the send.
func Delay(d time.Duration) SendOption { return func(m *Message) { m.Delay = d } }

// Group sets the message's FIFO key.
func Group(key string) SendOption { return func(m *Message) { m.Group = key } }

// Header sets one header.
func Header(key, value string) SendOption {
	return func(m *Message) {
		if m.Headers == nil {
			m.Headers = make(Headers)
		}
		m.Headers[key] = value
	}
}

// Queue returns the queue below.
func (t TypedQueue[T]) Queue() *Queue { return t.q }

// Send stores one value and returns its id.
func (t TypedQueue[T]) Send(ctx context.Context, v T, opts ...SendOption) (string, error) {
	m, err := t.Encode(v, opts...)
	if err != nil {
		return "", err
	}
	return t.q.Send(ctx, m)
}

// SendTx is Send inside tx, a transaction of the caller: the value is stored when
// that commits. See Queue.Tx.
func (t TypedQueue[T]) SendTx(ctx context.Context, tx SQLTx, v T, opts ...SendOption) (string, error) {
	m, err := t.Encode(v, opts...)
	if err != nil {
		return "", err
	}
	return t.q.Tx(tx).Send(ctx, m)
}

// SendAll stores values in order, with the same options for each, as
// Queue.SendAll does. For options of their own use Encode and Queue.SendAll.
func (t TypedQueue[T]) SendAll(ctx context.Context, vs []T, opts ...SendOption) ([]string, error) {
	ms := make([]*Message, len(vs))
	for i, v := range vs {
		m, err := t.Encode(v, opts...)
		if err != nil {
			return nil, err
		}
		ms[i] = m
	}
	return t.q.SendAll(ctx, ms)
}

// Encode returns v as a message, to be sent by a Queue or TxQueue.
func (t TypedQueue[T]) Encode(v T, opts ...SendOption) (*Message, error) {
	codec := t.q.client.cfg.Codec
	m := new(Message)
	var err error
	if own, ok := marshaler(&v); ok {
		m.Body, err = own.MarshalMQ()
	} else {
		m.Body, err = codec.Marshal(v)
		if ct := codec.ContentType(); ct != "" {
			Header("content-type", ct)(m)
		}
	}
	if err != nil {
		return nil, t.q.fail("encode", fmt.Errorf("payload of type %T does not encode: %w", v, err))
	}
	for _, o := range opts {
		o(m)
	}
	return m, nil
}

// marshaler finds MarshalMQ on T or on *T.
func marshaler[T any](v *T) (Marshaler, bool) {
	if own, ok := any(*v).(Marshaler); ok {
		return own, true
	}
	own, ok := any(v).(Marshaler)
	return own, ok
}

// decode makes a value of d's body.
func (t TypedQueue[T]) decode(d *Delivery) (v T, err error) {
	if own, ok := unmarshaler(&v); ok {
		err = own.UnmarshalMQ(d.Body)
	} else {
		err = t.q.client.cfg.Codec.Unmarshal(d.Body, &v)
	}
	if err != nil {
		return v, &DecodeError{Type: reflect.TypeFor[T]().String(), Err: err}
	}
	return v, nil
}

// unmarshaler finds UnmarshalMQ on *T, or on T if it is a pointer, which it
// then sets.
func unmarshaler[T any](v *T) (Unmarshaler, bool) {
	if own, ok := any(v).(Unmarshaler); ok {
		return own, true
	}
	t := reflect.TypeFor[T]()
	if t.Kind() != reflect.Pointer || !t.Implements(reflect.TypeFor[Unmarshaler]()) {
		return nil, false
	}
	*v = reflect.New(t.Elem()).Interface().(T)
	return any(*v).(Unmarshaler), true
}

// Receive is Queue.Receive with decoded values. A message that does not decode
// is archived, with the reason, and does not keep the others from being
// returned.
func (t TypedQueue[T]) Receive(ctx context.Context, o ReceiveOptions) ([]TypedDelivery[T], error) {
	ds, err := t.q.Receive(ctx, o)
	var out []TypedDelivery[T]
	for _, d := range ds {
		if v, ok := t.decodeOrArchive(ctx, d); ok {
			out = append(out, TypedDelivery[T]{d, v})
		}
	}
	return out, err
}

// Messages is Queue.Messages with decoded values. A message that does not
// decode is archived, with the reason.
func (t TypedQueue[T]) Messages(ctx context.Context, o ReceiveOptions) iter.Seq2[TypedDelivery[T], error] {
	return func(yield func(TypedDelivery[T], error) bool) {
		for d, err := range t.q.Messages(ctx, o) {
			if err != nil {
				yield(TypedDelivery[T]{}, err)
				return
			}
			if v, ok := t.decodeOrArchive(ctx, d); ok && !yield(TypedDelivery[T]{d, v}, nil) {
				return
			}
		}
	}
}

// decodeOrArchive decodes d or sets it aside, even if ctx has ended. If that
// fails the message comes back, later each time.
func (t TypedQueue[T]) decodeOrArchive(ctx context.Context, d *Delivery) (v T, ok bool) {
	v, err := t.decode(d)
	if err == nil {
		return v, true
	}
	t.q.setAside(ctx, d, validText(err.Error()))
	return v, false
}

// setAside archives d with a reason, or with the plainest form of it, or else
// gives it back for a while.
func (q *Queue) setAside(ctx context.Context, d *Delivery, reason string) {
	ctx, cancel := q.client.callTimeout().within(context.WithoutCancel(ctx))
	defer cancel()
	err := d.Archive(ctx, reason)
	if plain := plainText(reason); err != nil && divisible(err) && !isLost(err) && plain != reason {
		err = d.Archive(ctx, plain)
	}
	q.client.cfg.Logger.Warn("mq: dead letter", "message", d, "reason", reason, "error", err)
	if err != nil && definite(err) && !isLost(err) {
		_ = d.Nack(ctx, possibleDelay(q.client.caps, defaultBackoff(d.ReadCount)))
	}
}

// Consume runs a Consumer whose handler gets decoded values. The delivery is
// in its context: see FromContext.
func (t TypedQueue[T]) Consume(ctx context.Context, handle func(context.Context, T) error, cfg ConsumerConfig) error {
	return t.q.Consume(ctx, t.Handler(handle), cfg)
}

// Handler adapts a function on decoded values to a Handler, for NewConsumer.
func (t TypedQueue[T]) Handler(handle func(context.Context, T) error) Handler {
	if handle == nil {
		return nil // which Run refuses
	}
	return HandlerFunc(func(ctx context.Context, d *Delivery) error {
		v, err := t.decode(d)
		if err != nil {
			return err
		}
		return handle(ctx, v)
	})
}

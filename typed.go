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

// Unmarshaler is the counterpart of Marshaler. It must not retain data.
type Unmarshaler interface {
	UnmarshalMQ(data []byte) error
}

// TypedQueue is a queue whose payloads are values of type T. It is safe for
// concurrent use.
type TypedQueue[T any] struct {
	q     *Queue
	codec Codec
}

// Of returns a view of q with payloads of type T, encoded by codec if there is one,
// and else by Config.Codec. It panics if there are several.
func Of[T any](q *Queue, codec ...Codec) TypedQueue[T] {
	switch len(codec) {
	case 0:
		return TypedQueue[T]{q, q.client.cfg.Codec}
	case 1:
		return TypedQueue[T]{q, codec[0]}
	}
	panic("mq: Of takes one codec")
}

// TypedDelivery is a delivery and its decoded payload.
type TypedDelivery[T any] struct {
	*Delivery
	value T
	err   error
}

// Value returns the decoded payload, or a *DecodeError if it does not decode. Such a
// message is an ordinary delivery otherwise, to be settled as the receiver thinks
// best, mostly by Archive.
func (d TypedDelivery[T]) Value() (T, error) { return d.value, d.err }

// SendOption sets a field of the message that carries a typed payload.
type SendOption func(*Message)

// Delay hides the message for d after the send.
func Delay(d time.Duration) SendOption { return func(m *Message) { m.Delay = d } }

// At hides the message until t by this process's clock: it is Delay with the time
// that is left, and nothing if t has passed.
func At(t time.Time) SendOption { return Delay(max(0, time.Until(t))) }

// Ahead gives the message a head start: see Message.HeadStart.
func Ahead(d time.Duration) SendOption { return func(m *Message) { m.HeadStart = d } }

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
	m := new(Message)
	var err error
	if own, ok := marshaler(&v); ok {
		m.Body, err = own.MarshalMQ()
	} else {
		m.Body, err = t.codec.Marshal(v)
		if ct := t.codec.ContentType(); ct != "" {
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

// decode decodes d's body.
func (t TypedQueue[T]) decode(d *Delivery) TypedDelivery[T] {
	out := TypedDelivery[T]{Delivery: d}
	var err error
	if own, ok := unmarshaler(&out.value); ok {
		err = own.UnmarshalMQ(d.Body)
	} else {
		err = t.codec.Unmarshal(d.Body, &out.value)
	}
	if err != nil {
		out.err = &DecodeError{Type: reflect.TypeFor[T]().String(), Err: err}
	}
	return out
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

// Receive is Queue.Receive with decoded values. A message that does not decode is
// returned like the others: TypedDelivery.Value has the error.
func (t TypedQueue[T]) Receive(ctx context.Context, o ReceiveOptions) ([]TypedDelivery[T], error) {
	ds, err := t.q.Receive(ctx, o)
	out := make([]TypedDelivery[T], len(ds))
	for i, d := range ds {
		out[i] = t.decode(d)
	}
	return out, err
}

// Messages is Queue.Messages with decoded values. A message that does not decode is
// yielded like the others: TypedDelivery.Value has the error.
func (t TypedQueue[T]) Messages(ctx context.Context, o ReceiveOptions) iter.Seq2[TypedDelivery[T], error] {
	return func(yield func(TypedDelivery[T], error) bool) {
		for d, err := range t.q.Messages(ctx, o) {
			if err != nil {
				yield(TypedDelivery[T]{}, err)
				return
			}
			if !yield(t.decode(d), nil) {
				return
			}
		}
	}
}

// Consume runs a Consumer whose handler gets decoded values. The delivery is
// in its context: see FromContext. A message that does not decode becomes a dead
// letter without another attempt.
func (t TypedQueue[T]) Consume(ctx context.Context, handle func(context.Context, T) error, cfg ConsumerConfig) error {
	c, err := NewConsumer(t.q, t.Handler(handle), cfg)
	if err != nil {
		return err
	}
	return c.Run(ctx)
}

// ConsumeBatch runs a Consumer whose handler gets several decoded values at once, as
// Queue.ConsumeBatch does. Messages that do not decode become dead letters without
// another attempt, and the handler does not get them.
func (t TypedQueue[T]) ConsumeBatch(ctx context.Context, handle func(context.Context, []TypedDelivery[T]) []error, cfg BatchConfig) error {
	c, err := NewBatchConsumer(t.q, t.BatchHandler(handle), cfg)
	if err != nil {
		return err
	}
	return c.Run(ctx)
}

// BatchHandler adapts a function on decoded values to a BatchHandler, for
// NewBatchConsumer.
func (t TypedQueue[T]) BatchHandler(handle func(context.Context, []TypedDelivery[T]) []error) BatchHandler {
	if handle == nil {
		return nil // which NewBatchConsumer refuses
	}
	return func(ctx context.Context, ds []*Delivery) []error {
		answers := make([]error, len(ds))
		var good []TypedDelivery[T]
		var of []int // good[n] is of ds[of[n]]
		for i, d := range ds {
			if v := t.decode(d); v.err != nil {
				answers[i] = v.err
			} else {
				good, of = append(good, v), append(of, i)
			}
		}
		if len(good) > 0 {
			defer func() {
				if v := recover(); v != nil {
					panic(&partialPanic{v, answers})
				}
			}()
			errs := handle(ctx, good)
			for n, i := range of {
				answers[i] = answer(errs, n, len(good))
			}
		}
		return answers
	}
}

// Handler adapts a function on decoded values to a Handler, for NewConsumer.
func (t TypedQueue[T]) Handler(handle func(context.Context, T) error) Handler {
	if handle == nil {
		return nil // which NewConsumer refuses
	}
	return HandlerFunc(func(ctx context.Context, d *Delivery) error {
		v, err := t.decode(d).Value()
		if err != nil {
			return err
		}
		return handle(ctx, v)
	})
}

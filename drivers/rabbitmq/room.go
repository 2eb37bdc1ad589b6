package rabbitmq

import (
	"fmt"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/portmq/mq/driver"
)

// A message's properties must fit into one frame: the broker closes the
// connection of a client that sends more. What another program has sent may
// leave no room for what a copy adds.
const maxProperties = frameSize - frameHead - 1 - 32 // less the number of a twin

// trim makes a copy fit: it cuts the texts of errors and reasons, then leaves
// out these, counts and time, without which the message is still whole.
func (o *outgoing) trim() error {
	for _, name := range []string{driver.HeaderError, driver.HeaderReason} {
		over := o.propertyBytes() - maxProperties
		if text, ok := o.Headers[name].(string); ok && over > 0 {
			o.Headers[name] = strings.ToValidUTF8(text[:max(0, len(text)-over)], "")
		}
	}
	for _, name := range []string{driver.HeaderError, driver.HeaderReason, headerAnswered, headerUnanswered, headerUncounted, headerEnqueued, headerReads} {
		if o.propertyBytes() <= maxProperties {
			return nil
		}
		delete(o.Headers, name)
	}
	if n := o.propertyBytes(); n > maxProperties {
		return fmt.Errorf("%w: the message's headers leave no room for those of a copy (%d bytes, the limit is %d)", driver.ErrTooLarge, n, maxProperties)
	}
	return nil
}

// propertyBytes is the size of the properties in a frame, at most.
func (o *outgoing) propertyBytes() int {
	n := 14 + 2 + 8 + 4 + tableBytes(o.Headers) // class, weight, size, flags; mode, priority; timestamp
	for _, s := range []string{o.ContentType, o.ContentEncoding, o.CorrelationId, o.ReplyTo, o.Expiration, o.MessageId, o.Type, o.UserId, o.AppId} {
		n += 1 + len(s)
	}
	return n
}

func tableBytes(t amqp.Table) (n int) {
	for k, v := range t {
		n += 1 + len(k) + 1 + valueBytes(v)
	}
	return n
}

func valueBytes(v any) int {
	switch v := v.(type) {
	case nil:
		return 0
	case string:
		return 4 + len(v)
	case []byte:
		return 4 + len(v)
	case amqp.Table:
		return 4 + tableBytes(v)
	case []any:
		n := 4
		for _, item := range v {
			n += 1 + valueBytes(item)
		}
		return n
	case time.Time, amqp.Decimal:
		return 8
	}
	return 8 // numbers
}

package rabbitmq

import (
	"bytes"
	"math"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/portmq/mq/driver"
)

// outgoing is a message on its way to the broker.
type outgoing struct {
	exchange, key string
	amqp.Publishing
}

// outgoing makes a new message for a queue. It holds nothing of m, which the
// caller may reuse while the message is still on its way.
func (p *Provider) outgoing(queue string, m *driver.Message) (outgoing, error) {
	headers, err := encodeHeaders(m.Headers)
	if err != nil {
		return outgoing{}, err
	}
	id, at := p.ids.next()
	headers[headerEnqueued] = at.UnixMicro()
	out := outgoing{Publishing: amqp.Publishing{
		MessageId: id, Timestamp: at, DeliveryMode: amqp.Persistent, Headers: headers, Body: bytes.Clone(m.Body),
	}}
	if ct := m.Headers[contentType]; len(ct) <= 255 {
		out.ContentType = ct
	}
	return out, out.route(queue, m.Delay)
}

// route says where the message goes.
func (o *outgoing) route(queue string, delay time.Duration) (err error) {
	if delay <= 0 {
		o.key = queue
		return nil
	}
	o.exchange, o.key, err = delayRoute(queue, delay)
	return err
}

// again makes a copy of a leased message, which keeps id, times and count. It
// has no expiration of its own, since that would lose it in an archive, and no
// user, since that must be the one who publishes.
func (l *lease) again() outgoing {
	d := l.native
	headers := copyHeaders(d)
	if _, was := headers[headerArchived]; was { // somebody has moved it back
		for _, name := range []string{headerArchived, headerUncounted, headerAnswered, headerUnanswered, driver.HeaderReason, driver.HeaderError} {
			delete(headers, name)
		}
	}
	headers[headerReads] = int64(l.reads)
	if !l.enqueued.IsZero() {
		headers[headerEnqueued] = l.enqueued.UnixMicro()
	}
	return outgoing{Publishing: amqp.Publishing{
		MessageId: l.id, Timestamp: d.Timestamp, DeliveryMode: amqp.Persistent, Headers: headers, Body: d.Body,
		ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, Priority: d.Priority,
		CorrelationId: d.CorrelationId, ReplyTo: d.ReplyTo, Type: d.Type, AppId: d.AppId,
	}}
}

// copyFor makes the copy that a settlement takes.
func (l *lease) copyFor(queue string, s *driver.Settlement) (o outgoing, err error) {
	if s.Op == driver.OpArchive {
		o = l.archived(queue, s.Reason)
		return o, o.trim()
	}
	o = l.nacked(s)
	if err := o.route(queue, s.Delay); err != nil {
		return o, err
	}
	return o, o.trim()
}

// nacked makes the copy that comes back.
func (l *lease) nacked(s *driver.Settlement) outgoing {
	o := l.again()
	o.Headers[headerAnswered] = int64(l.reads)
	delete(o.Headers, headerUnanswered)
	if s.Uncounted {
		o.Headers[headerUncounted] = int64(l.uncounted) + 1
		o.Headers[headerUnanswered] = int64(l.unanswered())
	}
	if s.Reason != "" {
		o.Headers[driver.HeaderError] = s.Reason
	}
	return o
}

// archived makes the copy that goes into the archive of a queue.
func (l *lease) archived(queue, reason string) outgoing {
	o := l.again()
	o.key = archiveOf(queue)
	o.Headers[headerArchived] = time.Now().UnixMicro()
	if reason != "" {
		o.Headers[driver.HeaderReason] = reason
	}
	return o
}

// identity tells the messages of a flight apart when one is returned. The id
// alone does not: copies keep that of their sender, who may use it again.
type identity struct {
	id   string
	twin int64
}

func identify(id string, headers amqp.Table) identity {
	n, _ := integer(headers[headerTwin])
	return identity{id, n}
}

// numberTwins gives the messages of a flight that have one id different
// numbers.
func numberTwins(out []outgoing) {
	seen := make(map[string]int64, len(out))
	for i := range out {
		o := &out[i]
		delete(o.Headers, headerTwin) // of an earlier flight
		if n := seen[o.MessageId]; n > 0 {
			o.Headers[headerTwin] = n
		}
		seen[o.MessageId]++
	}
}

// enqueuedAt returns when a message was sent. Programs that know nothing of mq
// may have said so in seconds, or not at all.
func enqueuedAt(d *amqp.Delivery) time.Time {
	if us, ok := integer(d.Headers[headerEnqueued]); ok {
		return time.UnixMicro(us)
	}
	return d.Timestamp
}

// noted returns one of the counts that a copy carries. What was counted before
// it was archived does not count: a program that reads it from the archive, or
// has moved it back from there, wants it to be tried again.
func noted(d *amqp.Delivery, header string) int64 {
	if _, was := d.Headers[headerArchived]; was {
		return 0
	}
	n, _ := integer(d.Headers[header])
	return clamp(n)
}

// readCount returns the deliveries of d, this one included.
func readCount(d *amqp.Delivery, v version) int {
	return int(clamp(noted(d, headerReads) + v.reads(d)))
}

// clamp keeps within bounds what another program may have written.
func clamp(n int64) int64 { return max(0, min(n, math.MaxInt32)) }

// idOf returns the id of a message. One that another program has sent without
// gets a new one with each delivery: one made of its content could be that of
// another message with the same content.
func (p *Provider) idOf(d *amqp.Delivery) string {
	id := text(d.MessageId)
	if id == "" {
		id, _ = p.ids.next()
	}
	return id
}

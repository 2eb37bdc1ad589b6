package drivertest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/portmq/mq/driver"
)

// Rule 7.

var errorMutations = []mutation{
	{"errors lose their kind", "7: errors wrap the sentinels of this package", bareErrors, "names/missing-queue settle/ack-twice receipt/garbage"},
	{"no connection though applied", "7: ErrBadConn means certainly not applied", appliedBadConn, "send/one"},
}

func bareErrors(m *mutant) {
	bare := func(err error) error {
		if err == nil {
			return nil
		}
		return errors.New(err.Error())
	}
	m.send = func(ctx context.Context, queue string, msgs []driver.Message) ([]string, error) {
		ids, err := m.Provider.Send(ctx, queue, msgs)
		return ids, bare(err)
	}
	m.receive = func(ctx context.Context, queue string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
		ds, err := m.Provider.Receive(ctx, queue, r)
		return ds, bare(err)
	}
	m.settle = func(ctx context.Context, queue string, s []driver.Settlement) error {
		return bare(m.Provider.Settle(ctx, queue, s))
	}
}

func appliedBadConn(m *mutant) {
	failed := false
	m.send = func(ctx context.Context, queue string, msgs []driver.Message) ([]string, error) {
		ids, err := m.Provider.Send(ctx, queue, msgs)
		m.mu.Lock()
		defer m.mu.Unlock()
		if err == nil && !failed {
			failed = true
			return nil, driver.ErrBadConn
		}
		return ids, err
	}
}

// Rule 8.

var bodyMutations = []mutation{
	{"body trimmed", "8: bodies round-trip", storing(func(m *driver.Message) { m.Body = bytes.TrimSpace(m.Body) }), "body/not-json"},
	{"body made UTF-8", "8: bodies round-trip", storing(func(m *driver.Message) { m.Body = bytes.ToValidUTF8(m.Body, []byte("\uFFFD")) }), "body/bytes"},
	{"JSON compacted", "8: exactly if Caps.ExactBodies", storing(compactBody), "body/json"},
	{"numbers rounded", "8: else equal as JSON", reencodes, "body/json"},
	{"body cut at a NUL", "8: bodies round-trip", storing(func(m *driver.Message) { m.Body, _, _ = bytes.Cut(m.Body, []byte{0}) }), "body/not-json body/bytes"},
	{"empty body is null", "8: bodies round-trip", storing(nullBody), "body/empty"},
	{"controls cleaned", "8: headers round-trip", storing(cleanHeaders), "hostile/messages"},
	{"counts taken from a header", "4: ReadCount counts leases", showing(countFromHeader), "hostile/reserved"},
	{"long body cut", "8: bodies round-trip", storing(func(m *driver.Message) { m.Body = m.Body[:min(len(m.Body), 64<<10)] }), "body/sizes"},
}

func compactBody(m *driver.Message) {
	var b bytes.Buffer
	if json.Compact(&b, m.Body) == nil {
		m.Body = b.Bytes()
	}
}

func reencodes(m *mutant) {
	m.caps = func(c driver.Caps) driver.Caps { c.ExactBodies = false; return c }
	storing(func(m *driver.Message) {
		var v any
		if json.Unmarshal(m.Body, &v) == nil {
			m.Body, _ = json.Marshal(v)
		}
	})(m)
}

func cleanHeaders(m *driver.Message) {
	for name, value := range m.Headers {
		m.Headers = maps.Clone(m.Headers)
		m.Headers[name] = strings.ReplaceAll(value, "\x1b", "")
	}
}

func countFromHeader(d *driver.Delivery) {
	if _, has := d.Headers["mq-read-count"]; has {
		d.ReadCount++
	}
}

func nullBody(m *driver.Message) {
	if len(m.Body) == 0 {
		m.Body = []byte("null")
	}
}

// Rule 9, and what else is said of Send.

var sendMutations = []mutation{
	{"send stores nothing", "9: a send that returned nil is stored", storesAllBut(func(i, n int) bool { return true }), "send/one"},
	{"send forgets the last of a batch", "9: a send that returned nil is stored", storesAllBut(func(i, n int) bool { return n > 1 && i == n-1 }), "send/batch"},
	{"send stores in reverse", "Caps.Order", storesReversed, "receive/order"},
	{"ids in reverse", "Send returns ids in slice order", reversesIDs, "send/batch"},
	{"ids repeat", "each id is unique in its queue", showing(func(d *driver.Delivery) { d.ID = "1" }), "send/batch send/unique-ids"},
	{"send writes to bodies", "what comes in must not be changed", scribbles, "send/batch"},
	{"send keeps the bodies", "what comes in must not be retained", retains, "send/reuse"},
	{"deliveries share", "what goes out belongs to the caller", sharesOut, "send/not-shared-out"},
	{"headers dropped", "Caps.Headers: headers round-trip", storing(func(m *driver.Message) { m.Headers = nil }), "send/headers"},
	{"header keys folded", "Caps.Headers: headers round-trip", storing(foldHeaders), "send/headers"},
	{"headers of the first for all", "Caps.Headers: headers round-trip", firstHeaders, "send/headers-one-by-one"},
	{"group dropped", "Caps.Groups: Message.Group round-trips", storing(func(m *driver.Message) { m.Group = "" }), "send/group-key"},
	{"delay ignored", "Caps.Delay: Message.Delay works", storing(func(m *driver.Message) { m.Delay = 0 }), "delay/send delay/batch"},
	{"head start ignored", "Caps.HeadStart: Message.HeadStart works", storing(func(m *driver.Message) { m.HeadStart = 0 }), "head-start/overtakes"},
	{"head start is a delay", "Caps.HeadStart: the message is visible at once", storing(func(m *driver.Message) { m.Delay, m.HeadStart = m.HeadStart, 0 }), "head-start/at-once"},
	{"head start for ever", "Caps.HeadStart: as if it had been sent that much earlier, and no more", storing(foreverAhead), "head-start/ages"},
	{"one delay for a batch", "Caps.Delay: Message.Delay works", firstDelay, "delay/batch"},
}

func foreverAhead(m *driver.Message) {
	if m.HeadStart > 0 {
		m.HeadStart += 24 * time.Hour
	}
}

func storesAllBut(lost func(i, n int) bool) func(*mutant) {
	return func(m *mutant) {
		m.send = func(ctx context.Context, queue string, msgs []driver.Message) ([]string, error) {
			ids := make([]string, len(msgs))
			for i := range msgs {
				if ids[i] = fmt.Sprint("lost", i); lost(i, len(msgs)) {
					continue
				}
				id, err := m.Provider.Send(ctx, queue, msgs[i:i+1])
				if err != nil {
					return nil, err
				}
				ids[i] = id[0]
			}
			return ids, nil
		}
	}
}

func storesReversed(m *mutant) {
	m.send = func(ctx context.Context, queue string, msgs []driver.Message) ([]string, error) {
		msgs = slices.Clone(msgs)
		slices.Reverse(msgs)
		ids, err := m.Provider.Send(ctx, queue, msgs)
		slices.Reverse(ids)
		return ids, err
	}
}

func reversesIDs(m *mutant) {
	m.send = func(ctx context.Context, queue string, msgs []driver.Message) ([]string, error) {
		ids, err := m.Provider.Send(ctx, queue, msgs)
		slices.Reverse(ids)
		return ids, err
	}
}

func scribbles(m *mutant) {
	m.send = func(ctx context.Context, queue string, msgs []driver.Message) ([]string, error) {
		ids, err := m.Provider.Send(ctx, queue, msgs)
		for i := range msgs {
			if len(msgs[i].Body) > 0 {
				msgs[i].Body[0] ^= 1
			}
		}
		return ids, err
	}
}

// retains delivers the very bodies that were sent.
func retains(m *mutant) {
	bodies := make(map[string][]byte)
	m.send = func(ctx context.Context, queue string, msgs []driver.Message) ([]string, error) {
		ids, err := m.Provider.Send(ctx, queue, msgs)
		for i, id := range ids {
			bodies[id] = msgs[i].Body
		}
		return ids, err
	}
	showing(func(d *driver.Delivery) { d.Body = bodies[d.ID] })(m)
}

// sharesOut gives the second receiver what the first one has.
func sharesOut(m *mutant) {
	shown := make(map[string]driver.Message)
	showing(func(d *driver.Delivery) {
		if first, ok := shown[d.ID]; ok {
			d.Message = first
		}
		shown[d.ID] = d.Message
	})(m)
}

func foldHeaders(m *driver.Message) {
	folded := make(driver.Headers)
	for k, v := range m.Headers {
		folded[strings.ToLower(k)] = v
	}
	m.Headers = folded
}

func firstHeaders(m *mutant) {
	m.send = func(ctx context.Context, queue string, msgs []driver.Message) ([]string, error) {
		msgs = slices.Clone(msgs)
		for i := range msgs {
			msgs[i].Headers = msgs[0].Headers
		}
		return m.Provider.Send(ctx, queue, msgs)
	}
}

func firstDelay(m *mutant) {
	m.send = func(ctx context.Context, queue string, msgs []driver.Message) ([]string, error) {
		msgs = slices.Clone(msgs)
		for i := range msgs {
			msgs[i].Delay = msgs[0].Delay
		}
		return m.Provider.Send(ctx, queue, msgs)
	}
}

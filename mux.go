package mq

import (
	"cmp"
	"context"
	"fmt"
)

// HeaderType is the header that a Mux goes by unless it is told otherwise.
const HeaderType = "type"

// Mux is a Handler for a queue with several types of messages: it hands each one to
// the handler of its type, which a header tells.
//
//	mux := mq.Mux{Types: map[string]mq.Handler{
//		"order.placed": mq.Of[Placed](q).Handler(placed),
//		"order.paid":   mq.Of[Paid](q).Handler(paid),
//	}}
//
// It is safe for concurrent use as long as nobody changes it.
type Mux struct {
	// Types are the handlers, by the value of the header. A message whose header is
	// missing has the type "".
	Types map[string]Handler
	// Default handles messages of other types. If it is nil they become dead letters
	// at once, with a reason that names the type.
	Default Handler
	// Header is the name of the header that tells the type. "" means HeaderType.
	Header string
}

// Handle hands d to the handler of its type.
func (m Mux) Handle(ctx context.Context, d *Delivery) error {
	header := cmp.Or(m.Header, HeaderType)
	name, typed := d.Headers[header]
	switch h, known := m.Types[name]; {
	case known:
		return h.Handle(ctx, d)
	case m.Default != nil:
		return m.Default.Handle(ctx, d)
	case !typed:
		return Reject(fmt.Errorf("the message has no type, which header %q would tell", header))
	}
	return Reject(fmt.Errorf("there is no handler for messages of type %.100q", name))
}

// checkMux returns what is wrong with h, if it is a Mux.
func checkMux(h Handler) error {
	m, ok := h.(Mux)
	if p, pointer := h.(*Mux); pointer && p != nil {
		m, ok = *p, true
	}
	if !ok {
		return nil
	}
	if len(m.Types) == 0 {
		return invalid("Mux.Types is empty")
	}
	for name, h := range m.Types {
		if isNil(h) {
			return invalid("Mux.Types has a nil handler for type %q", name)
		}
	}
	if m.Default != nil && isNil(m.Default) {
		return invalid("Mux.Default is a nil handler")
	}
	return nil
}

// Type sets the type of a message, by which a Mux finds its handler: it is header
// HeaderType.
func Type(name string) SendOption { return Header(HeaderType, name) }

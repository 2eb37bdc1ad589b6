package drivertest

import (
	"bytes"
	"strings"

	"github.com/portmq/mq/driver"
)

var unchangedMutations = []mutation{
	{"redrive tidies bodies", "5: the body is kept", showing(whenMoved(func(d *driver.Delivery) { d.Body = bytes.TrimSpace(d.Body) })), "redrive/unchanged"},
	{"redrive drops empty headers", "5: headers are kept", showing(whenMoved(func(d *driver.Delivery) { delete(d.Headers, "empty") })), "redrive/unchanged"},
	{"redrive cuts headers", "5: headers are kept", showing(whenMoved(cutHeaders)), "redrive/unchanged"},
	{"move tidies bodies", "6: the body is kept", showing(whenMoved(func(d *driver.Delivery) { d.Body = bytes.ToValidUTF8(d.Body, nil) })), "move/unchanged"},
	{"move cuts headers", "6: headers are kept", showing(whenMoved(cutHeaders)), "move/unchanged"},
	{"move drops the group", "6: the group is kept", showing(whenMoved(func(d *driver.Delivery) { d.Group = "" })), "move/unchanged"},
}

// whenMoved limits a change to what was moved or redriven.
func whenMoved(change func(*driver.Delivery)) func(*driver.Delivery) {
	return func(d *driver.Delivery) {
		if d.Headers[driver.HeaderOrigin] != "" {
			change(d)
		}
	}
}

func cutHeaders(d *driver.Delivery) {
	for k, v := range d.Headers {
		if !strings.HasPrefix(k, "mq-") {
			d.Headers[k] = v[:min(len(v), 255)]
		}
	}
}

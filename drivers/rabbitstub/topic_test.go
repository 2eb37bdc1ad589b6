package rabbitstub

import (
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

// TestTopicsRefused: what drivers/rabbitmq cannot do either.
func TestTopicsRefused(t *testing.T) {
	c := closing(t, New())
	c.ensure("orders")
	for _, pattern := range []string{"a.*", "#", strings.Repeat("#.", 50) + "a"} {
		c.must(c.Bind(t.Context(), "orders", pattern))
	}
	for _, pattern := range []string{"a*", "a.b#", "*a.b", strings.Repeat("#.", 64) + "a"} {
		requireErr(t, c.Bind(t.Context(), "orders", pattern), driver.ErrNotSupported)
	}
	_, err := c.Publish(t.Context(), "a.b", []driver.Message{{}, {Delay: time.Second}})
	requireErr(t, err, driver.ErrNotSupported)
	c.expect("orders")
}

// TestPublishBlocked: a publish that was given up may still be carried out, as a send.
func TestPublishBlocked(t *testing.T) {
	bubble(t, func(c client) {
		c.ensure("orders")
		c.must(c.Bind(c.t.Context(), "orders", "a.*"))
		c.broker.Block()
		result := background(func() error {
			_, err := c.Publish(c.t.Context(), "a.b", []driver.Message{{Body: []byte("1")}})
			return err
		})
		c.broker.Unblock()
		c.must(result())
		c.expect("orders", "1")
	})
}

package rabbitmq

import (
	"errors"
	"strings"
	"testing"

	"github.com/portmq/mq/driver"
)

func TestServerVersion(t *testing.T) {
	for _, tt := range []struct{ product, version, fails string }{
		{"RabbitMQ", "3.10.8", ""},
		{"RabbitMQ", "4.1.0-rc.1", ""},
		{"RabbitMQ", "3.9.13", "3.10 is the oldest that works"},
		{"RabbitMQ", "new", "version cannot be read"},
		{"Other", "4.1.0", "the server is not RabbitMQ"},
	} {
		t.Run(tt.product+" "+tt.version, func(t *testing.T) {
			t.Parallel()
			b := listen(t, tt.product, tt.version)
			p := b.open(t)
			for range 2 {
				got, err := p.ServerVersion(t.Context())
				switch {
				case tt.fails == "" && (got != tt.version || err != nil):
					t.Errorf("%q, %v", got, err)
				case tt.fails != "" && (got != "" || err == nil || !strings.Contains(err.Error(), tt.fails)):
					t.Errorf("%q, %v; want an error with %q", got, err, tt.fails)
				}
			}
			if dialled := b.dialled.Load(); tt.fails == "" && dialled != 1 {
				t.Errorf("dialled %d times", dialled)
			}
		})
	}
}

func TestServerVersionUnknown(t *testing.T) {
	b := listen(t, "RabbitMQ", "4.1.0")
	p := b.open(t)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := p.ServerVersion(t.Context()); got != "" || !errors.Is(err, driver.ErrBadConn) {
		t.Errorf("nobody listens: %q, %v", got, err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := p.ServerVersion(t.Context()); got != "" || !errors.Is(err, driver.ErrClosed) {
		t.Errorf("after Close: %q, %v", got, err)
	}
}

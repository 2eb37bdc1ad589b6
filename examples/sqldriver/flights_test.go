package sqldriver_test

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/mqtest/drivertest"
)

// flying is a provider with another Caps.Flights.
type flying struct {
	driver.Provider
	flights int
}

func (f flying) Caps() driver.Caps {
	c := f.Provider.Caps()
	c.Flights = f.flights
	return c
}

// BenchmarkFlights shows which Caps.Flights is the fastest.
func BenchmarkFlights(b *testing.B) {
	for _, n := range []int{1, 2, 4, 8} {
		b.Run(fmt.Sprintf("flights=%d", n), func(b *testing.B) {
			drivertest.Bench(b, drivertest.Harness{Open: func(t testing.TB) *mq.Client {
				return mq.New(flying{harness.Open(t).Provider(), n}, mq.Config{Logger: slog.New(slog.DiscardHandler)})
			}})
		})
	}
}

package toy_test

import (
	"log/slog"
	"testing"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/mqtest/drivertest"

	_ "github.com/portmq/mq/examples/driver"
)

// harness is all that a driver writes to be tested, measured and fuzzed.
var harness = drivertest.Harness{
	Open:   open,
	Again:  func(t testing.TB, _ *mq.Client) *mq.Client { return open(t) },
	Bubble: true, // the provider lives in this process and on its clock
	BadDSN: []string{
		"toy://host",
		"toy://user:secret@",
		"toy:///path",
		"toy://?wait=1s",
		"toy:opaque",
	},
	Want: driver.Caps{Delay: true, Headers: true, LateSettle: true, ExactReadCount: true, ExactStats: true},
}

func open(t testing.TB) *mq.Client {
	c, err := mq.OpenConfig("toy://", mq.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConformance(t *testing.T) { drivertest.Run(t, harness) }

func TestConformanceInRealTime(t *testing.T) {
	if testing.Short() {
		t.Skip("the same on real time")
	}
	h := harness
	h.Bubble = false
	drivertest.Run(t, h)
}

func FuzzToy(f *testing.F) { drivertest.Fuzz(f, harness) }

func BenchmarkToy(b *testing.B) { drivertest.Bench(b, harness) }

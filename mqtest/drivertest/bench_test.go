package drivertest_test

import (
	"testing"

	"github.com/portmq/mq/mqtest/drivertest"
)

func BenchmarkMem(b *testing.B) {
	drivertest.Bench(b, drivertest.Harness{Open: openMem})
}

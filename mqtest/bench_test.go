package mqtest_test

import (
	"testing"

	"github.com/portmq/mq/mqtest"
)

func BenchmarkMem(b *testing.B) {
	mqtest.Bench(b, mqtest.Harness{Open: openMem})
}

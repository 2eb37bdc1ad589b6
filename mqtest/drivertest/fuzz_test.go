package drivertest_test

import (
	"log/slog"
	"testing"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/mqtest/drivertest"
)

func openMem(testing.TB) *mq.Client {
	return mq.New(mem.New(), mq.Config{Logger: slog.New(slog.DiscardHandler)})
}

func FuzzMem(f *testing.F) {
	drivertest.Fuzz(f, drivertest.Harness{Open: openMem, Bubble: true})
}

func FuzzMemRealTime(f *testing.F) {
	drivertest.Fuzz(f, drivertest.Harness{Open: openMem})
}

package mqtest_test

import (
	"testing"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/mqtest"
)

func openMem(testing.TB) *mq.Client { return mq.New(mem.New(), mq.Config{Logger: discard}) }

func FuzzMem(f *testing.F) {
	mqtest.Fuzz(f, mqtest.Harness{Open: openMem, Bubble: true})
}

func FuzzMemRealTime(f *testing.F) {
	mqtest.Fuzz(f, mqtest.Harness{Open: openMem})
}

package cron_test

import (
	"os"
	"testing"

	"github.com/portmq/mq/internal/integration/server"
)

func TestMain(m *testing.M) {
	os.Exit(server.RunWaiting(m, 8))
}

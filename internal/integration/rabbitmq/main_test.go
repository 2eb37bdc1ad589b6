package rabbitmq_test

import (
	"io"
	"log/slog"
	"os"
	"testing"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/integration/server"
)

func TestMain(m *testing.M) {
	os.Exit(server.RunWaiting(m, 8))
}

// quiet does not log: connections are meant to break here.
var quiet = mq.Config{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}

package rabbitmq_test

import (
	"flag"
	"io"
	"log/slog"
	"os"
	"testing"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/integration/server"
)

func TestMain(m *testing.M) {
	// Cases wait most of the time.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(server.Run(m))
}

// quiet does not log: connections are meant to break here.
var quiet = mq.Config{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}

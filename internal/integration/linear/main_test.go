package linear

import (
	"os"
	"testing"

	"github.com/portmq/mq/internal/integration/server"
)

func TestMain(m *testing.M) {
	child()
	os.Exit(server.Run(m))
}

// Package examples runs the examples on live servers.
package examples

import (
	"os"
	"testing"

	"github.com/portmq/mq/internal/integration/server"
)

func TestMain(m *testing.M) { os.Exit(server.Run(m)) }

// Package workflow runs the tests of the workflow example on live servers.
package workflow

import (
	"net/url"
	"os"
	"os/exec"
	"testing"

	"github.com/portmq/mq/internal/integration/server"
)

func TestMain(m *testing.M) { os.Exit(server.Run(m)) }

func TestPGMQ(t *testing.T) {
	u, err := url.Parse(server.Postgres(t).Database(t))
	if err != nil {
		t.Fatal(err)
	}
	u.Scheme = "pgmq"
	u.RawQuery += "&pool_max_conns=5" // there are many clients
	cmd := exec.Command("go", "test", "-race", "-count=1", "-parallel=8", "-timeout=5m", "./examples/workflow")
	cmd.Dir = "../../.." // another module
	cmd.Env = append(os.Environ(), "MQ_TEST_DSN="+u.String())
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

package examples

import (
	"net/url"
	"os"
	"os/exec"
	"testing"

	"github.com/portmq/mq/internal/integration/server"
)

// TestWorkflow runs the tests of the workflow example.
func TestWorkflow(t *testing.T) {
	u, err := url.Parse(server.Postgres(t).Database(t))
	if err != nil {
		t.Fatal(err)
	}
	u.Scheme = "pgmq"
	u.RawQuery += "&pool_max_conns=5" // there are many clients
	args := []string{"test", "-count=1", "-parallel=8", "-timeout=20m"}
	if !testing.Short() { // on drivers/mem they run under the race detector anyway
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "./examples/workflow")...)
	cmd.Dir = "../../.." // another module
	cmd.Env = append(os.Environ(), "MQ_TEST_DSN="+u.String())
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

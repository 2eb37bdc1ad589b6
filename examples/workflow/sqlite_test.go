package workflow_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestSQLite runs the other tests on SQLite, which is slow under the race detector.
func TestSQLite(t *testing.T) {
	if os.Getenv("MQ_TEST_DSN") != "" {
		t.Skip("another provider was asked for")
	}
	if testing.Short() {
		t.Skip("the full matrix: make test-all")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.timeout=10m")
	cmd.Env = append(os.Environ(), "MQ_TEST_DSN=sqlite://"+filepath.ToSlash(filepath.Join(t.TempDir(), "workflow.db")))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/portmq/mq"
	"github.com/portmq/mq/mqtest/drivertest"
)

// childReadOnly is set where the test's program is to be a process that may not write.
const childReadOnly = "MQ_SQLITE_TEST_READ_ONLY"

func TestMain(m *testing.M) {
	drivertest.KillChild()
	if dsn := os.Getenv(childReadOnly); dsn != "" {
		c, err := mq.Open(dsn)
		if err == nil {
			err = c.Ping(context.Background())
		}
		fmt.Println(err)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestKilled: nothing acknowledged is lost, and the file stays whole.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "storm.db")
	drivertest.Kill(t, dsn(path))
	inOrder(t, path)
}

// open opens a client of a file that is closed with the test.
func open(t testing.TB, path string) *mq.Client {
	t.Helper()
	c, err := mq.Open(dsn(path))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

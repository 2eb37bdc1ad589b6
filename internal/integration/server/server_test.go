package server

import (
	"bufio"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) { os.Exit(Run(m)) }

func query(dsn, text string) error {
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	_, err = db.Exec(text)
	return err
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestDatabase(t *testing.T) {
	c := Postgres(t)
	var one, two string
	t.Run("lent", func(t *testing.T) {
		one, two = c.Database(t), c.Database(t)
		ok(t, query(one, "CREATE SCHEMA pgmq; CREATE TABLE pgmq.t (i int)"))
		ok(t, query(two, "CREATE TABLE t (i int)"))
	})
	ok(t, query(one, "CREATE SCHEMA pgmq; DROP SCHEMA pgmq"))
	if again := c.Database(t); again != one {
		t.Errorf("lent %s, want %s that is empty again", again, one)
	}
	if query(two, "SELECT") == nil {
		t.Error("a database with a foreign table is left behind")
	}
}

func TestRole(t *testing.T) {
	c := Postgres(t)
	u := *c.dsn
	u.User = c.Role(t)
	ok(t, query(u.String(), "SELECT"))
	if query(u.String(), "CREATE ROLE x") == nil {
		t.Error("a role without rights makes another")
	}
}

func TestRestart(t *testing.T) {
	c := Postgres(t)
	if !c.Ours() {
		t.Log("the server is not ours")
		return
	}
	dsn := c.Database(t)
	ok(t, query(dsn, "CREATE TABLE t AS SELECT 42 AS i"))
	for _, how := range []syscall.Signal{Fast, Immediate} {
		c.Restart(t, how)
		ok(t, query(dsn, "INSERT INTO t SELECT i FROM t"))
	}
	c.Stop(t, Fast)
	if query(dsn, "SELECT") == nil {
		t.Error("a server that was stopped answers")
	}
	c.Start(t)
	ok(t, query(dsn, "SELECT"))
}

func TestPgBouncer(t *testing.T) {
	c := Postgres(t)
	b := PgBouncer(t, c, "transaction")
	dsn := c.Database(t)
	ok(t, query(b.DSN(dsn), "CREATE TABLE t (i int)"))
	ok(t, query(dsn, "DROP TABLE t"))
	if c.Ours() {
		c.Restart(t, Immediate)
		ok(t, query(b.DSN(dsn), "CREATE TABLE t (i int)"))
	}
}

func TestFrom(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix:///nowhere")
	t.Setenv("MQ_TEST_POSTGRES", "postgres://postgres:s3cret@127.0.0.1:1/postgres")
	for from, want := range map[string]string{
		"":       "127.0.0.1:1",
		"env":    "127.0.0.1:1",
		"docker": "no engine answers",
		"all":    "must be env, docker or local",
	} {
		t.Setenv("MQ_TEST_POSTGRES_FROM", from)
		c, err := postgres.find()
		if c != nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("from %q: %v, error %v", from, c, err)
		}
	}
}

// outcome is that of a test.
type outcome struct {
	testing.TB
	is string
}

func (o *outcome) Helper() {}

func (o *outcome) Skip(...any) { o.end("skipped") }

func (o *outcome) Fatal(...any) { o.end("failed") }

func (o *outcome) end(is string) {
	o.is = is
	runtime.Goexit()
}

// TestMissing: a test without a server is skipped, or fails where it is
// required.
func TestMissing(t *testing.T) {
	find := FindPostgres
	t.Cleanup(func() { FindPostgres = find })
	FindPostgres = func() (*Cluster, error) { return nil, errors.New("none") }
	for _, tt := range []struct{ require, dsn, from, want string }{
		{"", "", "", "skipped"},
		{"rabbitmq", "", "", "skipped"},
		{"rabbitmq,pgmq", "", "", "failed"},
		{"", "postgres://", "", "failed"},
		{"", "", "docker", "failed"},
	} {
		t.Setenv("MQ_TEST_REQUIRE", tt.require)
		t.Setenv("MQ_TEST_POSTGRES", tt.dsn)
		t.Setenv("MQ_TEST_POSTGRES_FROM", tt.from)
		var o outcome
		var wg sync.WaitGroup
		wg.Go(func() { Postgres(&o) })
		wg.Wait()
		if o.is != tt.want {
			t.Errorf("%+v: the test was %s", tt, o.is)
		}
	}
}

// TestKilled: nothing is left of tests that are killed.
func TestKilled(t *testing.T) {
	if !Postgres(t).Ours() {
		t.Log("the server is not ours")
		return
	}
	temp, err := os.MkdirTemp("", "") // t.TempDir is closed to other users
	ok(t, err)
	t.Cleanup(func() { ok(t, os.Remove(temp)) })
	ok(t, os.Chmod(temp, 0o777|os.ModeSticky))
	self, err := os.Executable()
	ok(t, err)
	cmd := exec.Command(self, "-test.run=^TestHang$")
	cmd.Env = append(os.Environ(), "MQ_TEST_HANG=1", "TMPDIR="+temp)
	out, err := cmd.StdoutPipe()
	ok(t, err)
	ok(t, cmd.Start())
	var dsn string
	for lines := bufio.NewScanner(out); dsn == "" && lines.Scan(); {
		_, dsn, _ = strings.Cut(lines.Text(), "server at ")
	}
	ok(t, query(dsn, "SELECT"))
	ok(t, cmd.Process.Kill())
	_ = cmd.Wait()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		left, err := filepath.Glob(temp + "/mq-*")
		ok(t, err)
		if err := query(dsn, "SELECT"); err != nil && len(left) == 0 {
			return
		} else if time.Now().After(end) {
			t.Fatalf("left are %q, and the server answers %v", left, err)
		}
	}
}

func TestHang(t *testing.T) {
	if os.Getenv("MQ_TEST_HANG") == "" {
		return
	}
	fmt.Printf("server at %s\n", Postgres(t).dsn)
	select {}
}

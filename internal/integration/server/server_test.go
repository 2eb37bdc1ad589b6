package server

import (
	"bufio"
	"database/sql"
	"errors"
	"fmt"
	"io"
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

func TestMain(m *testing.M) {
	if os.Getenv("MQ_TEST_HANG") != "" {
		hang()
	}
	if os.Getenv("MQ_TEST_SHARE") != "" {
		share()
	}
	os.Exit(Run(m))
}

// hang starts a server, and leaves it to whoever kills the process.
func hang() {
	c, err := postgres.own()
	if err != nil {
		panic(err)
	}
	fmt.Printf("server at %s\n", c.dsn)
	select {}
}

// share names servers until the end of standard input.
func share() {
	env, missing, stop := Share()
	fmt.Printf("%s\n%s\n", strings.Join(env, " "), strings.Join(missing, "; "))
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// shared returns what share says in another process, which goes on until the
// end of the test.
func shared(t *testing.T) (env []string, missing string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "MQ_TEST_SHARE=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	ok(t, err)
	out, err := cmd.StdoutPipe()
	ok(t, err)
	ok(t, cmd.Start())
	lines := bufio.NewReader(out)
	first, _ := lines.ReadString('\n')
	missing, err = lines.ReadString('\n')
	ok(t, err)
	t.Cleanup(func() {
		_ = in.Close()
		ok(t, cmd.Wait())
	})
	return strings.Fields(first), strings.TrimSpace(missing)
}

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
	c := OwnPostgres(t)
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
	c := OwnPostgres(t)
	b := PgBouncer(t, c, "transaction")
	dsn := c.Database(t)
	ok(t, query(b.DSN(dsn), "CREATE TABLE t (i int)"))
	ok(t, query(dsn, "DROP TABLE t"))
	c.Restart(t, Immediate)
	ok(t, query(b.DSN(dsn), "CREATE TABLE t (i int)"))
}

// TestShare: what is found or started once serves other processes.
func TestShare(t *testing.T) {
	env, missing := shared(t)
	if missing != "" {
		t.Skip(missing)
	}
	for _, v := range env {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	c, err := postgres.find()
	ok(t, err)
	if c.Ours() {
		t.Error("another server was started")
	}
	b := PgBouncer(t, c, "transaction")
	if at := b.at.String(); at != os.Getenv("MQ_TEST_PGBOUNCER") {
		t.Errorf("another PgBouncer was started: %s", at)
	}
	ok(t, query(b.DSN(c.Database(t)), "CREATE TABLE t (i int)"))
	_, err = rabbitMQ.find()
	ok(t, err)
}

func TestFrom(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix:///nowhere")
	const down = "postgres://postgres:s3cret@127.0.0.1:1/postgres"
	for _, tt := range []struct {
		find      func() (*Cluster, error)
		dsn, from string
		want      string
	}{
		{postgres.find, down, "", "127.0.0.1:1"},
		{postgres.find, down, "docker", "127.0.0.1:1"},
		{postgres.find, "", "env", "MQ_TEST_POSTGRES is not set"},
		{postgres.find, "", "docker", "no engine answers"},
		{postgres.find, "", "all", "must be env, docker or local"},
		{postgres.own, down, "docker", "no engine answers"},
		{postgres.own, down, "env", "no PostgreSQL"},
	} {
		t.Setenv("MQ_TEST_POSTGRES", tt.dsn)
		t.Setenv("MQ_TEST_POSTGRES_FROM", tt.from)
		c, err := tt.find()
		if c != nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("from %q: %v, error %v", tt.from, c, err)
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
	OwnPostgres(t)                    // can be had
	temp, err := os.MkdirTemp("", "") // t.TempDir is closed to other users
	ok(t, err)
	t.Cleanup(func() { ok(t, os.Remove(temp)) })
	ok(t, os.Chmod(temp, 0o777|os.ModeSticky))
	self, err := os.Executable()
	ok(t, err)
	cmd := exec.Command(self)
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

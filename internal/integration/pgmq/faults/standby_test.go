package faults

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/pgmq"
)

// TestReadOnly: what writes says that it cannot, and that nothing was done.
func TestReadOnly(t *testing.T) {
	b := newBase(t)
	b.stage(b.client(), "jobs")
	eachLibrary(t, func(t *testing.T, library string) {
		dsn := with(b.dsn, "driver="+library, "options=-c%20default_transaction_read_only=on")
		b.of(t).readsOnly(dsn, library == "pq") // whose transactions are READ WRITE
		b.of(t).looksOnly(library, with(b.dsn, "options=-c%20default_transaction_read_only%3Don"), false)
	})
}

// TestFailover: sessions that are left on a node that can only be read are not
// used again, and what they refused is done on another: here they keep what the
// database had set when they began.
func TestFailover(t *testing.T) {
	b := newBase(t)
	database := value[string](b, "SELECT current_database()")
	b.execf("ALTER DATABASE %s SET default_transaction_read_only = on", database)
	type left struct {
		op operation
		q  *mq.Queue
	}
	var all []left
	eachLibrary(t, func(t *testing.T, library string) {
		for i, op := range operations {
			q := b.stage(b.client("options=-c%20default_transaction_read_only=off"), fmt.Sprint(library, i))
			mine := b.client("driver="+library, "pool_max_conns=3").Queue(q.Name())
			b.occupy(mine, 3)
			all = append(all, left{op, mine})
		}
	})
	b.execf("ALTER DATABASE %s RESET default_transaction_read_only", database)
	for _, l := range all {
		if err := stale(l.op.run(t.Context(), b, l.q)); err != nil {
			t.Errorf("%s on %s: %v", l.op.name, l.q.Name(), err)
		}
	}
	_, err := b.client("driver=pgx").EnsureQueue(t.Context(), "another", mq.QueueOptions{})
	b.ok(err)
}

// TestStandby is TestReadOnly on a hot standby.
func TestStandby(t *testing.T) {
	b := newBaseToStop(t)
	b.stage(b.client(), "jobs")
	dsn := b.standby()
	eachLibrary(t, func(t *testing.T, library string) {
		b.of(t).readsOnly(with(dsn, "driver="+library), false)
		b.of(t).looksOnly(library, dsn, true)
	})
	c := b.open(with(dsn, "target_session_attrs=read-write"))
	if err := c.Ping(t.Context()); !errors.Is(err, mq.ErrBadConn) {
		t.Errorf("target_session_attrs=read-write: %v", err)
	}
}

// readsOnly checks what can be done where nothing can be written, unless
// transactions can.
func (b *base) readsOnly(dsn string, unlessInTx bool) {
	b.Helper()
	c := b.open(dsn)
	b.ok(c.Ping(b.Context()))
	_, err := c.EnsureQueue(b.Context(), "jobs", mq.QueueOptions{})
	b.ok(err)
	for _, op := range operations {
		err := op.run(b.Context(), b, c.Queue("jobs"))
		switch {
		case op.reads:
			b.ok(err)
		case unlessInTx && strings.HasPrefix(op.name, "receive ") && err == nil:
		case err == nil || errors.Is(err, mq.ErrUnavailable) || !strings.Contains(err.Error(), "read-only") && !strings.Contains(err.Error(), "recovery"):
			b.Errorf("%s: %v", op.name, err)
		}
	}
}

// looksOnly is readsOnly for what operators and Consumers do. A standby has no unlogged
// tables.
func (b *base) looksOnly(library, dsn string, standby bool) {
	b.Helper()
	p := pgmq.FromDB(b.pool(library, dsn), pgmq.Config{Logger: b.config().Logger})
	b.Cleanup(func() { b.ok(p.Close()) })
	_, err := p.Paused(b.Context())
	b.ok(err)
	found, err := p.Search(b.Context(), "jobs", driver.SearchRequest{BrowseRequest: driver.BrowseRequest{Limit: 10}, Scan: 10})
	if b.ok(err); found.Looked != 3 || !found.End {
		b.Errorf("it finds %+v", found)
	}
	_, _, err = p.CountReasons(b.Context(), "jobs", 10)
	b.ok(err)
	_, err = p.Consumers(b.Context(), "jobs")
	refused := map[string]error{
		"pause":    p.SetPaused(b.Context(), "jobs", true, "me"),
		"resume":   p.SetPaused(b.Context(), "jobs", false, "me"),
		"report":   p.Report(b.Context(), driver.ConsumerReport{ID: "1", Queue: "jobs"}, time.Minute),
		"override": second(p.Override(b.Context(), "jobs", []string{"1"}, driver.Settlement{Op: driver.OpAck})),
	}
	if standby {
		refused["consumers"] = err
	} else {
		b.ok(err)
	}
	for what, err := range refused {
		if err == nil || errors.Is(err, mq.ErrUnavailable) || !strings.Contains(err.Error(), "read-only") && !strings.Contains(err.Error(), "recovery") {
			b.Errorf("%s: %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// standby starts a standby of the server, and returns the DSN of the same
// database there. It skips the test if the server runs elsewhere than on this
// machine, where its files cannot be copied.
func (b *base) standby() string {
	b.Helper()
	_, bin, _ := strings.Cut(b.server.String(), " with ")
	bin, _, _ = strings.Cut(bin, ", at ")
	if bin == "" {
		b.Skipf("a standby needs the programs of the server: %s", b.server)
	}
	if _, err := os.Stat(bin + "/pg_basebackup"); err != nil {
		b.Skipf("a standby needs pg_basebackup: %v", err)
	}
	port := value[string](b, "SHOW port")
	dir, err := os.MkdirTemp("", "mq-standby-")
	b.ok(err)
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	_ = os.Chmod(dir, 0o700)
	cred := nobody(b, dir)
	if out, err := command(cred, bin+"/pg_basebackup", "-d", b.dsn, "-D", dir+"/data", "-R", "-X", "stream", "-c", "fast", "--no-sync").CombinedOutput(); err != nil {
		b.Fatalf("pg_basebackup: %v: %s", err, out)
	}
	at := freePort(b)
	cmd := command(cred, bin+"/postgres", "-D", dir+"/data", "-p", at, "-h", "127.0.0.1", "-k", "", "-c", "fsync=off", "-c", "max_connections=500")
	b.ok(cmd.Start())
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGQUIT)
		_ = cmd.Wait()
	})
	dsn := strings.Replace(b.dsn, ":"+port+"/", ":"+at+"/", 1)
	db := b.pool("pgx", dsn)
	b.eventually("the standby answers", func() bool {
		var n int
		return db.QueryRow("SELECT count(*) FROM pgmq.q_jobs WHERE pg_is_in_recovery()").Scan(&n) == nil && n == 3
	})
	return dsn
}

// nobody returns who servers run as, if we are root, and gives dir to them.
func nobody(b *base, dir string) *syscall.Credential {
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("nobody")
	b.ok(err)
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	b.ok(os.Chown(dir, int(uid), int(gid)))
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func command(cred *syscall.Credential, program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred, Pdeathsig: syscall.SIGQUIT}
	return cmd
}

func freePort(b *base) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	b.ok(err)
	defer func() { _ = l.Close() }()
	return fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
}

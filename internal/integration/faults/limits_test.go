package faults

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/portmq/mq"
)

// TestTimeouts: a statement that the server gives up is an error that says so,
// soon, and has no effect.
func TestTimeouts(t *testing.T) {
	b := newBase(t)
	n := new(atomic.Int32)
	for setting, says := range map[string]string{"statement_timeout": "57014", "lock_timeout": "55P03"} {
		t.Run(setting, func(t *testing.T) {
			eachLibrary(t, func(t *testing.T, library string) {
				c := b.of(t).client("driver="+library, "options=-c%20"+setting+"=50")
				every(t, func(t *testing.T, op operation) {
					t.Parallel()
					b := b.of(t)
					q := b.stage(b.client(), fmt.Sprintf("q%d", n.Add(1)))
					before := b.picture(q)
					tx := b.block(blocks[0], q.Name())
					start := time.Now()
					err := op.run(t.Context(), b, c.Queue(q.Name()))
					if took := time.Since(start); err == nil || !strings.Contains(err.Error(), says) || took > 5*time.Second {
						t.Errorf("%v after %v, want SQLSTATE %s", err, took, says)
					}
					b.ok(tx.Rollback())
					if after := b.picture(q); after != before {
						t.Errorf("%s, before it %s", after, before)
					}
				})
			})
		})
	}
}

// settings are those of a role or a database that must not matter.
var settings = []string{
	"standard_conforming_strings=off",
	"search_path=nowhere",
	"timezone=Asia/Kathmandu",
	"datestyle=SQL,%20DMY",
	"intervalstyle=iso_8601",
	"extra_float_digits=0",
	"bytea_output=escape",
	"quote_all_identifiers=on",
	"plan_cache_mode=force_generic_plan",
	"plan_cache_mode=force_custom_plan",
	"enable_indexscan=off",
	"row_security=off",
	"default_transaction_isolation=serializable",
	"default_transaction_deferrable=on",
	"synchronous_commit=off",
	"client_min_messages=debug5",
	"idle_in_transaction_session_timeout=50",
	"session_replication_role=replica",
}

// TestSettings: the driver works whatever the sessions are set to.
func TestSettings(t *testing.T) {
	b := newBase(t)
	b.queue(b.client(), "target")
	for i, setting := range settings {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			eachLibrary(t, func(t *testing.T, library string) {
				b := b.of(t)
				c := b.client("driver="+library, "options="+strings.ReplaceAll("-c "+strings.ReplaceAll(setting, "%20", `\ `), " ", "%20"))
				q := b.stage(c, fmt.Sprintf("%s_%d", library, i))
				for _, op := range operations {
					b.ok(stale(op.run(t.Context(), b, q)))
				}
				q = b.queue(c, fmt.Sprintf("%s_%d_cycle", library, i))
				b.cycle(q)
			})
		})
	}
}

// TestSerializable: sixteen at once under the strictest isolation, which the
// database makes the default. Nothing is lost, nothing comes twice.
func TestSerializable(t *testing.T) {
	b := newBase(t)
	b.exec("DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = serializable', current_database()); END$$")
	eachLibrary(t, func(t *testing.T, library string) {
		b := b.of(t)
		c := b.client("driver="+library, "pool_max_conns=8")
		q := b.queue(c, library)
		b.drainTogether(q, 200)
	})
}

// TestIdleTimeout: the server ends sessions that do nothing, the one that
// listens as well.
func TestIdleTimeout(t *testing.T) {
	t.Parallel()
	b := newBase(t)
	if _, err := b.db.Exec("SET idle_session_timeout = 0"); err != nil {
		t.Log("the server is older than 14")
		return
	}
	eachLibrary(t, func(t *testing.T, library string) {
		b := b.of(t)
		q := b.queue(b.client("driver="+library, "options=-c%20idle_session_timeout=100"), library)
		got := b.waiting(q)
		for range 3 {
			time.Sleep(300 * time.Millisecond)
			b.post(q, 1)
			arrives(b, got)
			b.execf("INSERT INTO pgmq.q_%s (vt, message) VALUES (now(), '1')", library)
			arrives(b, got)
		}
	})
}

// TestReadOnly: what writes says that it cannot, and is no outage.
func TestReadOnly(t *testing.T) {
	b := newBase(t)
	b.stage(b.client(), "jobs")
	eachLibrary(t, func(t *testing.T, library string) {
		dsn := with(b.dsn, "driver="+library, "options=-c%20default_transaction_read_only=on")
		b.of(t).readsOnly(dsn, library == "pq") // whose transactions are READ WRITE
	})
}

// TestStandby is TestReadOnly on a hot standby.
func TestStandby(t *testing.T) {
	b := newBase(t)
	b.stage(b.client(), "jobs")
	dsn := b.standby()
	if dsn == "" {
		t.Log("no standby can be made of this server")
		return
	}
	eachLibrary(t, func(t *testing.T, library string) {
		b.of(t).readsOnly(with(dsn, "driver="+library), false)
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
		case err == nil || outage(err) || !strings.Contains(err.Error(), "read-only") && !strings.Contains(err.Error(), "recovery"):
			b.Errorf("%s: %v", op.name, err)
		}
	}
}

// standby starts a standby of the server, with the programs of this machine,
// and returns the DSN of the same database there, or "" if it cannot.
func (b *base) standby() string {
	b.Helper()
	if !b.server.Ours() {
		return ""
	}
	bin := programs()
	if bin == "" {
		return ""
	}
	port := value[string](b, "SHOW port")
	dir, err := os.MkdirTemp("", "mq-standby-")
	b.ok(err)
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	_ = os.Chmod(dir, 0o700)
	cred := nobody(b, dir)
	if out, err := command(cred, bin+"/pg_basebackup", "-d", b.dsn, "-D", dir+"/data", "-R", "-X", "stream", "-c", "fast", "--no-sync").CombinedOutput(); err != nil {
		b.Logf("pg_basebackup: %v: %s", err, out)
		return ""
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

// programs returns the folder of PostgreSQL's programs, the newest, or "".
func programs() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pg_basebackup")
	if initdb, err := exec.LookPath("initdb"); err == nil {
		if initdb, err = filepath.EvalSymlinks(initdb); err == nil {
			found = append(found, initdb)
		}
	}
	if len(found) == 0 {
		return ""
	}
	return filepath.Dir(found[len(found)-1])
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

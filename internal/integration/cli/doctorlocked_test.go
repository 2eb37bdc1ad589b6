package cli

import (
	"bytes"
	"database/sql"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/portmq/mq/internal/integration/server"
)

// lock holds a lock in a transaction of blocker until the test ends.
func (s *shop) lock(lock string) *sql.Tx {
	s.Helper()
	tx, err := s.db.BeginTx(s.Context(), nil)
	if err == nil {
		_, err = tx.Exec("SET LOCAL application_name = 'blocker'")
	}
	if err == nil {
		_, err = tx.Exec("LOCK TABLE " + lock + " MODE")
	}
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

const (
	tooLong  = "could not be checked: no lock within 2s; blocked by session "
	inTheWay = " of blocker (idle in transaction, in a transaction of "
)

// requireFinding requires a finding that says all of want.
func (m *tool) requireFinding(fs []finding, level, where string, want ...string) {
	m.Helper()
	for _, f := range fs {
		if f.Level == level && f.Where == where {
			for _, w := range want {
				if !strings.Contains(f.Finding, w) {
					m.Errorf("it says %q, want %q", f.Finding, w)
				}
			}
			return
		}
	}
	m.Errorf("there is no %s of %s: %+v", level, where, fs)
}

// TestDoctorLocked: a look that waits for a lock becomes a problem that names the
// blocking session, and the others go on.
func TestDoctorLocked(t *testing.T) {
	for _, tt := range []struct{ lock, where, what string }{
		{"pgmq.q_w IN ACCESS EXCLUSIVE", "w", "its tables "},
		{"pgmq.a_w IN ACCESS EXCLUSIVE", "w", "its tables "},
		{"pgmq.meta IN ACCESS EXCLUSIVE", "meta", "pgmq.meta "},
		{"pgmq.notify_insert_throttle IN ACCESS EXCLUSIVE", "wake-ups", "pgmq.notify_insert_throttle "},
	} {
		t.Run(tt.lock, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			s.must("create", "another", "w", "z")
			s.lock(tt.lock)
			fs := s.examine()
			s.requireFinding(fs, "problem", tt.where, tt.what+tooLong, inTheWay)
			s.requireFinding(fs, "ok", "another", "about 0 live")
			s.requireFinding(fs, "ok", "z", "about 0 live")
		})
	}
}

// TestDoctorLockQueued: a session that itself waits for a lock is in the way of
// those behind it.
func TestDoctorLockQueued(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.must("create", "w", "z")
	tx := s.lock("pgmq.q_w IN ACCESS SHARE")
	conn, err := s.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "SET application_name = 'migration'"); err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() {
		_, err := conn.ExecContext(t.Context(), "ALTER TABLE pgmq.q_w ADD note text")
		if err != nil {
			t.Error(err)
		}
	})
	s.eventually("it waits", func() bool { return s.queued("w") == 1 })
	fs := s.examine("w", "z")
	s.requireFinding(fs, "problem", "w", "its tables "+tooLong, " of migration (active, ")
	s.requireFinding(fs, "ok", "z")
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	done.Wait()
	_ = conn.Close()
}

// TestDoctorSilent: a connection that hangs costs one look; a server of which
// all hang ends the doctor.
func TestDoctorSilent(t *testing.T) {
	for _, all := range []bool{false, true} {
		t.Run(map[bool]string{false: "one connection", true: "all connections"}[all], func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			s.must("create", "w")
			p, dsn := server.NewProxy(t, s.admin)
			over := make(chan struct{})
			var once sync.Once
			p.Answer = server.Altered(func(reply []byte) {
				if !bytes.Contains(reply, []byte("'w'")) { // as the look at pgmq.meta has it
					return
				}
				once.Do(func() {
					if all {
						t.Cleanup(p.Silence())
					}
					<-over
				})
			})
			t.Cleanup(func() { close(over) })
			through := on(t, "pgmq", dsn)
			if all {
				r := through.run("doctor")
				through.fails(r, failure, "mq: ping: pgmq: ")
				if !strings.Contains(r.stdout, "pgmq.meta could not be checked: no answer in 15s") {
					t.Errorf("it says\n%s", r.stdout)
				}
				return
			}
			fs := through.examine()
			through.requireFinding(fs, "problem", "meta", "pgmq.meta could not be checked: no answer in 15s")
			through.requireFinding(fs, "ok", "w")
		})
	}
}

// TestDoctorSilentBroker: the same with AMQP.
func TestDoctorSilentBroker(t *testing.T) {
	t.Parallel()
	d := newDepot(t)
	d.must("create", "hanging", "well")
	u, err := url.Parse(d.dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Scheme = "amqp"
	p, dsn := server.NewProxy(t, u.String())
	over := make(chan struct{})
	var once sync.Once
	p.Answer = server.Altered(func(reply []byte) {
		if bytes.Contains(reply, []byte("hanging")) {
			once.Do(func() { <-over })
		}
	})
	t.Cleanup(func() { close(over) })
	through := on(t, "rabbitmq", dsn)
	fs := through.examine("hanging", "well")
	through.requireFinding(fs, "problem", "hanging", "the queue could not be checked: ")
	through.requireFinding(fs, "ok", "well", "declared as it should be")
}

// TestDropWaits: drop says which session it waits for, and goes on.
func TestDropWaits(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.must("create", "w")
	tx := s.lock("pgmq.q_w IN ACCESS SHARE")
	p := s.start("", "drop", "-yes", "w")
	for _, n := range []int{1, 0, 1} { // it waits, lets others pass, and waits again
		s.eventually("it waits, or not", func() bool { return s.queued("w") == n })
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	r := p.end()
	if r.code != ok || !strings.Contains(r.stderr, `waiting for a lock" queue=w "held by"="session `) || !strings.Contains(r.stderr, "blocker") {
		t.Errorf("exit code %d\n%s", r.code, r.stderr)
	}
}

// queued is how many sessions wait for a lock of a queue's table.
func (s *shop) queued(queue string) int {
	s.Helper()
	return s.count("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'pgmq.q_" + queue + "'::regclass")
}

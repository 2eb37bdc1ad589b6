package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestFlow moves messages from PGMQ to RabbitMQ, although the first copy is
// killed, and works on them.
func TestFlow(t *testing.T) {
	t.Parallel()
	const n, batch = 100, 10
	from, to := newShop(t), newDepot(t)
	from.must("create", "orders")
	var input strings.Builder
	for i := range n {
		fmt.Fprintf(&input, "{\"n\":%d}\n", i)
	}
	if got := from.mustFeed(input.String(), "send", "orders", "-"); got != "sent 100 messages\n" {
		t.Fatalf("it says %q", got)
	}

	copying := []string{"copy", from.dsn, to.dsn, "-queue", "orders", "-batch", fmt.Sprint(batch), "-visibility", "1h", "-idle", "200ms"}
	from.killHalfWay(n/2, copying...)
	if left := from.count("SELECT count(*) FROM pgmq.q_orders"); left != n/2 {
		t.Fatalf("%d messages are left, not %d", left, n/2)
	}
	from.exec("UPDATE pgmq.q_orders SET vt = now() + interval '1 second' WHERE vt > now()") // as if the hour were over soon
	r := from.run(copying...)
	if want := fmt.Sprintf("orders  %d ", n/2); r.code != ok || !strings.Contains(r.stdout, want) {
		t.Fatalf("the second copy: exit code %d\n%s%swant %q", r.code, r.stdout, r.stderr, want)
	}
	if left := from.count("SELECT count(*) FROM pgmq.q_orders"); left > 0 {
		t.Errorf("%d messages are left", left)
	}
	to.drain(n, batch)
}

// killHalfWay kills a copy that has deleted so many messages, and whose next
// batch the target has already.
func (s *shop) killHalfWay(n int, copying ...string) {
	s.Helper()
	s.exec(fmt.Sprintf(`
		CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN old; END';
		CREATE TRIGGER hold BEFORE DELETE ON pgmq.q_orders FOR EACH ROW WHEN (old.msg_id > %d) EXECUTE FUNCTION hold()`, n))
	tx, err := s.db.BeginTx(s.Context(), nil)
	if err == nil {
		_, err = tx.Exec("SELECT pg_advisory_xact_lock(1)")
	}
	if err != nil {
		s.Fatal(err)
	}
	const waiting = `FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
	killed := s.start("", copying...)
	s.eventually("half of it is copied", func() bool { return s.count("SELECT count(*) "+waiting) == 1 })
	if err := killed.Process.Signal(syscall.SIGKILL); err != nil {
		s.Fatal(err)
	}
	if r := killed.end(); r.code != -1 || r.stdout != "" {
		s.Fatalf("the copy was not killed half way: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	s.exec("SELECT pg_terminate_backend(pid) " + waiting) // or it deletes as soon as it may
	s.eventually("its session has ended", func() bool { return s.count("SELECT count(*) "+waiting) == 0 })
	if err := tx.Rollback(); err != nil {
		s.Fatal(err)
	}
	s.exec("DROP TRIGGER hold ON pgmq.q_orders; DROP FUNCTION hold")
}

// drain works on the messages of queue orders, and requires each n, and so
// many doubles.
func (d *depot) drain(n, doubles int) {
	d.Helper()
	arrived := n + doubles
	if got := d.ready("orders"); got != arrived {
		d.Errorf("%d messages have arrived, not %d", got, arrived)
	}
	out := filepath.Join(d.TempDir(), "out")
	p := d.start("", "work", "orders", "-visibility", "10m", "--", "sh", "-c", `cat >>"$0"; echo >>"$0"`, out)
	d.eventually("all are worked on", func() bool {
		text, err := os.ReadFile(out)
		return err == nil && strings.Count(string(text), "\n") >= arrived
	})
	if err := p.Process.Signal(syscall.SIGINT); err != nil {
		d.Fatal(err)
	}
	r := p.end()
	want := fmt.Sprintf("mq: worked on orders: %d done, 0 retries, 0 dead letters\n", arrived)
	if r.code != ok || r.stderr != want {
		d.Errorf("work: exit code %d\n%swant %s", r.code, r.stderr, want)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		d.Fatal(err)
	}
	type body struct{ N int }
	seen := make(map[int]bool)
	bodies := lines[body](d.tool, string(text))
	for _, b := range bodies {
		seen[b.N] = true
	}
	if len(seen) != n || !seen[0] || !seen[n-1] || len(bodies) != arrived {
		d.Errorf("%d messages, %d different ones, of %d", len(bodies), len(seen), n)
	}
	d.eventually("the queue is empty", func() bool { return d.ready("orders") == 0 })
}

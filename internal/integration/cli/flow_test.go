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
	const n, batch = 400, 10
	from, to := newShop(t), newDepot(t)
	from.must("create", "orders")
	var input strings.Builder
	for i := range n {
		fmt.Fprintf(&input, "{\"n\":%d}\n", i)
	}
	if got := from.mustFeed(input.String(), "send", "orders", "-"); got != "sent 400 messages\n" {
		t.Fatalf("it says %q", got)
	}

	copying := []string{"copy", from.dsn, to.dsn, "-queue", "orders", "-batch", fmt.Sprint(batch), "-visibility", "2s", "-idle", "200ms"}
	killed := from.start("", copying...)
	from.eventually("half of it is copied", func() bool { return from.count("SELECT count(*) FROM pgmq.q_orders") <= n/2 })
	if err := killed.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if r := killed.end(); r.code != -1 || r.stdout != "" {
		t.Fatalf("the first copy was not killed half way: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	from.eventually("its sessions end", func() bool { // they may still delete
		return from.count("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'") == 1
	})
	left := from.count("SELECT count(*) FROM pgmq.q_orders")
	if left == 0 || left > n/2 {
		t.Fatalf("%d messages are left", left)
	}
	r := from.run(copying...)
	if want := fmt.Sprintf("orders  %d ", left); r.code != ok || !strings.Contains(r.stdout, want) {
		t.Fatalf("the second copy: exit code %d\n%s%swant %q", r.code, r.stdout, r.stderr, want)
	}
	if left := from.count("SELECT count(*) FROM pgmq.q_orders"); left > 0 {
		t.Errorf("%d messages are left", left)
	}
	to.drain(n, batch)
}

// drain works on the messages of queue orders, and requires each n, and so
// many doubles at most.
func (d *depot) drain(n, doubles int) {
	d.Helper()
	arrived := d.ready("orders")
	out := filepath.Join(d.TempDir(), "out")
	r := d.run("work", "orders", "-idle", "1s", "-visibility", "1m", "--", "sh", "-c", `cat >>"$0"; echo >>"$0"`, out)
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
	if len(seen) != n || !seen[0] || !seen[n-1] || len(bodies) != arrived || len(bodies) > n+doubles {
		d.Errorf("%d messages, %d different ones, of %d", len(bodies), len(seen), n)
	}
	if left := d.ready("orders"); left != 0 {
		d.Errorf("%d messages are left", left)
	}
}

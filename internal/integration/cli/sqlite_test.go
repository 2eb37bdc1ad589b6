package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestFlowFromSQLite moves a queue from a file to PGMQ, while a program sends to it and
// another one works on it: each message is handled by one of the two ends.
func TestFlowFromSQLite(t *testing.T) {
	t.Parallel()
	const n = 400
	from := &tool{t, "sqlite://" + filepath.Join(t.TempDir(), "orders.db")}
	to, folder := newShop(t), t.TempDir()
	from.must("create", "orders")
	from.mustFeed(numbers(0, n/2), "send", "orders", "-")

	before := from.workInto(filepath.Join(folder, "before"))
	from.eventually("some is worked on", func() bool { return len(before.lines()) > 5 })
	copying := from.start("", "copy", from.dsn, to.dsn, "-queue", "orders", "-batch", "10", "-follow")
	from.eventually("some is copied", func() bool {
		return to.count("SELECT coalesce(to_regclass('pgmq.q_orders') IS NOT NULL, false)::int") == 1
	})
	from.mustFeed(numbers(n/2, n), "send", "orders", "-")
	type line struct{ Total int }
	from.eventually("the file is empty", func() bool {
		s := lines[line](from, from.must("stats", "orders", "-o", "json"))
		return len(s) == 1 && s[0].Total == 0
	})
	for _, p := range []*process{copying, before.process} {
		if err := p.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if r := p.end(); r.code != ok {
			t.Errorf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
		}
	}
	moved := to.count("SELECT count(*) FROM pgmq.q_orders")
	if moved == 0 || moved == n {
		t.Errorf("%d of %d messages were moved, which shows nothing", moved, n)
	}
	after := to.workInto(filepath.Join(folder, "after"))
	to.eventually("all is worked on", func() bool { return len(after.lines()) >= moved })
	if err := after.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	after.end()

	got := slices.Sorted(slices.Values(append(before.lines(), after.lines()...)))
	if want := slices.Sorted(strings.FieldsSeq(numbers(0, n))); !slices.Equal(got, want) {
		t.Errorf("%d messages were handled, %d of them before, of %d: %q", len(got), len(before.lines()), n, got)
	}
}

// numbers are bodies, a line each.
func numbers(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintln(&b, i)
	}
	return b.String()
}

// clerk is mq work, which writes the bodies of queue orders to a file.
type clerk struct {
	*process
	file string
}

func (m *tool) workInto(file string) clerk {
	m.Helper()
	return clerk{m.start("", "work", "orders", "--", "sh", "-c", `echo "$(cat)" >>"$0"`, file), file}
}

// lines are the bodies so far.
func (c clerk) lines() []string {
	text, err := os.ReadFile(c.file)
	if err != nil {
		return nil // nothing yet
	}
	return strings.Fields(string(text))
}

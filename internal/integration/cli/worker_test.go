package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// onceAtATime is a command that takes a lock, which its children hold, too, and
// is in its second run at an end at once.
const onceAtATime = `exec 9>>"$0/lock"; flock -n 9 || touch "$0/overlap"
echo run >>"$0/runs"; [ "$(wc -l <"$0/runs")" -gt 1 ] && exit 0
sleep 600 & sleep 600`

// TestKilledWorker: the command of a worker that was killed or stopped does not
// run beside the next one's.
func TestKilledWorker(t *testing.T) {
	if _, err := exec.LookPath("flock"); err != nil {
		t.Fatal(err) // it comes with Linux
	}
	for name, s := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "stopped": syscall.SIGSTOP, "aborted": syscall.SIGABRT} {
		visibility := "12s"
		if s == syscall.SIGSTOP { // of which less is left when the watchdog notices
			visibility = "1m"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shop := newShop(t)
			shop.must("create", "w")
			shop.must("send", "w", "1")
			dir := t.TempDir()
			runs := func() int {
				text, _ := os.ReadFile(filepath.Join(dir, "runs"))
				return strings.Count(string(text), "run")
			}
			line := []string{"work", "w", "-visibility", visibility, "--", "sh", "-c", onceAtATime, dir}
			first := shop.start("", line...)
			shop.eventually("a command runs", func() bool { return runs() == 1 })
			if err := first.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
			second := shop.start("", line...)
			shop.eventually("it runs again", func() bool { return runs() == 2 })
			shop.eventually("the message is gone", func() bool { return shop.count("SELECT count(*) FROM pgmq.q_w") == 0 })
			_ = second.Process.Signal(syscall.SIGTERM)
			if r := second.end(); r.code != ok || !strings.Contains(r.stderr, "1 done") {
				t.Errorf("the second worker: exit code %d, %s", r.code, r.stderr)
			}
			if _, err := os.Stat(filepath.Join(dir, "overlap")); err == nil {
				t.Error("two commands have run at a time")
			}
			_ = first.Process.Kill()
			_ = first.Wait()
		})
	}
}

// TestMissingDeadLetter: it is an error at once, on every provider.
func TestMissingDeadLetter(t *testing.T) {
	eachProvider(t, func(m *tool) {
		m.must("create", "w")
		m.must("send", "w", "1")
		m.fails(m.run("work", "w", "-allow-duplicate-moves", "-dead-letter", "nope", "--", "false"), failure, "nope", "queue not found", "mq create")
	})
}

//go:build unix

package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestKilledWork: commands end with mq, whatever ends it, with all that they
// have started. They have the writing end of a FIFO, which ends with the last
// of them.
func TestKilledWork(t *testing.T) {
	for name, script := range map[string]string{
		"plain":        `echo begin; sleep 600`,
		"children":     `(sleep 600) & (sh -c 'sleep 600; :') & echo begin; wait`,
		"orphan":       `(sleep 600 &) ; echo begin; sleep 601`,
		"ignores TERM": `trap '' TERM; echo begin; while :; do sleep 0.1; done`,
	} {
		for _, s := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGABRT} {
			t.Run(name+"/"+s.String(), func(t *testing.T) {
				t.Parallel()
				fifo := filepath.Join(t.TempDir(), "fifo")
				if err := syscall.Mkfifo(fifo, 0o600); err != nil {
					t.Fatal(err)
				}
				cmd, _, _ := tool(t, 2, "work", "w", "-c", "2", "-visibility", "3s", "--", "sh", "-c", `exec 3>"$0"; `+script, fifo)
				held, err := os.OpenFile(fifo, os.O_RDONLY|syscall.O_NONBLOCK, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = held.Close() }()
				untilLines(t, cmd, 2, "begin")
				defer func() { _ = cmd.Process.Kill() }()
				if err := cmd.Process.Signal(s); err != nil {
					t.Fatal(err)
				}
				ended := make(chan error, 1)
				go func() {
					_, err := io.ReadAll(held)
					ended <- err
				}()
				select {
				case err := <-ended:
					if err != nil {
						t.Error(err)
					}
				case <-time.After(time.Minute):
					t.Error("commands go on")
				}
			})
		}
	}
}

// TestKilledWatchdog: another one takes its place.
func TestKilledWatchdog(t *testing.T) {
	t.Parallel()
	w, err := startWatchdog(limits{visibility: time.Minute, grace: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	_ = w.pipe.Close() // as if nobody read it any more
	w.mu.Unlock()
	cmd, _, _ := tool(t, 0, "tail", "w") // some process that does not end
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n, _ := w.begin()
	w.runs(n, cmd.Process)
	w.close()
	_ = cmd.Wait()
}

// TestClosedWatchdog: once mq work has ended no watchdog runs, and a handler
// that was left behind starts none.
func TestClosedWatchdog(t *testing.T) {
	t.Parallel()
	w, err := startWatchdog(limits{visibility: time.Minute, grace: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sleep", "600")
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n, _ := w.begin()
	w.runs(n, cmd.Process)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	first := w.dog
	w.close()
	if err := <-ended; err == nil {
		t.Error("the command ended by itself")
	}
	w.end(n)
	if n, _ := w.begin(); n != 2 {
		t.Errorf("the next command is number %d", n)
	}
	w.runs(2, cmd.Process)
	if w.dog != first || first.Signal(syscall.Signal(0)) == nil {
		t.Errorf("watchdog %d runs, the first was %d", w.dog.Pid, first.Pid)
	}
}

// TestStoppedWatchdog: one that does not read is replaced and killed: when it goes
// on it must not take the end of its pipe for the end of mq.
func TestStoppedWatchdog(t *testing.T) {
	t.Parallel()
	w, err := startWatchdog(limits{visibility: time.Minute, grace: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	first, gone := w.dog, w.gone
	if err := first.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for range 1_000_000 { // until the pipe is full
		w.mu.Lock()
		w.tell("alive\n")
		replaced := w.dog != first
		w.mu.Unlock()
		if replaced {
			<-gone
			return
		}
	}
	t.Error("it was not replaced")
}

// TestWatch: silence is judged by whether mq is stopped, and only while a
// command runs.
func TestWatch(t *testing.T) {
	for _, tt := range []struct {
		name    string
		stopped bool
		lines   string
		want    time.Duration // when the command is ended
	}{
		{"stopped", true, "begin 1\n", 8 * time.Second},
		{"silent", false, "begin 1\n", 22 * time.Second},
		{"ended", true, "begin 1\nrun 1 7\nbegin 2\nrun 2 8\nend 1\nend 2\n", time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin, r := time.Now(), strings.NewReader(tt.lines)
				in, end := io.Pipe()
				time.AfterFunc(time.Hour, func() { _ = end.Close() })
				var took time.Duration
				w := watch{
					limits: limits{visibility: 30 * time.Second, grace: time.Second}, pids: make(map[int]int),
					stopped: func() bool { return tt.stopped },
					end: func(map[int]int, time.Duration) {
						if took == 0 {
							took = time.Since(begin)
						}
					},
				}
				w.run(io.MultiReader(r, in))
				if took > tt.want || took < tt.want-3*time.Second {
					t.Errorf("commands are ended after %v", took)
				}
			})
		})
	}
}

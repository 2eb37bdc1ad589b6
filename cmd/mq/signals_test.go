//go:build unix

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// untilLines starts cmd, waits for n lines with a text on its output, and keeps
// the rest.
func untilLines(t *testing.T, cmd *exec.Cmd, n int, want string) (rest <-chan string) {
	t.Helper()
	cmd.Stdout = nil
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(out)
	for n > 0 {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("the output ended without %q: %v", want, err)
		}
		if strings.Contains(line, want) {
			n--
		}
	}
	all := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(in)
		all <- string(text)
	}()
	return all
}

// A signalTest sends a signal to a command that has printed some lines.
type signalTest struct {
	name     string
	args     []string
	lines    int // with begins, before the signal
	begins   string
	signal   syscall.Signal
	code     int
	out, err string
}

func TestSignals(t *testing.T) {
	for _, tt := range []signalTest{
		{"tail", []string{"tail", "w", "-o", "json"}, 1, `{"n":3}`, syscall.SIGINT, exitOK, "", ""},
		{"watch", []string{"stats", "-watch"}, 1, "w", syscall.SIGTERM, exitOK, "", ""},
		{"receive", []string{"receive", "w", "-n", "9", "-wait", "1m", "-o", "json"}, 1, `{"n":3}`, syscall.SIGTERM, exitInterrupted, "", "mq: interrupted (received 3 messages)\n"},
		{
			"work",
			[]string{"work", "w", "-c", "3", "--", "sh", "-c", "echo begin; sleep 1; echo end"},
			3, "begin", syscall.SIGINT, exitOK, "end", "mq: worked on w: 3 done, 0 retries, 0 dead letters\n",
		},
		{"tail, terminal closed", []string{"tail", "w", "-o", "json"}, 1, `{"n":3}`, syscall.SIGHUP, exitOK, "", ""},
		{"receive, quit", []string{"receive", "w", "-n", "9", "-wait", "1m", "-o", "json"}, 1, `{"n":3}`, syscall.SIGQUIT, exitInterrupted, "", "mq: interrupted (received 3 messages)\n"},
		{
			"work, terminal closed",
			[]string{"work", "w", "-c", "3", "--", "sh", "-c", "echo begin; sleep 1; echo end"},
			3, "begin", syscall.SIGHUP, exitOK, "end", "mq: worked on w: 3 done, 0 retries, 0 dead letters\n",
		},
		{
			"work, quit",
			[]string{"work", "w", "-stop-timeout", "0s", "--", "sh", "-c", "echo begin; sleep 60; echo end"},
			1, "begin", syscall.SIGQUIT, exitOK, "", "0 retries, 0 dead letters, 1 interrupted and given back\n",
		},
		{
			"impatient",
			[]string{"work", "w", "-stop-timeout", "0s", "--", "sh", "-c", "echo begin; sleep 60; echo end"},
			1, "begin", syscall.SIGTERM, exitOK, "", "0 retries, 0 dead letters, 1 interrupted and given back\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if problem := tt.try(t); problem != "" {
				t.Error(problem)
			}
		})
	}
}

// try returns what is wrong.
func (tt signalTest) try(t *testing.T) (problem string) {
	t.Helper()
	cmd, _, stderr := tool(t, 3, tt.args...)
	rest := untilLines(t, cmd, tt.lines, tt.begins)
	if err := cmd.Process.Signal(tt.signal); err != nil {
		t.Fatal(err)
	}
	out := <-rest
	_ = cmd.Wait()
	switch code := cmd.ProcessState.ExitCode(); {
	case code != tt.code:
		return fmt.Sprintf("exit code %d, want %d: %s", code, tt.code, stderr)
	case !strings.Contains(out, tt.out) || tt.out == "" && strings.Contains(out, "end"):
		return fmt.Sprintf("output goes on with %q", out)
	case !strings.HasSuffix(stderr.String(), tt.err) || tt.err == "" && stderr.Len() > 0:
		return fmt.Sprintf("stderr is %q, want %q in the end", stderr, tt.err)
	}
	return ""
}

// TestNoHup: a signal that was ignored at the start stays so.
func TestNoHup(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"HUP", "QUIT"} {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd, _, stderr := tool(t, 1)
		cmd.Path, cmd.Args = "/bin/sh", []string{
			"sh", "-c", "trap '' " + name + `; exec "$0" "$@"`, self,
			"work", "w", "-idle", "300ms", "--", "sh", "-c", "kill -" + name + " $PPID; sleep 0.3; echo begin; echo end",
		}
		rest := untilLines(t, cmd, 1, "begin")
		out := <-rest
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != exitOK || out != "end\n" || !strings.Contains(stderr.String(), "1 done") {
			t.Errorf("SIG%s, which is ignored: exit code %d, %q and %q", name, code, out, stderr)
		}
	}
}

// TestSignalsAtOnce: those that come at once are one, as timeout(1) sends them,
// and SIGHUP is no sign of impatience.
func TestSignalsAtOnce(t *testing.T) {
	const now, soon, later = 0, 900 * time.Millisecond, 3 * time.Second
	type sent struct {
		after time.Duration // the one before
		what  os.Signal
	}
	for _, tt := range []struct {
		name string
		sent []sent
		end  time.Duration
	}{
		{"timeout", []sent{{now, syscall.SIGTERM}}, never},
		{"timeout on a busy machine", []sent{{soon, syscall.SIGTERM}}, never},
		{"twice", []sent{{later, os.Interrupt}}, later},
		{"thrice at once", []sent{{now, os.Interrupt}, {now, os.Interrupt}}, now},
		{"timeout, then Ctrl-C", []sent{{now, syscall.SIGTERM}, {later, os.Interrupt}}, later},
		{"terminal closed", []sent{{now, syscall.SIGHUP}, {later, syscall.SIGHUP}, {later, syscall.SIGHUP}}, never},
		{"terminal closed, then kill", []sent{{now, syscall.SIGHUP}, {later, syscall.SIGTERM}}, later},
		{"quit twice", []sent{{later, syscall.SIGQUIT}}, later},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := make(chan os.Signal, 8)
				begin := time.Now()
				go func() {
					for _, s := range tt.sent {
						time.Sleep(s.after)
						c <- s.what
					}
					time.Sleep(never - time.Since(begin))
					close(c)
				}()
				awaitSecond(c)
				if took := time.Since(begin); took != tt.end {
					t.Errorf("it ends after %v, want %v", took, tt.end)
				}
				time.Sleep(never) // of fake time, for the other goroutine
			})
		})
	}
}

const never = time.Hour

// TestSecondSignal: it ends everything, commands that do not heed SIGTERM too.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	cmd, _, _ := tool(t, 1, "work", "w", "--", "sh", "-c", "trap '' TERM; echo pid $$; while :; do sleep 0.1; done")
	cmd.Stdout = nil
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(out)
	var pid int
	if _, err := fmt.Fscanf(in, "pid %d\n", &pid); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if t.Failed() {
			_ = syscall.Kill(-pid, syscall.SIGKILL) // it would go on for ever
		}
	}()
	ended := make(chan error, 1)
	go func() {
		_, err := io.ReadAll(in) // the child has the pipe, too
		ended <- err
	}()
	interruptUntil(t, cmd.Process, ended)
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
}

// interruptUntil interrupts a process until it has ended. Signals that come at
// once are one, so that there are pauses.
func interruptUntil(t *testing.T, p *os.Process, ended <-chan error) {
	t.Helper()
	for range 300 {
		if err := p.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
			return
		case <-time.After(200 * time.Millisecond):
		}
	}
	t.Fatal("the command goes on")
}

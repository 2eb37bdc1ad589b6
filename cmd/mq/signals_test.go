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
		{
			"impatient",
			[]string{"work", "w", "-stop-timeout", "0s", "--", "sh", "-c", "echo begin; sleep 60; echo end"},
			1, "begin", syscall.SIGTERM, exitOK, "", "1 retries, 0 dead letters\n",
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

// TestSignalsAtOnce: those that come at once are one, as timeout(1) sends them.
// A busy machine may let the second one be late, so that there are several tries.
func TestSignalsAtOnce(t *testing.T) {
	t.Parallel()
	for range 10 {
		cmd, _, stderr := tool(t, 1, "work", "w", "--", "sh", "-c", "echo begin; sleep 0.5; echo end")
		rest := untilLines(t, cmd, 1, "begin")
		for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
			if err := cmd.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
		}
		out := <-rest
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code == exitOK && out == "end\n" && strings.Contains(stderr.String(), "1 done") {
			return
		}
	}
	t.Error("the second signal ends what the first one lets end")
}

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

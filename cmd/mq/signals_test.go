//go:build unix

package main

import (
	"bufio"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// untilLine starts cmd, waits for a line on its output, and keeps the rest.
func untilLine(t *testing.T, cmd *exec.Cmd, want string) (rest <-chan string) {
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
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("the output ended without %q: %v", want, err)
		}
		if strings.Contains(line, want) {
			break
		}
	}
	all := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(in)
		all <- string(text)
	}()
	return all
}

func TestSignals(t *testing.T) {
	for _, tt := range []struct {
		name     string
		args     []string
		begins   string
		signal   syscall.Signal
		code     int
		out, err string
	}{
		{"tail", []string{"tail", "w", "-o", "json"}, `{"n":3}`, syscall.SIGINT, exitOK, "", ""},
		{"watch", []string{"stats", "-watch"}, "w", syscall.SIGTERM, exitOK, "", ""},
		{"receive", []string{"receive", "w", "-n", "9", "-wait", "1m", "-o", "json"}, `{"n":3}`, syscall.SIGTERM, exitInterrupted, "", "mq: interrupted (received 3 messages)\n"},
		{
			"work",
			[]string{"work", "w", "-c", "3", "--", "sh", "-c", "echo begin; sleep 1; echo end"},
			"begin", syscall.SIGINT, exitOK, "end", "mq: worked on w: 3 done, 0 retries, 0 dead letters\n",
		},
		{
			"impatient",
			[]string{"work", "w", "-stop-timeout", "0s", "--", "sh", "-c", "echo begin; sleep 60; echo end"},
			"begin", syscall.SIGTERM, exitOK, "", "1 retries, 0 dead letters\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cmd, _, stderr := tool(t, 3, tt.args...)
			rest := untilLine(t, cmd, tt.begins)
			if tt.name == "work" {
				time.Sleep(300 * time.Millisecond) // all three have begun
			}
			if err := cmd.Process.Signal(tt.signal); err != nil {
				t.Fatal(err)
			}
			out := <-rest
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if !strings.Contains(out, tt.out) || tt.out == "" && strings.Contains(out, "end") {
				t.Errorf("output goes on with %q", out)
			}
			if !strings.HasSuffix(stderr.String(), tt.err) || tt.err == "" && stderr.Len() > 0 {
				t.Errorf("stderr is %q, want %q in the end", stderr, tt.err)
			}
		})
	}
}

// TestSignalsAtOnce: those that come at once are one, as timeout(1) sends them.
func TestSignalsAtOnce(t *testing.T) {
	t.Parallel()
	cmd, _, stderr := tool(t, 1, "work", "w", "--", "sh", "-c", "echo begin; sleep 0.5; echo end")
	rest := untilLine(t, cmd, "begin")
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	if out := <-rest; out != "end\n" {
		t.Errorf("output goes on with %q", out)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitOK || !strings.Contains(stderr.String(), "1 done") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// TestSendInterrupted: what was read is sent, and it is said how much that is.
func TestSendInterrupted(t *testing.T) {
	t.Parallel()
	cmd, _, stderr := tool(t, 0, "send", "w", "-")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, "1\n2\n\n3\n"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // it waits for more
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
	if want := "mq: interrupted (sent 3 messages, up to line 4)\n"; stderr.String() != want {
		t.Errorf("stderr is %q, want %q", stderr, want)
	}
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
	if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "pid ") {
		t.Fatal(line, err)
	}
	for range 2 {
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond)
	}
	if _, err := io.ReadAll(in); err != nil { // the child has the pipe, too
		t.Error(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
}

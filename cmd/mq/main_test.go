package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq"
)

// asMain names a variable that makes the test binary the tool itself. Its value
// is how many messages the queue w of mem://tool has: the store ends with the
// process.
const asMain = "MQ_TEST_AS_MAIN"

// noRaceSleep spares the second that a program waits at its end for the reports of
// the race detector.
const noRaceSleep = "GORACE=atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	runAsWatchdog()
	if n, err := strconv.Atoi(os.Getenv(asMain)); err == nil {
		fillTool(n)
		main()
		return
	}
	os.Exit(m.Run())
}

func fillTool(n int) {
	c, err := mq.Open("mem://tool")
	if err == nil {
		_, err = c.EnsureQueue(context.Background(), "w", mq.QueueOptions{})
	}
	var msgs []*mq.Message
	for i := range n {
		msgs = append(msgs, &mq.Message{Body: fmt.Appendf(nil, `{"n":%d}`, i+1)})
	}
	if err == nil {
		_, err = c.Queue("w").SendAll(context.Background(), msgs)
	}
	if err != nil {
		panic(err)
	}
}

// tool returns the tool as a process of its own.
func tool(t *testing.T, messages int, args ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), asMain+"="+strconv.Itoa(messages), "MQ_DSN=mem://tool", noRaceSleep)
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.WaitDelay = time.Minute
	return cmd, stdout, stderr
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args string
		code int
	}{
		{"ls", exitOK},
		{"-version", exitOK},
		{"-help", exitOK},
		{"stats nope", exitFailure},
		{"frob", exitUsage},
		{"ls -frob", exitUsage},
	} {
		cmd, _, stderr := tool(t, 0, strings.Fields(tt.args)...)
		_ = cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != tt.code {
			t.Errorf("mq %s: exit code %d, want %d", tt.args, code, tt.code)
		}
		if lines := strings.Count(stderr.String(), "\n"); lines != min(tt.code, 1) {
			t.Errorf("mq %s: %d lines on stderr:\n%s", tt.args, lines, stderr)
		}
	}
}

// TestClosedPipe: whoever reads went away.
func TestClosedPipe(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"peek", "w", "-n", "5000"},
		{"peek", "w", "-n", "5000", "-o", "json"},
		{"tail", "w", "-n", "5000", "-o", "json"},
		{"receive", "w", "-n", "5000", "-o", "json"},
	} {
		cmd, _, stderr := tool(t, 5000, args...)
		cmd.Stdout = nil
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != exitPipe || stderr.Len() > 0 {
			t.Errorf("mq %v: exit code %d, and says %q", args, code, stderr)
		}
	}
}

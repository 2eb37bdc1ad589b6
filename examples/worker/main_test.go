package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
)

// TestMain is the program itself when TestSignal starts it.
func TestMain(m *testing.M) {
	if os.Getenv("WORKER") != "" {
		os.Args = []string{"worker", "-jobs", "0"}
		main()
		return
	}
	os.Exit(m.Run())
}

func TestRun(t *testing.T) {
	for _, dsn := range []string{"mem://", "rabbitstub://"} {
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			if err := run(t.Context(), dsn, 20, time.Minute, &out); err != nil {
				t.Fatal(err)
			}
			want := "working\nstopped: 19 jobs done, 1 will come again, 0 are running\n"
			if out.String() != want {
				t.Errorf("%s: %q, want %q", dsn, &out, want)
			}
		})
	}
}

// Jobs that the worker has when it is told to stop are done, and what waits
// stays in the queue, leased by nobody.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := mq.Open("mem://")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		q, err := c.EnsureQueue(t.Context(), "jobs", mq.QueueOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := send(t.Context(), q, 100); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := work(t.Context(), q, 10, time.Minute, &out); err != nil {
			t.Fatal(err)
		}
		s, err := q.Stats(t.Context())
		if err != nil || s.Total == 0 || s.Total > 90 || s.Leased != 0 {
			t.Errorf("%+v, %v\n%s", s, err, &out)
		}
		if !strings.Contains(out.String(), " done, 0 will come again") {
			t.Errorf("jobs were torn apart:\n%s", &out)
		}
	})
}

func TestSignal(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), "WORKER=1", "GORACE=atexit_sleep_ms=0")
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		lines := bufio.NewScanner(stdout)
		if !lines.Scan() || lines.Text() != "working" {
			t.Errorf("it says %q", lines.Text())
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Error(err)
		}
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), "stopped: 0 jobs done") {
			t.Errorf("after %v it says %q", sig, lines.Text())
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("after %v: %v", sig, err)
		}
		timer.Stop()
	}
}

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/portmq/mq"
)

// TestMain is the program itself in a process that a test starts.
func TestMain(m *testing.M) {
	if os.Getenv("ORDERS_TEST_MAIN") != "" {
		main()
	}
	os.Exit(m.Run())
}

// TestKilled kills a run on SQLite in the middle of its work. What it was told was
// stored is in its queue, and the sums of the next run add up.
func TestKilled(t *testing.T) {
	dsn := "sqlite://" + filepath.ToSlash(filepath.Join(t.TempDir(), "orders.db"))
	sent, dead := killedRun(t, dsn)
	c, err := mq.Open(dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	names, err := c.Queues(t.Context())
	if err != nil || len(names) != 1 {
		t.Fatalf("queues %q, %v", names, err)
	}
	s, err := c.Queue(names[0]).Stats(t.Context())
	if err != nil || s.TotalSent < sent || s.Archived < dead || s.Total == 0 {
		t.Errorf("the run was killed after sending %d with %d dead letters and left %+v, %v", sent, dead, s, err)
	}

	r := runNow(t.Context(), bytes.NewReader(some()), "-dsn", dsn, "-in", "-")
	if r.code != 0 || r.stderr != "" {
		t.Errorf("exit %d, stderr %q", r.code, r.stderr)
	}
	r.wantRows(t, "orders through sqlite", "lines read 500", "sent 500", "processed ", "dead letters ", "order per customer kept")
	if after, err := c.Queue(names[0]).Stats(t.Context()); err != nil || after.Total != s.Total || after.Archived != s.Archived {
		t.Errorf("the other run has changed the queue: %+v, %+v, %v", s, after, err)
	}
}

// some is enough of the sample for the race detector, under which SQLite is slow.
func some() []byte { return bytes.Join(bytes.SplitAfterN(sample, []byte("\n"), 501)[:500], nil) }

// killedRun returns the figures of the last line that a killed run has printed. Its
// input does not end, so that it has not ended by itself.
func killedRun(t *testing.T, dsn string) (sent, dead int64) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-dsn", dsn, "-in", "-")
	cmd.Env = append(os.Environ(), "ORDERS_TEST_MAIN=1")
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := cmd.Start(); err1 != nil || err2 != nil || err != nil {
		t.Fatal(err1, err2, err)
	}
	go func() { _, _ = in.Write(some()) }()
	var line string
	lines := bufio.NewScanner(out)
	for dead == 0 && lines.Scan() {
		line = strings.ReplaceAll(lines.Text(), ",", "")
		var processed, retried int64
		_, _ = fmt.Sscanf(line, " %fs sent %d processed %d retried %d dead letters %d", new(float64), &sent, &processed, &retried, &dead)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Errorf("it has ended: %v", err)
	}
	_, _ = io.Copy(io.Discard, out)
	_ = cmd.Wait()
	if dead == 0 {
		t.Fatalf("the last line was %q", line)
	}
	return sent, dead
}

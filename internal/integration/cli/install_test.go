package cli

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"testing"
)

// TestInstallWaits: it says which session it waits for, and goes on after that.
func TestInstallWaits(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.must("create", "w")
	s.exec("ALTER TABLE pgmq.q_w DROP COLUMN headers")
	tx, err := s.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	var pid int
	if err := tx.QueryRow("SELECT pg_backend_pid() FROM (SELECT count(*) FROM pgmq.q_w) AS c").Scan(&pid); err != nil {
		t.Fatal(err)
	}
	cmd := s.command("install")
	out, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(out)
	line, err := in.ReadString('\n')
	if want := fmt.Sprintf("mq: install waits for session %d of ", pid); err != nil || !strings.HasPrefix(line, want) || !strings.Contains(line, "idle in transaction") {
		t.Errorf("it says %q, want %q: %v", line, want, err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(in)
	if err := cmd.Wait(); err != nil {
		t.Errorf("install: %v\n%s", err, rest)
	}
	s.must("send", "w", "-header", "a=b", "1")
}

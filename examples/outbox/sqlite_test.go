package main

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMain is the program itself in a process that a test starts.
func TestMain(m *testing.M) {
	if os.Getenv("OUTBOX_TEST_MAIN") != "" {
		main()
	}
	os.Exit(m.Run())
}

// TestSQLite kills the shop on SQLite, again and again. The last run ships what is
// left, and checks the books of all.
func TestSQLite(t *testing.T) {
	dsn := "sqlite://" + filepath.ToSlash(filepath.Join(t.TempDir(), "shop.db"))
	kills, torn := 5, 0
	if testing.Short() {
		kills = 3
	}
	for range kills {
		if killed(t, dsn).waiting > 0 {
			torn++
		}
	}
	if torn == 0 {
		t.Error("that shows nothing: no kill left an order to ship")
	}
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"-dsn", dsn, "-orders", "10"}, &stdout, &stderr); code != 0 {
		t.Errorf("exit %d, stderr %q, stdout\n%s", code, &stderr, &stdout)
	}
	if !strings.Contains(stdout.String(), "rolled back           2 ") {
		t.Errorf("stdout\n%s", &stdout)
	}
}

// killed kills a run that has sold and shipped some more, and returns its books.
func killed(t *testing.T, dsn string) report {
	t.Helper()
	s, err := open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	before := books(t, s)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-dsn", dsn, "-orders", "1000000")
	cmd.Env = append(os.Environ(), "OUTBOX_TEST_MAIN=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for books(t, s).shipped < before.shipped+5 && t.Context().Err() == nil {
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Errorf("it has ended: %v", err)
	}
	_ = cmd.Wait()
	return books(t, s)
}

func books(t *testing.T, s *shop) report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := s.report(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

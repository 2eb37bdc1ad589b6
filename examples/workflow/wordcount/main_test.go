package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func runNow(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(ctx, args, &out, &err)
	return code, out.String(), err.String()
}

func TestSample(t *testing.T) {
	want := `partially failed (steps: 7, retries: 0, errors: 1)
  count-3 of latin1.txt: the file is not UTF-8 text
     27  the
     24  of
     16  it
     13  was
`
	for _, dsn := range []string{"mem://", "sqlite://" + filepath.ToSlash(filepath.Join(t.TempDir(), "queue.db"))} {
		code, stdout, stderr := runNow(t.Context(), "-dsn", dsn, "-top", "4", "../testdata")
		if code != 1 || stdout != want || stderr != "wordcount: not all files were counted\n" {
			t.Errorf("%s: exit %d, stderr %q, stdout\n%s", dsn, code, stderr, stdout)
		}
	}
}

func TestAllCounted(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "a.txt"), []byte("b A b"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := runNow(t.Context(), "-workers", "1", folder)
	if want := "complete (steps: 3, retries: 0, errors: 0)\n      2  b\n      1  a\n"; code != 0 || stdout != want || stderr != "" {
		t.Errorf("exit %d, stderr %q, stdout\n%s", code, stderr, stdout)
	}
}

func TestWrongUse(t *testing.T) {
	for _, tt := range []struct {
		args   string
		code   int
		stderr string
	}{
		{"-h", 0, "Usage: wordcount [flags] folder"},
		{"", 2, "Usage: wordcount [flags] folder"},
		{"-workers 0 .", 2, "Usage: wordcount [flags] folder"},
		{"-nosuch", 2, "flag provided but not defined: -nosuch"},
		{"-dsn nosuch://u:s3cret@x .", 1, `wordcount: mq: unknown driver "nosuch" (forgotten import? have: `},
		{"nowhere", 1, "wordcount: there is no result"},
	} {
		code, _, stderr := runNow(t.Context(), strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(stderr, tt.stderr) || strings.Contains(stderr, "s3cret") {
			t.Errorf("wordcount %s: exit %d, stderr %q", tt.args, code, stderr)
		}
	}
}

func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	start := time.Now()
	code, stdout, stderr := runNow(ctx, "../testdata")
	if code != 130 || stdout != "" || stderr != "wordcount: interrupted\n" || time.Since(start) > 10*time.Second {
		t.Errorf("exit %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

package sqlite_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestReadOnly runs the refused calls as a user who must not write to the file.
func TestReadOnly(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become a user without rights")
	}
	path := made(t, 1)
	for dir := filepath.Dir(path); dir != "/tmp" && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(filepath.Dir(path), "test")
	if err := copyFile(program, os.Args[0]); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = append(os.Environ(), childReadOnly+"="+dsn(path))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "read-only") && !strings.Contains(string(out), "cannot open the file") {
		t.Errorf("a file that must not be written: %v\n%s", err, out)
	}
}

func copyFile(to, from string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o755)
}

// TestHardLink opens a file that has two names.
func TestHardLink(t *testing.T) {
	path := made(t, 1)
	if err := os.Link(path, path+".too"); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path).Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "hard links") {
		t.Errorf("ping: %v", err)
	}
}

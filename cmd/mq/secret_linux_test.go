package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal returns both ends of a terminal: what is typed, and what a program reads.
func terminal(t *testing.T) (typed, read *os.File) {
	t.Helper()
	typed, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = typed.Close() })
	fd := int(typed.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if read, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = read.Close() })
	return typed, read
}

func echoes(t *testing.T, f *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Error(err)
		return false
	}
	return state.Lflag&unix.ECHO != 0
}

// TestContextTyped: a terminal does not show the DSN that is typed, and shows again what
// is typed then.
func TestContextTyped(t *testing.T) {
	typed, read := terminal(t)
	d := newDesk(t, "mem")
	d.input = read
	var typing sync.WaitGroup
	typing.Go(func() {
		for end := time.Now().Add(time.Minute); echoes(t, read) && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		_, _ = typed.WriteString("pgmq://app:s3cret@db/shop\n")
	})
	code, out, errs := d.run("context", "add", "prod", "-")
	typing.Wait()
	if code != 0 || out != "NAME  IN USE  DSN\nprod  -       pgmq://app:***@db/shop\n" || errs != "DSN: \n" {
		t.Errorf("exit code %d, output %q, errors %q", code, out, errs)
	}
	if !echoes(t, read) {
		t.Fatal("the terminal does not show what is typed afterwards")
	}
	_, _ = typed.WriteString("more\n")
	shown := make([]byte, 100)
	if n, err := typed.Read(shown); err != nil || strings.Contains(string(shown[:n]), "s3cret") {
		t.Errorf("the terminal shows %q, %v", shown[:n], err)
	}
}

package work

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// resources are what a process has of the system.
type resources struct {
	goroutines int
	files      []string
}

func measure() resources { return resources{runtime.NumGoroutine(), files()} }

// files returns what is open, without the ledgers and what Go's runtime keeps for itself.
func files() (names []string) {
	all, _ := os.ReadDir("/proc/self/fd") // without it there is nothing to compare
	for _, f := range all {
		name, err := os.Readlink("/proc/self/fd/" + f.Name())
		switch {
		case err != nil: // that of the directory, by now
		case strings.HasSuffix(name, ".ledger"), strings.HasPrefix(name, "/sys/fs/cgroup/"):
		case name == "anon_inode:[eventpoll]", name == "anon_inode:[eventfd]":
		default:
			names = append(names, name)
		}
	}
	return names
}

// patience is how long what is closed may take to go.
const patience = 15 * time.Second

// grown waits until the process has what it began with, and says what it has more.
func (r resources) grown() (what []string) {
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		now := measure()
		what = nil
		if n := now.goroutines - r.goroutines; n > 0 {
			what = append(what, fmt.Sprintf("%d goroutines, see the log", n))
		}
		if len(now.files) > len(r.files) {
			what = append(what, fmt.Sprintf("files: %q, at the start %q", now.files, r.files))
		}
		if len(what) == 0 || time.Now().After(end) {
			break
		}
	}
	if len(what) > 0 {
		buf := make([]byte, 1<<20)
		_, _ = os.Stderr.Write(buf[:runtime.Stack(buf, true)])
	}
	return what
}

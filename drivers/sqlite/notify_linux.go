package sqlite

import (
	"os"
	"path/filepath"
	"syscall"
)

// notify returns a channel that gets a value after the file or its log was written, until
// stop is called; nil if the system cannot tell. It watches the directory, since the log
// comes and goes: inotify(7).
func notify(path string) (changes <-chan struct{}, stop func()) {
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	if err != nil {
		return nil, func() {}
	}
	events := os.NewFile(uintptr(fd), "inotify")
	if _, err := syscall.InotifyAddWatch(fd, filepath.Dir(path), syscall.IN_MODIFY|syscall.IN_CREATE|syscall.IN_MOVED_TO); err != nil {
		_ = events.Close()
		return nil, func() {}
	}
	c := make(chan struct{}, 1)
	go func() {
		b := make([]byte, 4096)
		for {
			if _, err := events.Read(b); err != nil {
				return
			}
			select {
			case c <- struct{}{}:
			default: // it is known already
			}
		}
	}()
	return c, func() { _ = events.Close() }
}

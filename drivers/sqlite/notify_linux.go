package sqlite

import (
	"bytes"
	"encoding/binary"
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
			n, err := events.Read(b)
			if err != nil {
				return
			}
			if !concerns(b[:n], filepath.Base(path)) {
				continue
			}
			select {
			case c <- struct{}{}:
			default: // it is known already
			}
		}
	}()
	return c, func() { _ = events.Close() }
}

// concerns reports whether one of events is about the file of that name, or its log.
// Other files of the directory may change all the time.
func concerns(events []byte, name string) bool {
	for len(events) >= syscall.SizeofInotifyEvent {
		end := syscall.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(events[12:])) // the length of its name
		if end > len(events) {
			return true
		}
		got := string(bytes.TrimRight(events[syscall.SizeofInotifyEvent:end], "\x00"))
		if got == name || got == name+"-wal" {
			return true
		}
		events = events[end:]
	}
	return false
}

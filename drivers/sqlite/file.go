package sqlite

import (
	"os"
	"path/filepath"
	"reflect"
	"sync"
)

// file is what the providers of one file in this process share.
type file struct {
	path    string
	info    os.FileInfo // nil if there is none
	library reflect.Type
	users   map[*Provider]bool
	hub     *hub
}

var (
	filesMu sync.Mutex
	files   = make(map[string]*file) // by path
)

// join makes p a user of the file. Two libraries in one process would break each
// other's locks: those of POSIX belong to the process, and closing any descriptor of a
// file drops them all (https://sqlite.org/howtocorrupt.html, 2.2.1).
func join(p *Provider, path string) (*file, error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	library := reflect.TypeOf(p.db.Driver())
	filesMu.Lock()
	defer filesMu.Unlock()
	f := files[path]
	switch {
	case f == nil || f.check() != nil: // clients of a file that was replaced keep theirs
		f = &file{path: path, library: library, users: make(map[*Provider]bool), hub: newHub(path)}
		f.info, _ = os.Stat(path)
		files[path] = f
	case f.library != library:
		return nil, refuse("the file is open in this process by another SQLite library (%v, this one is %v), and each breaks the locks of the other: use sqlite.FromDB with the same library everywhere", f.library, library)
	}
	f.users[p] = true
	f.hub.pollEvery(p.opts.poll)
	return f, nil
}

// leave ends what join has begun.
func (f *file) leave(p *Provider) {
	filesMu.Lock()
	defer filesMu.Unlock()
	delete(f.users, p)
	if len(f.users) > 0 {
		return
	}
	f.hub.end()
	if files[f.path] == f {
		delete(files, f.path)
	}
}

// pausesChanged wakes AwaitPause of all providers of the file.
func (f *file) pausesChanged() {
	filesMu.Lock()
	defer filesMu.Unlock()
	for p := range f.users {
		select {
		case p.pauses <- struct{}{}:
		default: // it is to look already
		}
	}
}

// check reports that the file was removed or replaced. SQLite would go on with what
// nobody will ever open again.
func (f *file) check() error {
	info, err := os.Stat(f.path)
	if f.info == nil || err == nil && os.SameFile(info, f.info) {
		return nil
	}
	return refuse("the file was removed or replaced while it was open: open a new client")
}

// is reports whether path is that of the file, by whatever way.
func (f *file) is(path string) bool {
	if path == f.path {
		return true
	}
	info, err := os.Stat(path)
	return err == nil && f.info != nil && os.SameFile(info, f.info)
}

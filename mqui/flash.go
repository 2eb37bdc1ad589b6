package mqui

import (
	"crypto/rand"
	"sync"
	"time"
)

// flash is the result of an action, to be shown once by the page that follows.
type flash struct {
	Text   string
	Failed bool
}

const (
	maxFlashes = 256
	flashFor   = time.Minute
)

// flashes keep results under names that nobody can guess. The address of a page carries
// the name alone, so that no link can make a page say anything.
type flashes struct {
	mu  sync.Mutex
	all map[string]flash
	old []string // their names, oldest first
}

func (f *flashes) put(text flash) (name string) {
	name = rand.Text()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil {
		f.all = make(map[string]flash)
	}
	if len(f.old) == maxFlashes {
		delete(f.all, f.old[0])
		f.old = f.old[1:]
	}
	f.all[name] = text
	f.old = append(f.old, name)
	time.AfterFunc(flashFor, func() { f.take(name) })
	return name
}

func (f *flashes) take(name string) flash {
	f.mu.Lock()
	defer f.mu.Unlock()
	text := f.all[name]
	delete(f.all, name)
	return text
}

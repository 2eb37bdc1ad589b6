package sqlite

import (
	"os"
	"sync"
	"time"
)

// hub wakes the receivers of this process that wait for messages in a file. Commits of
// its providers wake at once; those of other processes, and of the program's own
// transactions, are noticed by the time of the file's last change, which needs no
// connection. The system says when there is a change, where it can: then an idle receiver
// costs nothing. SQLite has no notification.
type hub struct {
	path string

	mu       sync.Mutex
	waiters  map[string]map[chan struct{}]bool // by queue
	poll     time.Duration                     // while nothing happens
	watching bool
	over     chan struct{} // gets a value when the last provider is closed
	wrote    time.Time     // by a provider of this process
}

func newHub(path string) *hub {
	return &hub{path: path, waiters: make(map[string]map[chan struct{}]bool), over: make(chan struct{}, 1)}
}

// pollEvery makes the hub look at the file as often as the most demanding provider
// wants.
func (h *hub) pollEvery(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.poll == 0 || d < h.poll {
		h.poll = d
	}
}

// subscribe returns a channel that gets a value when the receivers of a queue are to
// look again, until leave is called.
func (h *hub) subscribe(queue string) (woken <-chan struct{}, leave func()) {
	c := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waiters[queue] == nil {
		h.waiters[queue] = make(map[chan struct{}]bool)
	}
	h.waiters[queue][c] = true
	if !h.watching {
		h.watching = true
		go h.watch(h.state())
	}
	return c, func() { h.leave(queue, c) }
}

func (h *hub) leave(queue string, c chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.waiters[queue], c)
	if len(h.waiters[queue]) == 0 {
		delete(h.waiters, queue)
	}
}

// wake wakes the receivers of queues.
func (h *hub) wake(queues []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wrote = time.Now()
	for _, queue := range queues {
		signal(h.waiters[queue])
	}
}

func signal(waiters map[chan struct{}]bool) {
	for c := range waiters {
		select {
		case c <- struct{}{}:
		default: // it is awake already
		}
	}
}

// wakeAll wakes all receivers, and returns how long the watch may sleep at most; 0
// means that nobody waits and the watch is over.
func (h *hub) wakeAll(changed bool) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.waiters) == 0 {
		h.watching = false
		return 0
	}
	for _, waiters := range h.waiters {
		if changed {
			signal(waiters)
		}
	}
	return h.poll
}

const (
	firstPoll = 500 * time.Microsecond // after another process has written,
	busyPoll  = 4 * time.Millisecond   // and after one of this process's own commits
	toldPoll  = time.Second            // at rest, if the system says when there is a change
)

// watch looks at the file as long as anybody waits.
//
// A change is written before it can be seen: the disk comes in between, and takes as long
// as it takes. So the receivers are woken again and again after one, with growing pauses,
// and now and then in any case.
func (h *hub) watch(last fileState) {
	changes, stop := notify(h.path)
	defer stop()
	pause, woken := firstPoll, time.Now()
	for wake := false; ; {
		rest := h.wakeAll(wake)
		if rest == 0 {
			return
		}
		if wake {
			woken = time.Now()
		}
		if changes != nil {
			rest = toldPoll
		}
		event := h.told(changes, pause)
		state := h.state()
		changed := event || state != last
		last = state
		switch {
		case !changed:
			pause = min(pause*2, rest)
		case h.wroteLately():
			pause = busyPoll
		default:
			pause = firstPoll
		}
		wake = changed || pause < rest || time.Since(woken) >= toldPoll
		if event {
			time.Sleep(pause / 2) // there may be more of them, and it cannot be seen yet
		}
	}
}

// end ends the watch, which nobody waits for any more, before its time.
func (h *hub) end() {
	select {
	case h.over <- struct{}{}:
	default:
	}
}

// told waits for a change, and reports whether there was one within d.
func (h *hub) told(changes <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-changes:
		return true
	case <-timer.C:
	case <-h.over:
	}
	return false
}

// wroteLately reports whether a provider of this process has just committed, and woken
// whom it had to.
func (h *hub) wroteLately() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Since(h.wrote) < busyPoll
}

// fileState is when the file and its log were written last.
type fileState struct{ file, log time.Time }

func (h *hub) state() fileState { return fileState{modTime(h.path), modTime(h.path + "-wal")} }

func modTime(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

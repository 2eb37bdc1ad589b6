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
	wrote    time.Time // by a provider of this process
}

func newHub(path string) *hub {
	return &hub{path: path, waiters: make(map[string]map[chan struct{}]bool)}
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
	busyPoll  = 4 * time.Millisecond   // and then, with growing pauses, while the file changes,
	busyFor   = 250 * time.Millisecond // and for so long after that
	toldPoll  = time.Second            // at rest, if the system says when there is a change
	roughTime = 10 * time.Millisecond
)

// watch looks at the file as long as anybody waits. A change is written before it can be
// seen, so that one look at it is not enough.
func (h *hub) watch(last fileState) {
	changes, stop := notify(h.path)
	defer stop()
	quiet, pause := time.Now(), busyPoll // quiet: since when nothing has changed
	var event time.Time                  // when another process has written
	changed := false
	for {
		rest := h.wakeAll(changed)
		if rest == 0 {
			return
		}
		pause = min(pause*2, busyPoll, rest)
		if time.Since(quiet) > busyFor {
			if pause = rest; changes != nil {
				pause = toldPoll
			}
		}
		if told(changes, pause) {
			quiet, pause = time.Now(), busyPoll
			if !h.wroteLately() {
				event, pause = quiet, firstPoll/2
			}
			time.Sleep(pause)
		}
		state := h.state()
		if state != last {
			quiet = time.Now()
		}
		changed = state != last || time.Since(event) < roughTime
		last = state
	}
}

// told waits for a change, and reports whether there was one within d.
func told(changes <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-changes:
		return true
	case <-timer.C:
		return false
	}
}

// wroteLately reports whether a provider of this process has just committed, and woken
// whom it had to.
func (h *hub) wroteLately() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Since(h.wrote) < busyPoll
}

// fileState is when the file and its log were written last. Clocks of file systems
// are rough: what has just been written may be written again without a change, so it
// counts as changed once more.
type fileState struct {
	file, log time.Time
	fresh     bool
}

func (h *hub) state() fileState {
	s := fileState{file: modTime(h.path), log: modTime(h.path + "-wal")}
	last := s.log
	if s.file.After(last) {
		last = s.file
	}
	s.fresh = time.Since(last) < roughTime
	return s
}

func modTime(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

package main

import (
	"bufio"
	"fmt"
	"io"
	"time"
)

// A watchdog is a second process of mq work. If mq is killed, panics or is
// stopped, nobody extends the leases of its commands, and somebody else gets
// their messages: the watchdog ends the commands. It reads from a pipe what mq
// writes, a line each:
//
//	begin N      command N is about to begin
//	run N PID    it has begun, with a process group of its own
//	end N        it has ended
//	alive        mq still runs
//
// The end of the pipe is the end of mq. A command that has begun when mq ends,
// and of which mq could not say the PID any more, is known by its environment
// where that can be read.

// watchdogMark names the variable in which a command has its N.
const watchdogMark = "MQ_WATCHDOG"

// mark is N as commands have it, among those of other programs.
func mark(token string, n int) string { return fmt.Sprintf("%s=%s-%d", watchdogMark, token, n) }

// watchdogName is the name under which mq runs as its own watchdog.
const watchdogName = "mq-work-watchdog"

// limits are how long the watchdog waits.
type limits struct {
	visibility time.Duration // of the leases
	grace      time.Duration // from SIGTERM to SIGKILL
}

// A keeper extends a lease at the latest when two thirds of it have gone. A mq
// that is stopped has a third left, in which its commands have to end. A mq that
// runs and is silent has only little time on a busy machine: it may still
// extend them.
func (l limits) ofStopped() time.Duration { return l.visibility / 5 }
func (l limits) ofSilent() time.Duration  { return l.visibility * 2 / 3 }

// pause is the time between two signs of life.
func (l limits) pause() time.Duration {
	return min(max(l.visibility/24, 10*time.Millisecond), time.Second)
}

// watch is the watchdog. It returns when the pipe has ended, and with it the
// commands.
type watch struct {
	limits
	pids    map[int]int                                 // of commands, 0 if not known yet
	end     func(pids map[int]int, grace time.Duration) // ends commands
	stopped func() bool                                 // whether mq is stopped
}

func (w *watch) run(in io.Reader) {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(in); s.Scan(); {
			lines <- s.Text()
		}
	}()
	tick := time.NewTicker(w.pause())
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case line, ok := <-lines:
			if !ok {
				w.end(w.pids, w.grace)
				return
			}
			last = time.Now()
			w.note(line)
		case <-tick.C:
			if len(w.pids) > 0 && w.tooLong(time.Since(last)) {
				w.end(w.pids, w.grace)
				clear(w.pids)
			}
		}
	}
}

func (w *watch) tooLong(silent time.Duration) bool {
	return silent >= w.ofSilent() || silent >= w.ofStopped() && w.stopped()
}

func (w *watch) note(line string) {
	var what string
	var n, pid int
	_, _ = fmt.Sscan(line, &what, &n, &pid) // not every line has all
	switch what {
	case "begin", "run":
		w.pids[n] = pid
	case "end":
		delete(w.pids, n)
	}
}

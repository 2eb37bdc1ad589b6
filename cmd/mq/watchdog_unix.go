//go:build unix

package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// runAsWatchdog is the program if it was started as a watchdog.
func runAsWatchdog() {
	if len(os.Args) != 4 || os.Args[0] != watchdogName {
		return
	}
	// What ends mq in order, or all processes of a service, is for mq to heed.
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM)
	visibility, err := time.ParseDuration(os.Args[1])
	grace, err2 := time.ParseDuration(os.Args[2])
	if err := errors.Join(err, err2); err != nil {
		os.Exit(exitUsage)
	}
	mq, token := os.Getppid(), os.Args[3]
	w := watch{
		limits: limits{visibility, grace}, pids: make(map[int]int),
		end:     func(pids map[int]int, grace time.Duration) { endCommands(token, pids, grace) },
		stopped: func() bool { return isStopped(mq) },
	}
	w.run(os.Stdin)
	syscall.Exit(exitOK) // at once: mq waits for us, and os.Exit sleeps under the race detector
}

// endCommands ends the process groups of commands by SIGTERM, and by SIGKILL
// those that are still there after grace.
func endCommands(token string, pids map[int]int, grace time.Duration) {
	told := make(map[int]bool)
	for end := time.Now().Add(grace); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		groups, all := groupsOf(token, pids)
		for _, g := range groups {
			if !told[g] {
				told[g] = true
				_ = syscall.Kill(-g, syscall.SIGTERM)
			}
			all = all && syscall.Kill(-g, 0) != nil
		}
		if all {
			return
		}
	}
	groups, _ := groupsOf(token, pids)
	for _, g := range groups {
		_ = syscall.Kill(-g, syscall.SIGKILL)
	}
}

// groupsOf returns the process groups of commands, and whether these are all.
func groupsOf(token string, pids map[int]int) (groups []int, all bool) {
	all = true
	for n, pid := range pids {
		if pid == 0 {
			pid = findGroup(mark(token, n))
		}
		if pid == 0 {
			all = false
			continue
		}
		groups = append(groups, pid)
	}
	return groups, all
}

// watchdog is mq's end of the pipe to its watchdog.
type watchdog struct {
	limits
	token  string
	mu     sync.Mutex
	pipe   *os.File // nil if none runs
	dog    *os.Process
	gone   chan struct{} // closed when dog has ended
	pids   map[int]int
	last   int  // N of the last command
	closed bool // no watchdog may run any more
	done   chan struct{}
}

// startWatchdog starts the process and keeps it informed until close.
func startWatchdog(l limits) (*watchdog, error) {
	w := &watchdog{limits: l, token: rand.Text(), pids: make(map[int]int), done: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.launch(); err != nil {
		return nil, fmt.Errorf("cannot start the process that ends commands if mq is killed: %w", err)
	}
	go w.live()
	return w, nil
}

// launch starts the process. It has a session of its own, so that no terminal
// stops or ends it, and nothing of mq but the pipe.
func (w *watchdog) launch() error {
	r, pipe, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	path, err := ownProgram()
	if err != nil {
		_ = pipe.Close()
		return err
	}
	cmd := exec.Command(path)
	cmd.Args = []string{watchdogName, w.visibility.String(), w.grace.String(), w.token}
	cmd.Env, cmd.Dir, cmd.Stdin = []string{}, "/", r
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		_ = pipe.Close()
		return err
	}
	gone := make(chan struct{})
	go func() { _ = cmd.Wait(); close(gone) }()
	w.pipe, w.dog, w.gone = pipe, cmd.Process, gone
	for n, pid := range w.pids { // the one before was killed
		_, _ = fmt.Fprintf(pipe, "run %d %d\n", n, pid)
	}
	return nil
}

// live gives signs of life while commands run.
func (w *watchdog) live() {
	tick := time.NewTicker(w.pause())
	defer tick.Stop()
	for {
		select {
		case <-w.done:
			return
		case <-tick.C:
		}
		w.mu.Lock()
		if len(w.pids) > 0 {
			w.tell("alive\n")
		}
		w.mu.Unlock()
	}
}

// tell writes a line. A watchdog that was killed, or no longer reads, is
// replaced by another one. If that fails, the next line tries again. After close it
// does nothing: a handler that was left behind may still call it.
func (w *watchdog) tell(line string) {
	if w.closed {
		return
	}
	if w.pipe != nil {
		_ = w.pipe.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := w.pipe.WriteString(line); err == nil {
			return
		}
		_ = w.dog.Kill() // before it can see the end of the pipe and end the commands
		_ = w.pipe.Close()
		w.pipe = nil
	}
	_ = w.launch()
}

// begin announces a command, and returns its N and a variable for its
// environment.
func (w *watchdog) begin() (n int, variable string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last++
	w.pids[w.last] = 0
	w.tell(fmt.Sprintf("begin %d\n", w.last))
	return w.last, mark(w.token, w.last)
}

func (w *watchdog) runs(n int, p *os.Process) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pids[n] = p.Pid
	w.tell(fmt.Sprintf("run %d %d\n", n, p.Pid))
}

func (w *watchdog) end(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.pids, n)
	w.tell(fmt.Sprintf("end %d\n", n))
}

// endTime is how long a watchdog may take to end, besides the grace of the
// commands.
const endTime = 10 * time.Second

// close ends the watchdog, and with it the commands that still run. No watchdog is
// started after that.
func (w *watchdog) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	close(w.done)
	if w.pipe == nil {
		return
	}
	_ = w.pipe.Close()
	select {
	case <-w.gone:
	case <-time.After(w.grace + endTime): // perhaps somebody has stopped it
		_ = w.dog.Kill()
		<-w.gone
	}
}

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/portmq/mq"
)

// The exit codes of a command that mean something, as in sysexits.h.
const (
	exitDataErr  = 65
	exitTempFail = 75
)

// killAfter is how long a command has to end after SIGTERM.
const killAfter = 3 * time.Second

// runner is the handler of mq work: it runs a command.
type runner struct {
	app  *app
	path string
	args []string // the first is the command as it was given
	dog  *watchdog

	hideDSN bool // the commands do not get ours
	labels  bool // lines of their standard errors begin with the message

	mu      sync.Mutex
	running map[*os.Process]bool
	output  sync.Mutex // held by who writes to what is not a file
}

// Handle runs the command for one message, and returns what its exit code
// means.
func (r *runner) Handle(ctx context.Context, d *mq.Delivery) error {
	cmd := r.command(ctx, d)
	if r.labels {
		label := &labelWriter{to: lockedWriter{&r.output, r.app.stderr}, label: printable(d.Queue().Name()+"/"+d.ID) + ": "}
		defer label.end()
		cmd.Stderr = label
	}
	n, variable := r.dog.begin()
	defer r.dog.end(n)
	cmd.Env = append(cmd.Env, variable)
	err := cmd.Start()
	if err == nil {
		r.dog.runs(n, cmd.Process)
		r.note(cmd.Process, true)
		err = cmd.Wait()
		r.note(cmd.Process, false)
		if ctx.Err() != nil {
			killGroup(cmd.Process) // what it has started may not have heeded SIGTERM
		}
	}
	code := -1
	if cmd.ProcessState != nil {
		code = cmd.ProcessState.ExitCode()
	}
	if ctx.Err() != nil && code != 0 {
		r.app.fault("%s/%s: stopped: %s", d.Queue().Name(), d.ID, oneLine(context.Cause(ctx)))
		return context.Cause(ctx)
	}
	switch code {
	case 0:
		return nil
	case exitDataErr:
		return mq.Reject(fmt.Errorf("%s: exit status %d", r.args[0], code))
	case exitTempFail:
		return fmt.Errorf("%s: exit status %d", r.args[0], code)
	}
	err = fmt.Errorf("%s: %w", r.args[0], cmp.Or(err, errors.New("failed")))
	r.app.fault("%s/%s: %v (delivery %d)", d.Queue().Name(), d.ID, err, d.ReadCount)
	return err
}

// command makes the command of one message. It has a process group of its own,
// so that a signal from the terminal does not reach it, and one from here
// reaches what it has started.
func (r *runner) command(ctx context.Context, d *mq.Delivery) *exec.Cmd {
	cmd := exec.CommandContext(ctx, r.path)
	cmd.Args = r.args
	cmd.Env = append(r.environ(), environment(d)...)
	cmd.Stdin = bytes.NewReader(d.Body)
	cmd.Stdout, cmd.Stderr = r.writer(r.app.stdout), r.writer(r.app.stderr)
	cmd.WaitDelay = killAfter
	ownGroup(cmd)
	return cmd
}

// environ returns what a command gets of the environment of mq.
func (r *runner) environ() []string {
	env := os.Environ()
	if !r.hideDSN {
		return env
	}
	hidden := []string{"MQ_DSN", "PGPASSWORD", r.app.dsnFrom}
	return slices.DeleteFunc(env, func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(hidden, name)
	})
}

// writer returns w if it is a file, which the command then has itself, and else
// something that several commands may write to.
func (r *runner) writer(w io.Writer) io.Writer {
	if _, ok := w.(*os.File); ok {
		return w
	}
	return &lockedWriter{w: w, mu: &r.output}
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

func (r *runner) note(p *os.Process, runs bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running == nil {
		r.running = make(map[*os.Process]bool)
	}
	if runs {
		r.running[p] = true
	} else {
		delete(r.running, p)
	}
}

// killAll ends all commands at once.
func (r *runner) killAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.running {
		killGroup(p)
	}
}

// environment tells a command about its message. Of headers whose names differ
// only in what has no place in the name of a variable the first one counts.
func environment(d *mq.Delivery) []string {
	headers, _ := json.Marshal(d.Headers) // strings cannot fail
	if d.Headers == nil {
		headers = []byte("{}")
	}
	env := []string{
		"MQ_QUEUE=" + d.Queue().Name(),
		"MQ_ID=" + d.ID,
		"MQ_READ_COUNT=" + strconv.Itoa(d.ReadCount),
		"MQ_GROUP=" + cmp.Or(d.Group, d.GroupKey),
		"MQ_ENQUEUED_AT=" + d.EnqueuedAt.UTC().Format(time.RFC3339Nano),
		"MQ_HEADERS=" + string(headers),
	}
	seen := make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(d.Headers)) {
		variable := "MQ_HEADER_" + strings.Map(variableRune, name)
		if !seen[variable] {
			env = append(env, variable+"="+d.Headers[name])
			seen[variable] = true
		}
	}
	return env
}

func variableRune(r rune) rune {
	switch {
	case r >= 'a' && r <= 'z':
		return r - 'a' + 'A'
	case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return r
	}
	return '_'
}

// Package cli runs the command mq on live servers, as a user would.
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/portmq/mq/internal/integration/checks"
	"github.com/portmq/mq/internal/integration/server"
)

func TestMain(m *testing.M) {
	var err error
	if folder, err = os.MkdirTemp("", "mq-cli-"); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	code := server.RunWaiting(m, 8)
	if err := os.RemoveAll(folder); err != nil {
		fmt.Println(err)
		code = 1
	}
	os.Exit(code)
}

// folder is where the program is.
var folder string

// build makes the program, once.
var build = sync.OnceValues(func() (program string, err error) {
	program = filepath.Join(folder, "mq")
	cmd := exec.Command("go", "build", "-o", program, "./cmd/mq")
	cmd.Dir = "../../.." // another module
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return program, nil
})

// The exit codes of docs/cli.md.
const (
	ok          = 0
	failure     = 1
	usage       = 2
	interrupted = 130
)

// tool runs mq on one provider.
type tool struct {
	*testing.T
	dsn string // MQ_DSN
}

// on returns the tool for pgmq:// or rabbitmq://, whatever the scheme of the
// server's own DSN.
func on(t *testing.T, scheme, dsn string) *tool {
	t.Helper()
	_, rest, _ := strings.Cut(dsn, "://")
	return &tool{t, scheme + "://" + rest}
}

// patience is how long a process may take that should not. It is never waited
// for when all is well.
const patience = 3 * time.Minute

// command returns a process that does not run yet.
func (m *tool) command(args ...string) *exec.Cmd {
	m.Helper()
	program, err := build()
	if err != nil {
		m.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	m.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "MQ_DSN="+m.dsn)
	cmd.Dir = m.TempDir()
	return cmd
}

// result is what came of a process.
type result struct {
	code           int
	stdout, stderr string
}

// process is one that runs.
type process struct {
	*tool
	*exec.Cmd
	stdout, stderr strings.Builder
}

// start starts mq with something on its standard input.
func (m *tool) start(stdin string, args ...string) *process {
	m.Helper()
	p := &process{tool: m, Cmd: m.command(args...)}
	p.Stdin, p.Stdout, p.Stderr = strings.NewReader(stdin), &p.stdout, &p.stderr
	if err := p.Start(); err != nil {
		m.Fatal(err)
	}
	return p
}

// end waits for the end. No terminal is there, so that nothing may be meant
// for one.
func (p *process) end() result {
	p.tool.Helper()
	err := p.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		p.Fatal(err)
	}
	r := result{p.ProcessState.ExitCode(), p.stdout.String(), p.stderr.String()}
	for _, text := range []string{r.stdout, r.stderr} {
		if strings.ContainsFunc(text, func(c rune) bool { return c != '\n' && unicode.IsControl(c) }) {
			p.Errorf("mq %q prints control characters: %q", p.Args[1:], text)
		}
	}
	return r
}

// run runs mq to its end.
func (m *tool) run(args ...string) result { m.Helper(); return m.feed("", args...) }

// feed is run with a standard input.
func (m *tool) feed(stdin string, args ...string) result {
	m.Helper()
	return m.start(stdin, args...).end()
}

// must runs mq, which succeeds and has nothing to say on its error output.
func (m *tool) must(args ...string) (stdout string) { m.Helper(); return m.mustFeed("", args...) }

func (m *tool) mustFeed(stdin string, args ...string) (stdout string) {
	m.Helper()
	r := m.feed(stdin, args...)
	if r.code != ok || r.stderr != "" {
		m.Fatalf("mq %q: exit code %d\n%s%s", args, r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// fails requires a code, and one line that says all of want.
func (m *tool) fails(r result, code int, want ...string) {
	m.Helper()
	if r.code != code || strings.Count(r.stderr, "\n") != 1 || !strings.HasPrefix(r.stderr, "mq: ") {
		m.Errorf("exit code %d, want %d\n%s", r.code, code, r.stderr)
	}
	for _, w := range want {
		if !strings.Contains(r.stderr, w) {
			m.Errorf("it says %swant %q", r.stderr, w)
		}
	}
}

// prints requires an output, white space aside.
func (m *tool) prints(want string, args ...string) {
	m.Helper()
	if got := strings.Join(strings.Fields(m.must(args...)), " "); got != want {
		m.Errorf("mq %q prints %q, want %q", args, got, want)
	}
}

// eventually waits for a condition.
func (m *tool) eventually(what string, done func() bool) {
	m.Helper()
	checks.Eventually(m, what, done)
}

package examples

import (
	"database/sql"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/portmq/mq/internal/integration/checks"
	"github.com/portmq/mq/internal/integration/server"
)

// kills is how often a test ends a program in the middle of its work.
const kills = 30

// program is an example, built, and a database of its own.
type program struct {
	path string
	dsn  *url.URL
	db   *sql.DB
}

func build(t *testing.T, name string) *program {
	t.Helper()
	dsn := server.Postgres(t).Database(t)
	p := &program{
		path: filepath.Join(t.TempDir(), name),
		dsn:  checks.Must(url.Parse(dsn))(t),
		db:   checks.DB(t, "pgx", dsn),
	}
	cmd := exec.Command("go", "build", "-o", p.path, "./examples/"+name)
	cmd.Dir = "../../.." // another module
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return p
}

func (p *program) value(t *testing.T, query string) int {
	t.Helper()
	return checks.Value[int](t, p.db, query)
}

// process is a program that runs.
type process struct {
	cmd   *exec.Cmd
	out   *output
	ended chan struct{} // closed after err was set
	err   error
}

func (p *program) start(t *testing.T, args ...string) *process {
	t.Helper()
	r := &process{cmd: exec.Command(p.path, args...), out: new(output), ended: make(chan struct{})}
	r.cmd.Env = append(os.Environ(), "DATABASE_URL="+p.dsn.String())
	r.cmd.Stdout, r.cmd.Stderr = r.out, r.out
	checks.OK(t, r.cmd.Start())
	go func() {
		defer close(r.ended)
		r.err = r.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		<-r.ended
		if out := r.out.String(); t.Failed() && out != "" {
			t.Log(out)
		}
	})
	return r
}

// await waits for a condition that only a running program can meet.
func (r *process) await(t *testing.T, what string, met func() bool) {
	t.Helper()
	checks.Eventually(t, what, func() bool {
		r.alive(t)
		return met()
	})
}

func (r *process) alive(t *testing.T) {
	t.Helper()
	select {
	case <-r.ended:
		t.Fatalf("the program ended by itself: %v\n%s", r.err, r.out)
	default:
	}
}

// kill ends the process without a warning.
func (r *process) kill(t *testing.T) {
	t.Helper()
	r.alive(t)
	if r.signal(t, os.Kill) == nil {
		t.Errorf("the program ended by itself\n%s", r.out)
	}
}

// signal returns how the process ended.
func (r *process) signal(t *testing.T, s os.Signal) error {
	t.Helper()
	checks.OK(t, r.cmd.Process.Signal(s))
	checks.Eventually(t, "the end of the program", func() bool {
		select {
		case <-r.ended:
			return true
		default:
			return false
		}
	})
	return r.err
}

// output is what a program has said so far.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

package examples

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/portmq/mq/internal/integration/checks"
	"github.com/portmq/mq/internal/integration/server"
)

const kills = 30

// TestOutbox kills the outbox example, again and again.
func TestOutbox(t *testing.T) {
	s := build(t)
	for i := range kills {
		if i%5 == 0 {
			s.kill(t, func(*testing.T, *output) { time.Sleep(rand.N(200 * time.Millisecond)) })
		}
		s.kill(t, s.trades)
	}
	orders, shipped := s.count(t, "true"), s.count(t, "shipments = 1")
	t.Logf("after %d kills: %d orders, %d of them shipped", kills, orders, shipped)
	if shipped == 0 {
		t.Error("that shows nothing")
	}
	s.finish(t)
	if wrong := s.count(t, "shipments <> 1"); wrong > 0 {
		t.Errorf("%d orders were not shipped once", wrong)
	}
}

// shop is the program, and a database of its own.
type shop struct {
	program, dsn string
	db           *sql.DB
}

func build(t *testing.T) *shop {
	t.Helper()
	u, err := url.Parse(server.Postgres(t).Database(t))
	if err != nil {
		t.Fatal(err)
	}
	db := checks.DB(t, "pgx", u.String())
	u.Scheme = "pgmq"
	s := &shop{program: filepath.Join(t.TempDir(), "outbox"), dsn: u.String(), db: db}
	cmd := exec.Command("go", "build", "-o", s.program, "./examples/outbox")
	cmd.Dir = "../../.." // another module
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return s
}

// command is the program, and what it says.
func (s *shop) command(ctx context.Context, orders string) (cmd *exec.Cmd, out *output) {
	cmd, out = exec.CommandContext(ctx, s.program, "-dsn", s.dsn, "-orders", orders), new(output)
	cmd.Stdout, cmd.Stderr = out, out
	return cmd, out
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

// kill starts the program, and ends it when live returns.
func (s *shop) kill(t *testing.T, live func(*testing.T, *output)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd, out := s.command(ctx, "1000000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	live(t, out)
	select {
	case err := <-ended:
		t.Fatalf("the program ended by itself: %v\n%s", err, out)
	default:
	}
	cancel()
	if err := <-ended; err == nil {
		t.Errorf("the program ended by itself\n%s", out)
	}
}

// trades returns when the program has sold some more.
func (s *shop) trades(t *testing.T, out *output) {
	t.Helper()
	eventually(t, out, func() bool { return strings.Contains(out.String(), "open") })
	enough := s.sold(t) + rand.N(100)
	eventually(t, out, func() bool { return s.sold(t) > enough })
}

// sold returns how many orders there were, with those that were taken back.
func (s *shop) sold(t *testing.T) int {
	t.Helper()
	return checks.Value[int](t, s.db, "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM outbox.orders_id_seq")
}

func eventually(t *testing.T, out *output, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the program does not trade:\n%s", out)
		}
	}
}

// finish lets the program ship what is left, and check its books.
func (s *shop) finish(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd, out := s.command(ctx, "10")
	if err := errors.Join(cmd.Run(), ctx.Err()); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func (s *shop) count(t *testing.T, where string) int {
	t.Helper()
	return checks.Value[int](t, s.db, "SELECT count(*) FROM outbox.orders WHERE "+where)
}

// Package outbox kills the outbox example, again and again.
package outbox

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/portmq/mq/internal/integration/server"
)

func TestMain(m *testing.M) { os.Exit(server.Run(m)) }

const kills = 30

func TestKill(t *testing.T) {
	s := build(t)
	limit := 600 * time.Millisecond
	for killed := 0; killed < kills; {
		if s.kill(t, rand.N(limit)) {
			killed++
		} else {
			limit += limit / 20 // a busy machine needs longer to open the shop
		}
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
	db, err := sql.Open("pgx", u.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	u.Scheme = "pgmq"
	s := &shop{program: filepath.Join(t.TempDir(), "outbox"), dsn: u.String(), db: db}
	cmd := exec.Command("go", "build", "-o", s.program, "./examples/outbox")
	cmd.Dir = "../../.." // another module
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return s
}

// run runs the program until ctx ends.
func (s *shop) run(ctx context.Context, orders string) (output string, err error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, s.program, "-dsn", s.dsn, "-orders", orders)
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	return out.String(), err
}

// kill starts the program, lets it live for a while, and reports whether it
// got as far as to trade.
func (s *shop) kill(t *testing.T, life time.Duration) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), life)
	defer cancel()
	out, err := s.run(ctx, "1000000")
	if ctx.Err() == nil {
		t.Fatalf("the program ended by itself: %v\n%s", err, out)
	}
	return strings.Contains(out, "open")
}

// finish lets the program ship what is left, and check its books.
func (s *shop) finish(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := s.run(ctx, "10")
	if err = errors.Join(err, ctx.Err()); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func (s *shop) count(t *testing.T, where string) (n int) {
	t.Helper()
	if err := s.db.QueryRow("SELECT count(*) FROM outbox.orders WHERE " + where).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

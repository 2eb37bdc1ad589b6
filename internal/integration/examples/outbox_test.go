package examples

import (
	"context"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq/internal/integration/checks"
)

// TestOutbox kills the outbox example, again and again.
func TestOutbox(t *testing.T) {
	s := outbox{build(t, "outbox")}
	s.dsn.Scheme = "pgmq"
	for i := range kills {
		if i%5 == 0 {
			r := s.open(t)
			time.Sleep(rand.N(200 * time.Millisecond))
			r.kill(t)
		}
		s.trade(t)
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

type outbox struct{ *program }

func (s outbox) open(t *testing.T) *process {
	t.Helper()
	return s.start(t, "-dsn", s.dsn.String(), "-orders", "1000000")
}

// trade kills the program when it has sold some more.
func (s outbox) trade(t *testing.T) {
	t.Helper()
	r := s.open(t)
	r.await(t, "opening", func() bool { return strings.Contains(r.out.String(), "open") })
	enough := s.sold(t) + rand.N(100)
	r.await(t, "more orders", func() bool { return s.sold(t) > enough })
	r.kill(t)
}

// sold returns how many orders there were, with those that were taken back.
func (s outbox) sold(t *testing.T) int {
	t.Helper()
	return s.value(t, "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM shop_orders_id_seq")
}

// finish lets the program ship what is left, and check its books.
func (s outbox) finish(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, s.path, "-dsn", s.dsn.String(), "-orders", "10").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	checks.OK(t, ctx.Err())
}

func (s outbox) count(t *testing.T, where string) int {
	t.Helper()
	return s.value(t, "SELECT count(*) FROM shop_orders WHERE "+where)
}

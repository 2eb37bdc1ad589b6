package pgmq

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/portmq/mq/driver"
)

func TestOpenSettings(t *testing.T) {
	noEnvironment(t)
	settings := make(chan map[string]string, len(clients))
	addr := serve(t, func(got map[string]string, b *pgproto3.Backend) {
		settings <- got
		welcome(b)
		follow(b)
	})
	for _, client := range clients {
		db := openPool(t, "pgmq://app@"+addr+"/shop?sslmode=disable&pool_max_conns=3&"+client)
		if err := db.Ping(); err != nil {
			t.Errorf("%s: %v", client, err)
			continue
		}
		got := <-settings
		want := map[string]string{"user": "app", "database": "shop", "application_name": driver.ClientName(), "client_encoding": "UTF8"}
		if !strings.Contains(client, "prepare") {
			want["enable_seqscan"], want["jit"], want["mq.notify"], want["plan_cache_mode"] = "off", "off", "own", "force_generic_plan"
			want["default_transaction_isolation"] = "read committed"
		}
		delete(got, "datestyle") // lib/pq's own
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: the server gets %v, want %v", client, got, want)
		}
		if n := db.Stats().MaxOpenConnections; n != 3 {
			t.Errorf("%s: %d connections at most, want 3", client, n)
		}
	}
}

func TestPQConnIdle(t *testing.T) {
	noEnvironment(t)
	var gone sync.WaitGroup
	gone.Add(1)
	addr := serve(t, func(_ map[string]string, b *pgproto3.Backend) {
		welcome(b)
		gone.Wait()
	})
	c, err := mustParse(t, "pgmq://app@"+addr+"?sslmode=disable&driver=pq").connector()
	if err != nil {
		t.Fatal(err)
	}
	cn, err := c.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pc := cn.(*pqConn)
	pc.used = time.Now().Add(time.Hour) // however slow the machine is
	if err := pc.ResetSession(t.Context()); err != nil {
		t.Errorf("a connection just used: %v", err)
	}
	gone.Done()
	pc.used = time.Now().Add(-2 * time.Second)
	if err := pc.ResetSession(t.Context()); err != sqldriver.ErrBadConn {
		t.Errorf("an idle connection that is dead: %v, want ErrBadConn", err)
	}
}

func TestInterrupted(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	other := errors.New("other")
	for _, tt := range []struct {
		ctx   context.Context
		valid bool
		err   error
		want  []error
	}{
		{t.Context(), true, other, []error{other}},
		{t.Context(), true, sqldriver.ErrBadConn, []error{errLost}},
		{t.Context(), false, sqldriver.ErrBadConn, []error{sqldriver.ErrBadConn}},
		{ended, true, other, []error{other, context.Canceled}},
		{ended, true, sqldriver.ErrBadConn, []error{errLost, context.Canceled}},
		{ended, false, sqldriver.ErrBadConn, []error{sqldriver.ErrBadConn}},
	} {
		err := interrupted(tt.ctx, tt.valid, tt.err)
		for _, is := range []error{other, errLost, sqldriver.ErrBadConn, context.Canceled} {
			if errors.Is(err, is) != slices.Contains(tt.want, is) {
				t.Errorf("interrupted(%v, %v, %v) = %v, want %v", tt.ctx.Err(), tt.valid, tt.err, err, tt.want)
			}
		}
	}
}

// TestOpenPrepare tells how a statement comes: with its arguments at once, or
// described first.
func TestOpenPrepare(t *testing.T) {
	noEnvironment(t)
	atOnce := make(chan bool, len(clients))
	addr := serve(t, func(_ map[string]string, b *pgproto3.Backend) {
		welcome(b)
		_, _ = b.Receive()
		m, _ := b.Receive()
		_, bind := m.(*pgproto3.Bind)
		atOnce <- bind
	})
	for _, client := range clients {
		_, _ = openPool(t, "pgmq://app@"+addr+"?sslmode=disable&"+client).Query("select $1", "x")
		if got, want := <-atOnce, strings.Contains(client, "prepare=false"); got != want {
			t.Errorf("%s: the arguments come at once: %v, want %v", client, got, want)
		}
	}
}

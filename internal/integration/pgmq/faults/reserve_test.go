package faults

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
)

// TestHeartbeatsHaveAConnection: an extension does not wait for a connection of
// a pool whose connections are all in use.
func TestHeartbeatsHaveAConnection(t *testing.T) {
	b := newBase(t)
	n := 0
	for name, open := range map[string]func(*base) *mq.Client{
		"pgx":      func(b *base) *mq.Client { return b.client("driver=pgx", "pool_max_conns=2") },
		"pq":       func(b *base) *mq.Client { return b.client("driver=pq", "pool_max_conns=2") },
		"FromPool": func(b *base) *mq.Client { return b.pooled(2) },
	} {
		t.Run(name, func(t *testing.T) {
			b := b.of(t)
			c := open(b)
			n++
			q, busy := b.queue(c, fmt.Sprint("jobs", n)), b.queue(c, fmt.Sprint("busy", n))
			b.post(q, 1)
			d := b.one(q)
			tx := b.block(blocks[0], busy.Name())
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() { _, _ = busy.Peek(t.Context(), mq.BrowseOptions{}) })
			}
			b.eventually("all connections are in use", func() bool {
				return b.sessions("wait_event_type = 'Lock' AND query LIKE '%q_"+busy.Name()+"%'") == 2
			})
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			for range 3 {
				b.ok(d.Extend(ctx, time.Hour))
			}
			b.ok(tx.Rollback())
			all.Wait()
		})
	}
}

// TestHeartbeatsOfSmallPool: on a pool of the caller's nothing else is opened,
// and the log says why leases are lost.
func TestHeartbeatsOfSmallPool(t *testing.T) {
	b := newBase(t)
	eachLibrary(t, func(t *testing.T, library string) {
		b := b.of(t)
		db := b.single(library)
		log := new(lines)
		p := pgmq.FromDB(db, pgmq.Config{Logger: slog.New(slog.NewTextHandler(log, nil))})
		c := mq.New(p, b.config())
		b.closing(c)
		q := b.queue(c, library)
		b.post(q, 1)
		d := b.one(q)
		held, err := db.Conn(t.Context())
		b.ok(err)
		ended := make(chan error, 1)
		go func() { ended <- d.Extend(t.Context(), time.Hour) }()
		b.eventually("it warns", func() bool { return strings.Contains(log.String(), "connections=1") })
		b.ok(held.Close())
		b.ok(<-ended)
		if n := strings.Count(log.String(), "level=WARN"); n != 1 {
			t.Errorf("it warns %d times: %s", n, fmt.Sprint(log))
		}
	})
}

// lines is a log.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

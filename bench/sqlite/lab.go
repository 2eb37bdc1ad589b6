package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/portmq/mq"
	_ "github.com/portmq/mq/drivers/sqlite"
	_ "modernc.org/sqlite" // the peers use it as well

	"github.com/portmq/mq/bench/internal/measure"
)

const (
	bodySize = 512
	workers  = 16
	million  = 1_000_000
)

// body is what is sent.
var body = bodyOf("")

// bodyOf is a body with a group in it.
func bodyOf(group string) []byte {
	head := `{"g":"` + group + `","pad":"`
	return []byte(head + strings.Repeat("x", bodySize-len(head)-2) + `"}`)
}

// plan says how much to do.
type plan struct {
	rounds           int
	dir, synchronous string
	quick            bool
}

// size returns n, or little of it for a quick run.
func (p plan) size(n int) int {
	if p.quick {
		return max(n/100, 20)
	}
	return n
}

// span is size for durations.
func (p plan) span(d time.Duration) time.Duration {
	if p.quick {
		return d / 10
	}
	return d
}

// lab is the place of one figure: a folder, and what was opened in it.
type lab struct {
	plan
	opened []io.Closer
}

func (l *lab) close() (err error) {
	for _, c := range l.opened {
		err = errors.Join(err, c.Close())
	}
	l.opened = nil
	return err
}

// dsn names a file as mq does.
func (l *lab) dsn(file, synchronous string) string {
	u := url.URL{Scheme: "sqlite", Path: l.path(file), RawQuery: "synchronous=" + synchronous}
	return u.String()
}

func (l *lab) path(file string) string {
	path, err := filepath.Abs(filepath.Join(l.dir, file))
	if err != nil {
		panic(err) // there is no working directory
	}
	return filepath.ToSlash(path)
}

// queue opens the queue orders in a file, and makes what is missing.
func (l *lab) queue(ctx context.Context, file string) (*mq.Queue, error) {
	client, err := mq.Open(l.dsn(file, l.synchronous))
	if err != nil {
		return nil, err
	}
	l.opened = append(l.opened, client)
	return client.EnsureQueue(ctx, "orders", mq.QueueOptions{})
}

// pragmas are those that drivers/sqlite sets on each connection. It switches the
// file to WAL besides.
var pragmas = []string{
	"busy_timeout(0)",
	"wal_autocheckpoint(4000)",
	"journal_size_limit(67108864)",
	"cache_size(-32768)",
	"temp_store(memory)",
}

// db opens a file for a peer, with one connection.
func (l *lab) db(ctx context.Context, file, schema string) (*sql.DB, error) {
	q := url.Values{"_pragma": append([]string{"journal_mode(wal)", "synchronous(" + l.synchronous + ")"}, pragmas...)}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: l.path(file)}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	l.opened = append(l.opened, db)
	_, err = db.ExecContext(ctx, schema)
	return db, err
}

// What all benchmarks measure with.
var (
	contest   = measure.Contest
	perSecond = measure.PerSecond
)

// clock returns how many seconds f takes.
func clock(f func() error) (float64, error) {
	start := time.Now()
	err := f()
	return time.Since(start).Seconds(), err
}

// timed is an entrant that calls f n times, after n/10 more to warm up, and
// returns how many seconds the part that f measures took at the median.
func timed(n int, f func() (float64, error)) measure.Entrant {
	return func() (float64, error) {
		var took []float64
		for i := range n + n/10 {
			s, err := f()
			if err != nil {
				return 0, err
			}
			if i >= n/10 {
				took = append(took, s)
			}
		}
		return measure.Median(took), nil
	}
}

// holds fails if a queue does not hold n messages: who loses messages is fast.
func holds(ctx context.Context, q *mq.Queue, n int) error {
	s, err := q.Stats(ctx)
	if err == nil && s.Total != int64(n) {
		err = fmt.Errorf("the queue holds %d messages, want %d", s.Total, n)
	}
	return err
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	_ "github.com/portmq/mq/drivers/sqlite" // links the driver "sqlite" of database/sql
	"github.com/portmq/mq/internal/chaos/judge"
)

// sqliteFile is the provider sqlite: one file, on a small file system if there can be one.
type sqliteFile struct {
	dir  string
	disk *smallDisk
	db   *sql.DB // another program that uses the file
}

func (s *sqliteFile) start(_ context.Context, dir string) (err error) {
	s.dir = dir
	if s.disk, err = newSmallDisk(filepath.Join(dir, "disk"), "1g"); err == nil {
		s.dir = s.disk.path
	} else if !errors.Is(err, errSkipped) {
		return err
	}
	s.db, err = sql.Open("sqlite", "file:"+s.path()+"?_pragma=busy_timeout(10000)")
	return err
}

func (s *sqliteFile) path() string       { return filepath.Join(s.dir, "queue.db") }
func (s *sqliteFile) dsn(bool) string    { return "sqlite://" + s.path() }
func (s *sqliteFile) facts() judge.Facts { return everything }

func (s *sqliteFile) faults(r *runner) (all []*fault, skips []skipped) {
	all = []*fault{
		{"the write lock is held", 500 * time.Millisecond, 4 * time.Second, s.hold("BEGIN IMMEDIATE")},
		{"the file is locked", 500 * time.Millisecond, 3 * time.Second, s.hold("BEGIN EXCLUSIVE")},
		{"a snapshot is held", 2 * time.Second, max(10*time.Second, r.duration/3), s.hold("BEGIN; SELECT count(*) FROM mq_message")},
		{"VACUUM", 0, time.Second, s.repeat("VACUUM")},
		{"REINDEX", 0, time.Second, s.repeat("REINDEX")},
		{"checkpoints", 500 * time.Millisecond, 2 * time.Second, s.repeat("PRAGMA wal_checkpoint(TRUNCATE)")},
	}
	if s.disk != nil {
		all = append(all, &fault{"a full disk", 500 * time.Millisecond, 3 * time.Second, s.disk.fill})
	} else {
		skips = append(skips, skipped{"a full disk", "no small file system can be mounted here"})
	}
	return all, append(skips, clockSkipped)
}

// clockSkipped is why no clock is set.
var clockSkipped = skipped{"steps of the clock", "the clock is that of the whole machine, and there is no libfaketime"}

// hold runs statements on a connection of its own, and rolls back at the end.
func (s *sqliteFile) hold(statements string) func(context.Context, pick) (func(context.Context) error, error) {
	return func(ctx context.Context, _ pick) (func(context.Context) error, error) {
		conn, err := s.db.Conn(ctx)
		if err != nil {
			return nil, err
		}
		heal := func(ctx context.Context) error {
			_, err := conn.ExecContext(ctx, "ROLLBACK")
			return errors.Join(err, conn.Close())
		}
		for statement := range strings.SplitSeq(statements, "; ") {
			if _, err := conn.ExecContext(ctx, statement); err != nil {
				return nil, errors.Join(err, conn.Close())
			}
		}
		return heal, nil
	}
}

// repeat runs a statement again and again. That it is refused, for example by a lock, is
// expected.
func (s *sqliteFile) repeat(statement string) func(context.Context, pick) (func(context.Context) error, error) {
	return func(ctx context.Context, p pick) (func(context.Context) error, error) {
		for end := time.Now().Add(p.hold); ; sleep(ctx, 50*time.Millisecond) {
			_, err := s.db.ExecContext(ctx, statement)
			if time.Now().After(end) || ctx.Err() != nil {
				return nil, busy(err)
			}
		}
	}
}

func busy(err error) error {
	if err != nil && (strings.Contains(err.Error(), "locked") || strings.Contains(err.Error(), "full")) {
		return nil
	}
	return err
}

// left checks that the file is whole, and that nobody has it locked or open.
func (s *sqliteFile) left(ctx context.Context) (what []string, err error) {
	var word string
	if err := s.db.QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&word); err != nil || word != "ok" {
		what = append(what, fmt.Sprintf("integrity_check: %s %v", word, err))
	}
	var n, counted int
	const counts = "SELECT (SELECT count(*) FROM mq_message), (SELECT coalesce(sum(total), 0) FROM mq_queue WHERE name IS NOT NULL)"
	if err := s.db.QueryRowContext(ctx, counts).Scan(&n, &counted); err != nil || n != counted {
		what = append(what, fmt.Sprintf("%d messages, %d by the counters: %v", n, counted, err))
	}
	if _, err := s.db.ExecContext(ctx, "PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE; COMMIT"); err != nil {
		what = append(what, "a lock: "+err.Error())
	}
	if err := s.db.Close(); err != nil {
		return what, err
	}
	if _, err := os.Stat(s.path() + "-wal"); err == nil { // the last to close it removes it
		what = append(what, "the log, so that somebody has the file open")
	}
	return what, nil
}

func (s *sqliteFile) stop() error {
	err := error(nil)
	if s.db != nil {
		err = s.db.Close()
	}
	if s.disk != nil {
		err = errors.Join(err, s.disk.remove())
	}
	return err
}

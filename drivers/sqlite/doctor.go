package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/portmq/mq/driver"
)

// Level says how bad a Finding is.
type Level string

// The levels of a Finding.
const (
	OK      Level = "ok"
	Advice  Level = "advice"
	Problem Level = "problem"
)

// Finding is something that a Check reports.
type Finding struct {
	Level Level
	Where string // a queue, or a part of the file
	Text  string // with the remedy in parentheses
}

// Check is one look at the file. It changes nothing, and reads in short transactions.
type Check struct {
	Where string // a part of the file
	What  string // what it looks at, such as "the integrity of the file"
	Run   func(context.Context) ([]Finding, error)
}

// Checks returns the checks of mq doctor: of the file, and of the queues in it.
func (p *Provider) Checks() []Check {
	return []Check{
		{"settings", "the settings of the connections", p.checkSettings},
		{"writer", "whether the file can be written", p.checkWriter},
		{"log", "the size of the log", p.checkLog},
		{"file", "the size of the file", p.checkFile},
		{"layout", "the layout of the tables", p.checkLayout},
		{"integrity", "the integrity of the file", p.checkIntegrity},
		{"queues", "the counters of the queues", p.checkQueues},
	}
}

// findings collects what a check reports.
type findings []Finding

func (f *findings) add(level Level, where, format string, args ...any) {
	*f = append(*f, Finding{level, where, fmt.Sprintf(format, args...)})
}

// ask returns the rows of a query, each scanned into what dest returns.
func ask[T any](ctx context.Context, p *Provider, text string, dest func(*T) []any) (all []T, err error) {
	err = p.read(ctx, func(run driver.SQLTx) error {
		all = nil
		return query(ctx, run, func(rows *sql.Rows) error {
			var one T
			err := rows.Scan(dest(&one)...)
			all = append(all, one)
			return err
		}, text)
	})
	return all, err
}

func itself[T any](one *T) []any { return []any{one} }

// pragma returns the number that a PRAGMA of that name has.
func (p *Provider) pragma(ctx context.Context, name string) (n int64, err error) {
	ns, err := ask(ctx, p, "PRAGMA "+name, itself[int64])
	if err == nil && len(ns) == 1 {
		n = ns[0]
	}
	return n, err
}

// checkSettings judges the settings. Every provider refuses a journal mode other than
// WAL.
func (p *Provider) checkSettings(ctx context.Context) ([]Finding, error) {
	var f findings
	n, err := p.pragma(ctx, "synchronous")
	if err == nil && n < 2 {
		f.add(Advice, "settings", "journal mode WAL, synchronous = %s: a power cut may lose the last commits (leave out synchronous=normal)", synchronousName(n))
	} else if err == nil {
		f.add(OK, "settings", "journal mode WAL, synchronous = %s", synchronousName(n))
	}
	return f, err
}

// lockedFor is how long the doctor waits for the write lock.
const lockedFor = time.Second

var errNothing = errors.New("nothing is written")

// checkWriter begins a transaction that writes nothing.
func (p *Provider) checkWriter(ctx context.Context) ([]Finding, error) {
	var f findings
	short, cancel := context.WithTimeout(ctx, lockedFor)
	defer cancel()
	err := p.write(short, func(*txn) error { return &fileError{cause: errNothing} })
	switch {
	case errors.Is(err, errNothing):
		f.add(OK, "writer", "the file can be written")
	case ctx.Err() != nil:
		return f, ctx.Err()
	case short.Err() != nil:
		f.add(Advice, "writer", "another connection has had the write lock for %v: all senders and receivers wait (end its transaction)", lockedFor)
	default:
		f.add(Problem, "writer", "%v", err)
	}
	return f, nil
}

// largeLog is far above the size at which a commit makes a checkpoint, see pragmas.
const largeLog = 64 << 20

// checkLog looks for a log that nothing shortens. The files are never opened here:
// closing one would end all locks that this process has on it.
func (p *Provider) checkLog(context.Context) ([]Finding, error) {
	var f findings
	size := int64(0)
	if log, err := os.Stat(p.file.path + "-wal"); err == nil {
		size = log.Size()
	}
	if size > largeLog {
		f.add(Problem, "log", "%s: checkpoints do not get through, and the log grows until the disk is full (end transactions that stay open, readers included)", mebibytes(size))
	} else {
		f.add(OK, "log", "%s", mebibytes(size))
	}
	return f, nil
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// muchFree is how much may be free in a file before that is worth a word.
const muchFree = 16 << 20

// checkFile looks for space that is not used, and for a file system without locks.
func (p *Provider) checkFile(ctx context.Context) ([]Finding, error) {
	var f findings
	if err := checkFileSystem(p.file.path); err != nil {
		f.add(Problem, "file", "%v", err)
	}
	var size [3]int64
	for i, name := range []string{"page_size", "page_count", "freelist_count"} {
		n, err := p.pragma(ctx, name)
		if err != nil {
			return f, err
		}
		size[i] = n
	}
	all, free := size[0]*size[1], size[0]*size[2]
	if free > muchFree && free > all/2 {
		f.add(Advice, "file", "%s, of which %s are free: new messages use them first (VACUUM gives them back; it keeps writers out, and needs as much space again)", mebibytes(all), mebibytes(free))
	} else {
		f.add(OK, "file", "%s, of which %s are free", mebibytes(all), mebibytes(free))
	}
	return f, nil
}

// mostChecked is the size of a file that can be read in a few seconds.
const mostChecked = 1 << 30

// checkIntegrity runs SQLite's own check, except of a file that is too large for it.
func (p *Provider) checkIntegrity(ctx context.Context) ([]Finding, error) {
	var f findings
	if info, err := os.Stat(p.file.path); err == nil && info.Size() > mostChecked {
		f.add(Advice, "integrity", "not checked, since the file is large (PRAGMA quick_check in a quiet hour)")
		return f, nil
	}
	texts, err := ask(ctx, p, "PRAGMA quick_check(10)", itself[string])
	for _, text := range texts {
		if text == "ok" {
			f.add(OK, "integrity", "quick_check finds nothing")
		} else {
			f.add(Problem, "integrity", "%s (restore a copy, or save what can be read with the .recover command of the sqlite3 shell)", oneLine(text))
		}
	}
	return f, err
}

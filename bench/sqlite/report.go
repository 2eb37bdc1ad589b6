package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/portmq/mq/bench/internal/measure"
)

// row is one line of the report.
type row struct {
	what, ours, peer string
	spread           string // the ratio and its range, or the range of the time
	bar              string // "" = the row is for information
	met              bool
}

// faster compares rates: mq must have at least so many times the peer's.
func faster(what string, ours []float64, peer string, theirs []float64, least float64) row {
	r := row{what: what, ours: perSec(ours), peer: peer + " " + perSec(theirs), spread: spread(measure.Ratios(ours, theirs), "%.2f")}
	if least > 0 {
		r.bar, r.met = fmt.Sprintf(">= %g", least), measure.Ratio(ours, theirs) >= least
	}
	return r
}

// dearer compares seconds: mq may take at most so many times the base.
func dearer(what string, ours []float64, base string, theirs []float64, most float64) row {
	r := row{what: what, ours: ms(ours), peer: base + " " + ms(theirs), spread: spread(measure.Ratios(ours, theirs), "%.2f")}
	if most > 0 {
		r.bar, r.met = fmt.Sprintf("<= %g", most), measure.Ratio(ours, theirs) <= most
	}
	return r
}

// within holds seconds against a limit.
func within(what string, took []float64, most time.Duration) row {
	r := row{what: what, ours: ms(took), spread: spread(millis(took), "%.2f ms")}
	if most > 0 {
		r.bar, r.met = fmt.Sprintf("<= %g ms", most.Seconds()*1e3), measure.Median(took) <= most.Seconds()
	}
	return r
}

// spread is the median of xs, and their range.
func spread(xs []float64, format string) string {
	return fmt.Sprintf(format+" (%.2f-%.2f)", measure.Median(xs), slices.Min(xs), slices.Max(xs))
}

func millis(seconds []float64) (ms []float64) {
	for _, s := range seconds {
		ms = append(ms, s*1e3)
	}
	return ms
}

func perSec(xs []float64) string { return fmt.Sprintf("%.0f/s", measure.Median(xs)) }

func ms(xs []float64) string { return fmt.Sprintf("%.2f ms", measure.Median(xs)*1e3) }

func (r row) String() string {
	verdict := "MISSED"
	switch {
	case r.bar == "":
		verdict = ""
	case r.met:
		verdict = "met"
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s |", r.what, r.ours, r.peer, r.spread, r.bar, verdict)
}

func printHead() {
	fmt.Println("| figure | mq | beside | median (range) | bar | |")
	fmt.Println("|---|---:|---:|---:|---:|---|")
}

// preface prints what the figures are measured on, and against what.
func preface(ctx context.Context, p plan) error {
	version, err := sqliteVersion(ctx, p)
	if err != nil {
		return err
	}
	sync, err := fsync(p.dir)
	if err != nil {
		return err
	}
	fmt.Printf("%s, %s/%s, GOMAXPROCS %d; SQLite %s, synchronous=%s; fsync of a page %s%s\n\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), version, p.synchronous, ms(sync), load())
	fmt.Printf(`Bodies are JSON of %d bytes. Rates, times and ratios are medians of %d interleaved
rounds, of %d for sends.

- mq: drivers/sqlite as it opens by default, except for synchronous.
- By hand: database/sql and modernc.org/sqlite, a pool of one connection with the
  pragmas of the driver, prepared statements, a table with one index on due.
  Drains: a loop that claims %d and deletes %[4]d, each in a transaction.
- goqite: v0.4.0 on the same pool. Drains: %[5]d goroutines, out of a small queue.

`, bodySize, p.rounds, turns*p.rounds, claimSize, workers)
	if p.quick {
		fmt.Print("**Quick: the sizes are far smaller than the table says.**\n\n")
	}
	return nil
}

func sqliteVersion(ctx context.Context, p plan) (version string, err error) {
	l := &lab{plan: p}
	if l.dir, err = os.MkdirTemp(p.dir, "mq-bench-"); err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(l.dir) }() // a temporary folder
	db, err := l.db(ctx, "version.db", "")
	if err == nil {
		err = db.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version)
	}
	_ = l.close()
	return version, err
}

// fsync returns how many seconds it takes to store a page in a folder.
func fsync(dir string) (took []float64, err error) {
	f, err := os.CreateTemp(dir, "mq-bench-fsync-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.Remove(f.Name()) }() // a temporary file
	defer func() { _ = f.Close() }()           // nobody reads it
	page := make([]byte, 4096)
	for range 200 {
		s, err := clock(func() error {
			if _, err := f.WriteAt(page, 0); err != nil {
				return err
			}
			return f.Sync()
		})
		if err != nil {
			return nil, err
		}
		took = append(took, s)
	}
	return took, nil
}

// load returns the load average, where the system shows it.
func load() string {
	text, err := os.ReadFile(filepath.FromSlash("/proc/loadavg"))
	if err != nil {
		return ""
	}
	return "; load average " + strings.Join(strings.Fields(string(text))[:3], " ")
}

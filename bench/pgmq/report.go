package main

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/portmq/mq/bench/internal/measure"
)

// row is one line of the report.
type row struct {
	what, ours, peer string
	ratio            float64 // 0 = there is nothing to compare with
	bar              string
	met              bool
}

// faster compares rates: mq must have at least so many times the peer's.
func faster(what string, ours []float64, peer string, theirs []float64, least float64) row {
	x := measure.Ratio(ours, theirs)
	return row{what, perSec(measure.Median(ours)), peer + " " + perSec(measure.Median(theirs)), x, fmt.Sprintf(">= %g", least), x >= least}
}

// dearer compares seconds: mq may take at most so many times the base.
func dearer(what string, ours []float64, base string, theirs []float64, most float64) row {
	x := measure.Ratio(ours, theirs)
	return row{what, ms(seconds(measure.Median(ours))), base + " " + ms(seconds(measure.Median(theirs))), x, fmt.Sprintf("<= %g", most), x <= most}
}

func seconds(x float64) time.Duration { return time.Duration(x * float64(time.Second)) }

// within holds a time against a limit.
func within(what string, took, most time.Duration) row {
	return row{what: what, ours: ms(took), bar: fmt.Sprintf("<= %g ms", most.Seconds()*1e3), met: took <= most}
}

func perSec(x float64) string { return fmt.Sprintf("%.0f/s", x) }

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", d.Seconds()*1e3) }

func (r row) String() string {
	ratio, verdict := "", "MISSED"
	if r.ratio != 0 {
		ratio = fmt.Sprintf("%.2f", r.ratio)
	}
	if r.met {
		verdict = "met"
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s |", r.what, r.ours, r.peer, ratio, r.bar, verdict)
}

func printHead() {
	fmt.Println("| figure | mq | beside | ratio | bar | |")
	fmt.Println("|---|---:|---:|---:|---:|---|")
}

// preface prints what the figures were measured on, and against what.
func preface(ctx context.Context, c cluster, p plan) error {
	about, err := c.about(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("%s, %s/%s, GOMAXPROCS %d; %s\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), about)
	fmt.Printf(`Bodies are JSON of %d bytes. Rates and ratios are medians of %d
interleaved rounds.

- mq: drivers/pgmq as it opens by default, queues as EnsureQueue makes them by
  default.
- By hand: pgx's own interface on a pool of %d connections, prepared statements,
  the same tables without the trigger that wakes receivers. Coalesced: %d flights,
  each with all that waits. Drains: %[4]d goroutines claim %d messages at a time for
  %d workers, %[4]d delete what is done, %[5]d at most at a time and only if the read
  count is still the same.
- River: riverpgxv5 on a pool of %[7]d connections. Drains: %[6]d workers, FetchCooldown
  %[8]v (the least it takes), no job timeout.

`, bodySize, p.rounds, handConns, flights, claimSize, workers, riverConns, riverCooldown)
	if strings.Contains(about, "fsync off") {
		fmt.Print("**The server does not wait for its disk (fsync off): what a commit costs in\nearnest is missing on both sides of each ratio.**\n\n")
	}
	if p.quick {
		fmt.Print("**Quick: the sizes are far smaller than the table says.**\n\n")
	}
	return nil
}

// quantile returns the least of xs that is not below the share q of them.
func quantile[T cmp.Ordered](xs []T, q float64) T { return measure.Quantile(xs, q) }

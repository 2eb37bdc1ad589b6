// Command pgmq measures mq on PGMQ queues beside what an expert would write by
// hand and beside River, on one PostgreSQL server, and prints Markdown. A bar
// that is missed is marked and does not fail the command: speed is shown here,
// not tested.
//
//	go run ./pgmq [-only a,c] [-rounds 5] [-quick] [-aged 10m]
//
// MQ_TEST_POSTGRES names the server, as a postgres:// URL; without it one is
// started as for tests, which does not wait for the disk. Each figure gets a
// database of its own, which is dropped when it is done.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/portmq/mq/internal/integration/server"
)

// A figure is one thing that is measured.
type figure struct {
	letter  string
	measure func(context.Context, *lab) ([]row, error)
}

var figures = []figure{
	{"a", singleSends},
	{"b", batchSends},
	{"c", drains},
	{"d", receiveOne},
	{"e", groups},
	{"f", stats},
	{"g", latency},
	{"h", behindDelayed},
}

func main() {
	if os.Getenv(workerEnv) != "" {
		exit(work(context.Background(), os.Stdin, os.Stdout))
		return
	}
	var p plan
	flag.IntVar(&p.rounds, "rounds", 5, "rounds; the table shows their medians")
	flag.DurationVar(&p.aged, "aged", 0, "how long figure d carries traffic before it measures again, as 10m; 0 = not at all")
	flag.BoolVar(&p.quick, "quick", false, "small sizes, to see that all runs")
	only := flag.String("only", "", "letters of the figures to measure, as a,c; all by default")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(run(ctx, p, *only))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, p plan, only string) (err error) {
	if p.rounds < 1 || p.aged < 0 {
		return errors.New("-rounds must be positive and -aged not negative")
	}
	chosen, err := choose(only)
	if err != nil {
		return err
	}
	c, err := findCluster()
	defer func() { err = errors.Join(err, server.Stop()) }()
	if err != nil {
		return err
	}
	if err := preface(ctx, c, p); err != nil {
		return err
	}
	var failed []error
	printHead()
	for _, f := range chosen {
		start := time.Now()
		if err := c.run(ctx, p, f); err != nil {
			failed = append(failed, fmt.Errorf("figure %s: %w", f.letter, err))
		}
		if ctx.Err() != nil {
			break
		}
		fmt.Fprintf(os.Stderr, "figure %s took %v\n", f.letter, time.Since(start).Round(time.Second))
	}
	return errors.Join(failed...)
}

// choose returns the figures whose letters are listed, all for "".
func choose(only string) ([]figure, error) {
	if only == "" {
		return figures, nil
	}
	var chosen []figure
	for letter := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(figures, func(f figure) bool { return f.letter == letter })
		if i < 0 {
			return nil, fmt.Errorf("-only: there is no figure %q", letter)
		}
		chosen = append(chosen, figures[i])
	}
	return chosen, nil
}

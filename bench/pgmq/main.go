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
	"syscall"

	"github.com/portmq/mq/bench/internal/measure"
	"github.com/portmq/mq/internal/integration/server"
)

type figure = measure.Figure[func(context.Context, *lab) ([]row, error)]

var figures = []figure{
	{Letter: "a", Measure: singleSends},
	{Letter: "b", Measure: batchSends},
	{Letter: "c", Measure: drains},
	{Letter: "d", Measure: receiveOne},
	{Letter: "e", Measure: groups},
	{Letter: "f", Measure: stats},
	{Letter: "g", Measure: latency},
	{Letter: "h", Measure: behindDelayed},
	{Letter: "i", Measure: jobs},
	{Letter: "j", Measure: publishes},
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
	chosen, err := measure.Choose(figures, only)
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
	printHead()
	return measure.Each(ctx, chosen, func(f figure) error { return c.run(ctx, p, f) })
}

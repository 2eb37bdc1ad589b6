// Command sqlite measures mq on SQLite beside hand-written SQL on the same
// library and beside goqite, and prints Markdown. A bar that is missed is
// marked and does not fail the command: speed is shown here, not tested. A
// message that is lost does.
//
//	go run ./sqlite [-only a,c] [-rounds 5] [-dir /var/tmp] [-synchronous normal] [-quick] [-cpuprofile file]
//
// Each figure gets a folder of its own in -dir, which must be on a disk, and
// removes it when it is done: up to 6 GB.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"

	"github.com/portmq/mq/bench/internal/measure"
)

type figure = measure.Figure[func(context.Context, *lab) ([]row, error)]

var figures = []figure{
	{Letter: "a", Measure: loneSender},
	{Letter: "b", Measure: manySenders},
	{Letter: "c", Measure: batches},
	{Letter: "d", Measure: drains},
	{Letter: "e", Measure: receiveBehind},
	{Letter: "f", Measure: stats},
	{Letter: "g", Measure: groups},
	{Letter: "h", Measure: largeBody},
	{Letter: "i", Measure: latency},
	{Letter: "j", Measure: idle},
	{Letter: "k", Measure: keyedSends},
}

func main() {
	if name := os.Getenv(childEnv); name != "" {
		exit(children[name](context.Background(), os.Getenv(dsnEnv)))
		return
	}
	var p plan
	flag.IntVar(&p.rounds, "rounds", 5, "rounds; the table shows their medians")
	flag.StringVar(&p.dir, "dir", os.TempDir(), "a folder on a disk, for the files")
	flag.StringVar(&p.synchronous, "synchronous", "full", "full or normal, of mq and of its peers")
	flag.BoolVar(&p.quick, "quick", false, "small sizes, to see that all runs")
	only := flag.String("only", "", "letters of the figures to measure, as a,c; all by default")
	profile := flag.String("cpuprofile", "", "a file for a CPU profile, in which the label side is mq or that of a peer")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(profiled(*profile, func() error { return run(ctx, p, *only) }))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// profiled runs f, and writes a CPU profile of it to a file if that has a name.
func profiled(name string, f func() error) (err error) {
	if name == "" {
		return f()
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := pprof.StartCPUProfile(file); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return f()
}

func run(ctx context.Context, p plan, only string) error {
	if p.rounds < 1 || p.synchronous != "full" && p.synchronous != "normal" {
		return errors.New("-rounds must be positive, and -synchronous full or normal")
	}
	chosen, err := measure.Choose(figures, only)
	if err != nil {
		return err
	}
	if err := preface(ctx, p); err != nil {
		return err
	}
	printHead()
	return measure.Each(ctx, chosen, func(f figure) error { return measureOne(ctx, p, f) })
}

// measureOne measures a figure in a folder of its own and prints its rows.
func measureOne(ctx context.Context, p plan, f figure) (err error) {
	if p.dir, err = os.MkdirTemp(p.dir, "mq-bench-"+f.Letter+"-"); err != nil {
		return err
	}
	l := &lab{plan: p}
	defer func() { err = errors.Join(err, l.close(), os.RemoveAll(p.dir)) }()
	rows, err := f.Measure(ctx, l)
	for _, r := range rows {
		r.what = f.Letter + ". " + r.what
		fmt.Println(r)
	}
	return err
}

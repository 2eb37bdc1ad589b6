// Orders is a job on a queue. It reads orders, a JSON object in each line,
// sends them to a queue and processes them there, each customer's in order. It
// repeats what failed for a while, sets aside what cannot be processed, shows
// what it is doing, and in the end proves that nothing was lost.
//
//	go run ./examples/orders
//	go run ./examples/orders -in orders.ndjson -dsn mem://
//
// It exits with 0 if every line was processed or is a dead letter, with 130 if
// it was interrupted, with 2 if its flags are wrong, and else with 1.
package main

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
)

//go:generate go run gen.go testdata/orders.ndjson

// sample is what is read without -in.
//
//go:embed testdata/orders.ndjson
var sample []byte

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the program, for main and for tests.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	o, err := parseFlags(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	err = o.run(ctx, stdin, stdout, stderr)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "orders: interrupted:", err)
		return 130
	}
	fmt.Fprintln(stderr, "orders:", err)
	return 1
}

type options struct {
	dsn, in       string
	keep, verbose bool
}

func parseFlags(args []string, stderr io.Writer) (o options, err error) {
	fs := flag.NewFlagSet("orders", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.dsn, "dsn", "mem://", "the `provider` to use")
	fs.StringVar(&o.in, "in", "", "the `file` of orders, - for the standard input (default: a sample of 2,000)")
	fs.BoolVar(&o.keep, "keep", false, "keep the queue and its archive, to look at them")
	fs.BoolVar(&o.verbose, "v", false, "show mq's log")
	err = fs.Parse(args)
	if err == nil && fs.NArg() > 0 {
		err = errors.New("orders: there are no arguments, only flags (see -h)")
		fmt.Fprintln(stderr, err)
	}
	return o, err
}

func (o options) run(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	in, err := o.open(stdin)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	t := newTally()
	client, err := mq.OpenConfig(o.dsn, mq.Config{Logger: o.logger(stderr), Interceptors: []mq.Interceptor{t.watch}})
	if err != nil {
		return err
	}
	defer client.Close()
	queue, err := freshQueue(ctx, client)
	if err != nil {
		return err
	}
	if o.keep {
		defer fmt.Fprintf(stdout, "queue %s is still there\n", queue.Name())
	} else {
		defer drop(queue, stderr)
	}
	j, err := newJob(queue, t)
	if err != nil {
		return err
	}
	return j.present(ctx, in, stdout, stderr)
}

func (o options) open(stdin io.Reader) (io.ReadCloser, error) {
	switch o.in {
	case "":
		return io.NopCloser(bytes.NewReader(sample)), nil
	case "-":
		return io.NopCloser(stdin), nil
	}
	return os.Open(o.in)
}

func (o options) logger(w io.Writer) *slog.Logger {
	level := slog.LevelError
	if o.verbose {
		level = slog.LevelInfo
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

// freshQueue makes a queue of this run's own, so that neither an earlier run
// nor one at the same time gets into the sums.
func freshQueue(ctx context.Context, c *mq.Client) (*mq.Queue, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	name := fmt.Sprintf("orders_%d_%d", time.Now().UnixMilli(), os.Getpid())
	return c.EnsureQueue(ctx, name, mq.QueueOptions{Drivers: []mq.DriverOptions{
		pgmq.QueueOptions{GroupIndexes: []mq.GroupBy{{}}}, // by Message.Group; other drivers need none
	}})
}

// drop removes the queue. It may be that ctx has ended, so it has its own.
func drop(q *mq.Queue, stderr io.Writer) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	if err := q.Client().DropQueue(ctx, q.Name()); err != nil {
		fmt.Fprintln(stderr, "orders: the queue stays:", err)
	}
}

// present runs the job and shows what it does and has done.
func (j *job) present(ctx context.Context, in io.Reader, stdout, stderr io.Writer) error {
	provider := j.queue.Client().Provider().Name()
	fmt.Fprintf(stdout, "orders through %s, with %d workers\n", provider, workers)
	if !j.inOrder {
		fmt.Fprintf(stdout, "note: %s has no groups, so the order per customer is not guaranteed\n", provider)
	}
	start := time.Now()
	p := showProgress(stdout, j.tally)
	err := j.run(ctx, in)
	p.stop()
	r := j.report(context.WithoutCancel(ctx), time.Since(start))
	r.print(stdout)
	r.printRefused(stderr)
	return cmp.Or(err, r.err())
}

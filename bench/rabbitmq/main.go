// Command rabbitmq measures mq on RabbitMQ beside amqp091-go used by hand and
// beside Watermill, on one broker, and prints Markdown. A bar that is missed is
// marked and does not fail the command: speed is shown here, not tested. A
// message that is lost does.
//
//	go run ./rabbitmq [-only a] [-rounds 5] [-quick]
//
// MQ_TEST_AMQP names the broker, as an amqp:// URL, and MQ_TEST_RABBITMQ_API
// its management plugin; without the first one is started as for tests. Each
// figure makes queues of its own in vhost /, and drops them when it is done.
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
	{"b", drains},
}

func main() {
	var p plan
	flag.IntVar(&p.rounds, "rounds", 5, "rounds; the table shows their medians")
	flag.BoolVar(&p.quick, "quick", false, "small sizes, to see that all runs")
	only := flag.String("only", "", "letters of the figures to measure, as a,b; all by default")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, p, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, p plan, only string) (err error) {
	if p.rounds < 1 {
		return errors.New("-rounds must be positive")
	}
	chosen, err := choose(only)
	if err != nil {
		return err
	}
	b, err := server.FindRabbitMQ()
	defer func() { err = errors.Join(err, server.Stop()) }()
	if err != nil {
		return err
	}
	preface(b, p)
	printHead()
	var failed []error
	for _, f := range chosen {
		start := time.Now()
		if err := f.run(ctx, p, b.DSN("/")); err != nil {
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

// run measures a figure and prints its rows.
func (f figure) run(ctx context.Context, p plan, dsn string) (err error) {
	l, err := open(ctx, p, dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close(context.WithoutCancel(ctx))) }()
	rows, err := f.measure(ctx, l)
	for _, r := range rows {
		r.what = f.letter + ". " + r.what
		fmt.Println(r)
	}
	return err
}

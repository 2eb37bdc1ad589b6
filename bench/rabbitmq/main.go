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
	"syscall"

	"github.com/portmq/mq/bench/internal/measure"
	"github.com/portmq/mq/internal/integration/server"
)

type figure = measure.Figure[func(context.Context, *lab) ([]row, error)]

var figures = []figure{
	{Letter: "a", Measure: singleSends},
	{Letter: "b", Measure: drains},
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
	chosen, err := measure.Choose(figures, only)
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
	return measure.Each(ctx, chosen, func(f figure) error { return measureOne(ctx, p, f, b.DSN("/")) })
}

// measureOne measures a figure and prints its rows.
func measureOne(ctx context.Context, p plan, f figure, dsn string) (err error) {
	l, err := open(ctx, p, dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close(context.WithoutCancel(ctx))) }()
	rows, err := f.Measure(ctx, l)
	for _, r := range rows {
		r.what = f.Letter + ". " + r.what
		fmt.Println(r)
	}
	return err
}

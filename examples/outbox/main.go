// Outbox is a shop on PostgreSQL or SQLite. An order and the message about it are
// stored in one transaction, and a worker marks the order as shipped and acks the
// message in another one. Kill the program whenever you like and start it
// again: every order is shipped, and none twice.
//
//	go run ./examples/outbox -dsn pgmq://postgres@localhost/shop
//	go run ./examples/outbox -dsn sqlite://shop.db
//
// It exits with 0 if every order was shipped once, with 130 if it was
// interrupted, with 2 if its flags are wrong, and else with 1.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program, for main and for tests.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parseFlags(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	err = o.run(ctx, stdout)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "outbox: interrupted: start it again to ship the rest")
		return 130
	}
	fmt.Fprintln(stderr, "outbox:", err)
	return 1
}

type options struct {
	dsn    string
	orders int
}

func parseFlags(args []string, stderr io.Writer) (o options, err error) {
	fs := flag.NewFlagSet("outbox", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.dsn, "dsn", "", "the `database` of the shop: pgmq://user:password@host/name or sqlite://file")
	fs.IntVar(&o.orders, "orders", 500, "how many orders to place")
	err = fs.Parse(args)
	if err == nil && (o.dsn == "" || o.orders < 0 || fs.NArg() > 0) {
		err = errors.New("wrong arguments")
		fs.Usage()
	}
	return o, err
}

func (o options) run(ctx context.Context, out io.Writer) error {
	s, err := open(ctx, o.dsn)
	if err != nil {
		return err
	}
	defer s.close()
	fmt.Fprintln(out, "the shop is open")
	if err := s.trade(ctx, o.orders); err != nil {
		return err
	}
	r, err := s.report(ctx)
	if err != nil {
		return err
	}
	r.print(out)
	return r.err()
}

// trade places orders and ships them, and what an earlier run has left.
func (s *shop) trade(ctx context.Context, orders int) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	worked := make(chan error, 1)
	go func() {
		worked <- s.work(ctx)
		stop() // without a worker there is nothing to wait for
	}()
	err := s.sell(ctx, orders)
	if err == nil {
		err = s.await(ctx)
	}
	stop()
	return cmp.Or(<-worked, err)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// report compares the table with the queue.
type report struct {
	placed, declined                 int // in this run
	orders, shipped, waiting, double int // in the table
	strays                           int // messages of orders that are not there
}

func (s *shop) report(ctx context.Context) (r report, err error) {
	r.placed, r.declined = s.placed, s.declined
	err = s.sql().QueryRowContext(ctx, `SELECT count(*), count(*) FILTER (WHERE shipments = 1),
		count(*) FILTER (WHERE shipments = 0), count(*) FILTER (WHERE shipments > 1) FROM shop_orders`).
		Scan(&r.orders, &r.shipped, &r.waiting, &r.double)
	if err != nil {
		return r, err
	}
	stats, err := s.queue.Queue().Stats(ctx)
	r.strays = int(stats.Archived) // nothing else is rejected
	return r, err
}

func (r report) print(w io.Writer) {
	row := func(name string, n int, note string) {
		fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("%-16s %6d  %s", name, n, note), " "))
	}
	row("placed", r.placed, "orders in this run")
	row("rolled back", r.declined, "cards were declined")
	row("in the table", r.orders, "orders of all runs")
	row("shipped once", r.shipped, "")
	row("not shipped", r.waiting, "")
	row("shipped twice", r.double, "")
	row("strays", r.strays, "messages of orders that were rolled back")
}

// err says what must never be.
func (r report) err() error {
	var errs []error
	problem := func(n int, what string) {
		if n != 0 {
			errs = append(errs, fmt.Errorf("%d %s", n, what))
		}
	}
	problem(r.waiting, "orders have no message")
	problem(r.double, "orders were shipped more than once")
	problem(r.strays, "messages have no order")
	return errors.Join(errs...)
}

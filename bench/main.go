// Command bench measures mq on drivers/mem beside the queues that Go programs
// embed, and prints Markdown. A bar that is missed is marked and does not
// fail the command: speed is shown here, not tested.
//
//	go run . [-n 100000] [-rounds 5]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
)

func main() {
	n := flag.Int("n", 100_000, "messages a round")
	rounds := flag.Int("rounds", 5, "rounds; the tables show their medians")
	many := flag.Int("many", 1_000_000, "messages of the longest queue")
	flag.Parse()

	if err := run(context.Background(), *n, *rounds, *many); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, n, rounds, many int) error {
	if n < 1 || rounds < 1 || many < 1 {
		return errors.New("-n, -rounds and -many must be positive")
	}
	fmt.Printf("%s, %s/%s, GOMAXPROCS %d; %d messages of %d bytes, medians of %d rounds\n\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), n, bodySize, rounds)
	for _, senders := range []int{1, 64} {
		if err := compare(ctx, senders, n, rounds); err != nil {
			return err
		}
	}
	if err := growth(ctx, []int{1, min(1000, many), many}, rounds); err != nil {
		return err
	}
	if err := batching(ctx, rounds); err != nil {
		return err
	}
	return memory(ctx, many)
}

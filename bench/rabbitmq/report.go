package main

import (
	"fmt"
	"runtime"

	"github.com/portmq/mq/bench/internal/measure"
)

// row is one line of the report: rates, round by round.
type row struct {
	what   string
	ours   []float64
	peer   string
	theirs []float64
	bar    bar
}

// bar is how many times the peer's rate mq should reach.
type bar struct {
	least float64 // 0 = the row is for information
	above bool    // to reach it is not enough
}

func (b bar) String() string {
	switch {
	case b.least == 0:
		return ""
	case b.above:
		return fmt.Sprintf("> %g", b.least)
	default:
		return fmt.Sprintf(">= %g", b.least)
	}
}

func (b bar) verdict(ratio float64) string {
	switch {
	case b.least == 0:
		return ""
	case ratio > b.least, !b.above && ratio == b.least:
		return "met"
	default:
		return "MISSED"
	}
}

func (r row) String() string {
	ratio := measure.Ratio(r.ours, r.theirs)
	return fmt.Sprintf("| %s | %s | %s %s | %.2f | %s | %s |",
		r.what, perSec(r.ours), r.peer, perSec(r.theirs), ratio, r.bar, r.bar.verdict(ratio))
}

func perSec(xs []float64) string { return fmt.Sprintf("%.0f/s", measure.Median(xs)) }

func printHead() {
	fmt.Println("| figure | mq | beside | ratio | bar | |")
	fmt.Println("|---|---:|---:|---:|---:|---|")
}

// preface prints what the figures were measured on, and against what.
func preface(broker fmt.Stringer, p plan) {
	fmt.Printf("%s, %s/%s, GOMAXPROCS %d; %s\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), broker)
	fmt.Printf(`Persistent bodies of %d bytes, in durable quorum queues as EnsureQueue makes
them. Rates and ratios are medians of %d interleaved rounds. A send counts when
it is confirmed. After each run the queue must hold what was confirmed, or
nothing.

- mq: drivers/rabbitmq as it opens by default. Drains: a Consumer, of whose
  settings only Concurrency %d is not the default.
- amqp091-go: sends by all goroutines on one channel in confirm mode, each of
  which waits for its own confirm. Drains: one loop that acks message by message,
  with a prefetch of %d.
- Watermill: its AMQP publisher with confirms and a pool of as many channels as
  there are senders; its subscriber with a prefetch of %[4]d, and one goroutine
  that acks.

`, bodySize, p.rounds, workers, prefetch)
	if p.quick {
		fmt.Print("**Quick: the sizes are far smaller than the table says.**\n\n")
	}
}

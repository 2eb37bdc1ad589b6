// Chaos runs producers and consumers in several processes, breaks what they depend on, at
// random, and proves from the ledger of their calls that every promise of package mq was
// kept. It exits with 1 if one was not, and with 2 if the run itself failed.
//
//	make chaos DURATION=1m PROVIDER=sqlite SEED=42
//
// The seed, which a run prints, determines its faults. It does not determine what the
// processes do in between, since they run side by side.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/portmq/mq/internal/chaos/work"
)

// workerVariable holds the configuration of a process that is a worker.
const workerVariable = "CHAOS_WORKER"

func main() {
	if text := os.Getenv(workerVariable); text != "" {
		var cfg work.Config
		if err := json.Unmarshal([]byte(text), &cfg); err != nil {
			fmt.Println("0 error", err)
			os.Exit(2)
		}
		os.Exit(work.Main(cfg))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(chaos(ctx, os.Stdout, os.Args[1:]))
}

// options are the flags.
type options struct {
	duration, drain, lease time.Duration
	provider, broken, keep string
	faults                 string
	seed                   uint64
	rate                   float64
	together               bool
	out                    io.Writer
}

func parseFlags(out io.Writer, args []string) (o options, err error) {
	fs := flag.NewFlagSet("chaos", flag.ContinueOnError)
	fs.SetOutput(out)
	fs.DurationVar(&o.duration, "duration", 5*time.Minute, "how long faults happen; several providers share it, unless they run together")
	fs.DurationVar(&o.drain, "drain", 2*time.Minute, "how long the workers may take to empty the queues at the end")
	fs.DurationVar(&o.lease, "lease", 3*time.Second, "the visibility timeout")
	fs.StringVar(&o.provider, "provider", "all", "all, or some of "+strings.Join(providerNames, ", ")+", separated by commas")
	fs.StringVar(&o.faults, "faults", "", "only faults whose names contain this; none for none")
	fs.StringVar(&o.broken, "break", os.Getenv("CHAOS_BREAK"), "break the provider, to check that the run fails: one of "+strings.Join(breakNames(), ", "))
	fs.StringVar(&o.keep, "keep", "", "keep the ledger and the logs in this directory")
	fs.Uint64Var(&o.seed, "seed", 0, "the seed of the faults; 0 for a random one")
	fs.Float64Var(&o.rate, "rate", 60, "sends per second of each producer")
	fs.BoolVar(&o.together, "together", false, "run the providers at the same time, each for the duration")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if o.seed == 0 {
		o.seed = rand.Uint64N(1e9) + 1
	}
	return o, nil
}

// chaos runs one provider after the other, or all together.
func chaos(ctx context.Context, out io.Writer, args []string) (code int) {
	o, err := parseFlags(out, args)
	o.out = out
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	names := providerNames
	if o.provider != "all" && o.provider != "" {
		names = strings.Split(o.provider, ",")
	}
	if !o.together {
		o.duration /= time.Duration(len(names))
	}
	var all sync.WaitGroup
	codes, texts := make([]int, len(names)), make([]bytes.Buffer, len(names))
	for i, name := range names {
		one := o
		if o.together {
			one.out = &texts[i]
			all.Go(func() { codes[i] = chaosOf(ctx, one, name) })
		} else {
			codes[i] = chaosOf(ctx, one, name)
		}
	}
	all.Wait()
	for i := range texts {
		_, _ = texts[i].WriteTo(out)
	}
	return slices.Max(codes)
}

// chaosOf runs one provider.
func chaosOf(ctx context.Context, o options, name string) (code int) {
	code, err := runProvider(ctx, o, name)
	if err != nil {
		_, _ = fmt.Fprintf(o.out, "%s: the run failed: %v\n", name, err)
	}
	return code
}

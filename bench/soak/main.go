// Command soak carries traffic at a steady rate for a long time, and judges whether
// anything grows meanwhile: heap, goroutines, connections, tables, latency. It exits with
// 1 if something does, and with 2 if the run itself failed.
//
//	make soak DURATION=1h RATE=500 PROVIDER=pgmq,rabbitmq
//
// Beside the figures it leaves soak-PROVIDER.csv and soak-PROVIDER.svg in a folder.
//
// MQ_TEST_POSTGRES and MQ_TEST_AMQP name the servers. Without them they are started for
// the run, with autovacuum and all else as servers have it by default.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/portmq/mq/internal/integration/server"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server.AsInProduction()
	code := command(ctx, os.Stdout, os.Args[1:])
	if err := server.Stop(); err != nil {
		fmt.Println(err)
		code = max(code, 2)
	}
	os.Exit(code)
}

// plan is what the flags say.
type plan struct {
	duration time.Duration
	rate     int // messages a second
	broken   string
	dir      string
}

// interval is how often a run is sampled: as often as a picture can show.
func (p plan) interval() time.Duration { return max(p.duration/200, min(time.Second, p.duration/40)) }

// breaks are ways to break a run, to see that it fails.
var breaks = []string{"", "goroutines", "snapshot"}

// command runs one provider after the other.
func command(ctx context.Context, out io.Writer, args []string) (code int) {
	var p plan
	fs := flag.NewFlagSet("soak", flag.ContinueOnError)
	fs.SetOutput(out)
	fs.DurationVar(&p.duration, "duration", 2*time.Minute, "how long messages are sent to each provider")
	fs.IntVar(&p.rate, "rate", 500, "messages a second")
	fs.StringVar(&p.broken, "break", "", "break the run, to see that it fails: goroutines leaks some, snapshot holds one")
	fs.StringVar(&p.dir, "dir", ".", "the folder for the .csv and .svg files")
	names := fs.String("provider", "pgmq,rabbitmq", "some of "+strings.Join(slices.Sorted(maps.Keys(backends)), ", ")+", with commas")
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err == nil && (p.duration <= 0 || p.rate <= 0 || !slices.Contains(breaks, p.broken)):
		_, _ = fmt.Fprintln(out, "soak: -duration and -rate must be positive, and -break one of", breaks)
		return 2
	case err != nil:
		return 2
	}
	for name := range strings.SplitSeq(*names, ",") {
		flat, err := soakOne(ctx, out, p, name)
		switch {
		case err != nil:
			_, _ = fmt.Fprintf(out, "%s: the run failed: %v\n", name, err)
			code = 2
		case !flat:
			code = max(code, 1)
		}
	}
	return code
}

// soakOne runs one provider, and reports whether all that must be was flat.
func soakOne(ctx context.Context, out io.Writer, p plan, name string) (flat bool, err error) {
	open := backends[name]
	if open == nil {
		return false, fmt.Errorf("unknown provider %q", name)
	}
	b, err := open(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, bounded(ctx, b.close)) }()
	_, _ = fmt.Fprintf(out, "%s: %d messages a second for %v, %s\n", name, p.rate, p.duration, b)
	r, err := run(ctx, p, b)
	if r != nil && len(r.samples) > 0 { // of a run that failed as well
		err = errors.Join(err, r.write(p.dir, name, fmt.Sprintf("%s, %d messages a second; time in minutes", b, p.rate)))
	}
	if err != nil {
		return false, err
	}
	return report(out, name, p, r)
}

// write writes the files of a run.
func (r *record) write(dir, name, title string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	base := filepath.Join(dir, "soak-"+name)
	svg, err := draw(title, r)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(base+".csv", r.csv(), 0o644), os.WriteFile(base+".svg", svg, 0o644))
}

// report prints the verdict.
func report(out io.Writer, name string, p plan, r *record) (flat bool, err error) {
	verdicts, err := judge(r, p)
	if err != nil {
		return false, err
	}
	flat = true
	_, _ = fmt.Fprintf(out, "  %-28s %12s %12s %12s\n", "median", "2nd quarter", "4th quarter", "bound")
	for _, v := range verdicts {
		mark := ""
		if !v.ok {
			flat, mark = false, "NOT FLAT"
		}
		_, _ = fmt.Fprintf(out, "  %-28s %12.5g %12.5g %12.5g %s\n", v.column, v.before, v.after, v.bound, mark)
	}
	for _, line := range r.faults {
		flat = false
		_, _ = fmt.Fprintf(out, "  FAULT %s\n", line)
	}
	word := map[bool]string{true: "ok", false: "FAILED"}[flat]
	_, _ = fmt.Fprintf(out, "%s: %s: %d messages sent, %d done; files soak-%s.csv and .svg in %s\n", name, word, r.sent, r.done, name, p.dir)
	return flat, nil
}

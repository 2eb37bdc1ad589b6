// Wordcount counts the words of the text files in a folder. It runs an
// orchestrator and some workers that speak through queues only: see package
// workflow.
//
//	go run ./examples/workflow/wordcount examples/workflow/testdata
//
// It exits with 0 if all files were counted, with 130 if it was interrupted,
// with 2 if it was called wrongly, and else with 1.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/examples/workflow"
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
	err = o.run(ctx, stdout, stderr)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "wordcount: interrupted")
		return 130
	}
	fmt.Fprintln(stderr, "wordcount:", err)
	return 1
}

type options struct {
	dsn, folder  string
	workers, top int
}

func parseFlags(args []string, stderr io.Writer) (o options, err error) {
	fs := flag.NewFlagSet("wordcount", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		fmt.Fprintln(stderr, "Usage: wordcount [flags] folder")
		fs.PrintDefaults()
	}
	fs.StringVar(&o.dsn, "dsn", "mem://", "the `provider` to use")
	fs.IntVar(&o.workers, "workers", 3, "how many workers to run")
	fs.IntVar(&o.top, "top", 10, "how many words to print")
	err = fs.Parse(args)
	o.folder = fs.Arg(0)
	if err == nil && (fs.NArg() != 1 || o.workers < 1 || o.top < 0) {
		err = errors.New("wrong arguments")
		fs.Usage()
	}
	return o, err
}

func (o options) run(ctx context.Context, stdout, stderr io.Writer) error {
	logger := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	client, err := mq.OpenConfig(o.dsn, mq.Config{Logger: logger})
	if err != nil {
		return err
	}
	defer client.Close()
	work, err := os.MkdirTemp("", "wordcount-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	id := strconv.FormatInt(time.Now().UnixNano(), 36)
	queues := workflow.NewQueues(client, "w"+id+"_")
	if err := queues.Ensure(ctx); err != nil {
		return err
	}
	defer drop(queues, stderr)
	end, err := o.count(ctx, queues, workflow.TaskRequestMessage{TaskID: id, Folder: o.folder, Work: work})
	if err != nil {
		return err
	}
	return o.print(stdout, end)
}

// drop removes the queues. It may be that ctx has ended, so it has its own.
func drop(q *workflow.Queues, stderr io.Writer) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	if err := q.Drop(ctx); err != nil {
		fmt.Fprintln(stderr, "wordcount: some queues stay:", err)
	}
}

// count starts everybody, asks for the task and waits for its end.
func (o options) count(ctx context.Context, q *workflow.Queues, r workflow.TaskRequestMessage) (end workflow.TaskFinalizationMessage, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	start := func(run func(context.Context) error) {
		wg.Go(func() { cancel(run(ctx)) })
	}
	start(workflow.NewOrchestrator(q, workflow.Config{RetryDelay: time.Second}).Run)
	for range o.workers {
		start(workflow.NewWorker(q, workflow.Steps(), 2).Run)
	}
	if err := q.Submit(ctx, r); err != nil {
		return end, err
	}
	ends, err := q.Await(ctx, r.TaskID)
	if err != nil {
		return end, cmp.Or(context.Cause(ctx), err)
	}
	return ends[r.TaskID], nil
}

func (o options) print(w io.Writer, end workflow.TaskFinalizationMessage) error {
	fmt.Fprintf(w, "%s (steps: %d, retries: %d, errors: %d)\n", end.Status, end.Steps, end.Retries, len(end.Errors))
	for _, e := range end.Errors {
		fmt.Fprintf(w, "  %s of %s: %s\n", e.StepID, filepath.Base(e.Inputs[0]), e.Error)
	}
	if end.Output == "" {
		return errors.New("there is no result")
	}
	counts, err := workflow.ReadCounts(end.Output)
	if err != nil {
		return err
	}
	words := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	for _, word := range words[:min(o.top, len(words))] {
		fmt.Fprintf(w, "%7d  %s\n", counts[word], word)
	}
	if len(end.Errors) > 0 {
		return errors.New("not all files were counted")
	}
	return nil
}

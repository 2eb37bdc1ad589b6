package workflow

import (
	"context"
	"errors"
	"fmt"

	"github.com/portmq/mq"
)

// StepFunc carries out a step and returns the files that it found or made. It
// may be called more than once for one step, also at the same time. An error
// made by Permanent ends the step, any other lets it be tried again.
type StepFunc func(ctx context.Context, s StepMessage) (outputs []string, err error)

type permanentError struct{ error }

func (e permanentError) Unwrap() error { return e.error }

// Permanent marks an error that another attempt would run into again.
func Permanent(err error) error { return permanentError{err} }

// Worker carries out steps. Any number of them share the work.
type Worker struct {
	queues *Queues
	steps  map[string]StepFunc
	cfg    mq.ConsumerConfig
}

// NewWorker makes a Worker for the given namespaces; Run starts it.
// concurrency is how many steps of each namespace it does at once.
func NewWorker(q *Queues, steps map[string]StepFunc, concurrency int) *Worker {
	cfg := consuming
	cfg.Concurrency = concurrency
	cfg.Prefetch = -1 // a step may take long: leave the others to other workers
	return &Worker{queues: q, steps: steps, cfg: cfg}
}

// Run works until ctx ends.
func (w *Worker) Run(ctx context.Context) error {
	var runs []func(context.Context) error
	for namespace, do := range w.steps {
		runs = append(runs, func(ctx context.Context) error {
			return w.queues.Steps[namespace].Consume(ctx, func(ctx context.Context, s StepMessage) error {
				return w.handle(ctx, s, do)
			}, w.cfg)
		})
	}
	return together(ctx, runs...)
}

// handle does a step and reports the result. The step counts as done when the
// report has been sent; until then the message comes back.
func (w *Worker) handle(ctx context.Context, s StepMessage, do StepFunc) error {
	outputs, err := recovering(ctx, s, do)
	if err != nil && ctx.Err() != nil {
		return err // the worker stops, or has lost the lease: that is no result
	}
	r := StepExecutionResult{
		TaskID: s.TaskID, StepID: s.StepID, CorrelationID: s.CorrelationID, Attempt: s.Attempt,
		Outputs: outputs,
	}
	if err != nil {
		r.Outputs, r.Error, r.Permanent = nil, err.Error(), errors.As(err, new(permanentError))
	}
	_, err = w.queues.Results.Send(ctx, r)
	return err
}

// recovering makes an error of a panic: the orchestrator must hear of it.
func recovering(ctx context.Context, s StepMessage, do StepFunc) (outputs []string, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return do(ctx, s)
}

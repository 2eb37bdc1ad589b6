package workflow

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/portmq/mq"
)

// Config configures an Orchestrator. The zero value is the default.
type Config struct {
	// MaxAttempts is how often a step is tried. Defaults to 3.
	MaxAttempts int
	// RetryDelay is the pause before a step is tried again, where the
	// provider has delays. Defaults to none.
	RetryDelay time.Duration
}

// Orchestrator makes steps of tasks and tells when they have ended. There is
// one for all tasks.
type Orchestrator struct {
	queues *Queues
	cfg    Config

	mu    sync.Mutex
	tasks map[string]*task
}

// NewOrchestrator makes an Orchestrator; Run starts it.
func NewOrchestrator(q *Queues, cfg Config) *Orchestrator {
	if cfg.MaxAttempts == 0 {
		cfg.MaxAttempts = 3
	}
	if !q.client.Caps().Delay {
		cfg.RetryDelay = 0
	}
	return &Orchestrator{queues: q, cfg: cfg, tasks: make(map[string]*task)}
}

// consuming is for handlers whose only ordinary error is a send that failed.
var consuming = mq.ConsumerConfig{Backoff: mq.Exponential(100*time.Millisecond, 30*time.Second)}

// Run works until ctx ends.
func (o *Orchestrator) Run(ctx context.Context) error {
	return together(
		ctx,
		func(ctx context.Context) error { return o.queues.Requests.Consume(ctx, o.onRequest, consuming) },
		func(ctx context.Context) error { return o.queues.Results.Consume(ctx, o.onResult, consuming) },
	)
}

// together runs functions side by side. When one fails the others are stopped.
func together(ctx context.Context, runs ...func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	errs := make([]error, len(runs))
	var wg sync.WaitGroup
	for i, run := range runs {
		wg.Go(func() {
			if errs[i] = run(ctx); errs[i] != nil {
				stop()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// isID keeps an id from being a way out of the work folder.
var isID = regexp.MustCompile(`^[A-Za-z0-9_-]+$`).MatchString

func (o *Orchestrator) onRequest(ctx context.Context, r TaskRequestMessage) error {
	if !isID(r.TaskID) {
		return mq.Reject(fmt.Errorf("task id %q is not made of letters, digits, _ and -", r.TaskID))
	}
	o.mu.Lock()
	t := o.tasks[r.TaskID]
	if t == nil {
		t = newTask(r)
		o.tasks[r.TaskID] = t
	}
	o.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	return o.tell(ctx, t)
}

func (o *Orchestrator) onResult(ctx context.Context, r StepExecutionResult) error {
	o.mu.Lock()
	t := o.tasks[r.TaskID]
	o.mu.Unlock()
	if t == nil {
		return mq.Reject(fmt.Errorf("unknown task %q", r.TaskID))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.told {
		return nil // a result that is known already
	}
	if err := t.record(r, o.cfg.MaxAttempts); err != nil {
		return mq.Reject(err)
	}
	return o.tell(ctx, t)
}

// tell sends what follows from the state of t. If that fails, the message that
// led here comes back, changes nothing any more, and leads here again.
func (o *Orchestrator) tell(ctx context.Context, t *task) error {
	if err := o.sendSteps(ctx, t); err != nil {
		return err
	}
	if t.phase != ended || t.told {
		return nil
	}
	if _, err := o.queues.Finalizations.Send(ctx, t.result()); err != nil {
		return err
	}
	t.told = true
	t.steps, t.outputs, t.errors = nil, nil, nil // what stays is that the id is taken
	return nil
}

func (o *Orchestrator) sendSteps(ctx context.Context, t *task) error {
	var first, again []StepMessage
	var queue mq.TypedQueue[StepMessage]
	for _, s := range t.toSend() {
		queue = o.queues.Steps[s.namespace]
		if s.Attempt == 1 {
			first = append(first, s.StepMessage)
		} else {
			again = append(again, s.StepMessage)
		}
	}
	if err := sendAll(ctx, queue, first); err != nil {
		return err
	}
	if err := sendAll(ctx, queue, again, mq.Delay(o.cfg.RetryDelay)); err != nil {
		return err
	}
	t.unsent = nil
	return nil
}

func sendAll(ctx context.Context, q mq.TypedQueue[StepMessage], ms []StepMessage, opts ...mq.SendOption) error {
	if len(ms) == 0 {
		return nil
	}
	_, err := q.SendAll(ctx, ms, opts...)
	return err
}

package workflow

import (
	"context"
	"errors"

	"github.com/portmq/mq"
)

// The namespaces of steps. Each has a queue of its own, so that its workers
// can be as many as it needs.
const (
	Split = "split" // lists the files of a folder
	Count = "count" // counts the words of a file
	Merge = "merge" // adds up counts
)

// Queues are the queues of a workflow, as one client sees them.
type Queues struct {
	Requests      mq.TypedQueue[TaskRequestMessage]
	Results       mq.TypedQueue[StepExecutionResult]
	Finalizations mq.TypedQueue[TaskFinalizationMessage]
	Steps         map[string]mq.TypedQueue[StepMessage] // by namespace

	client *mq.Client
}

// NewQueues returns handles on the queues whose names begin with prefix.
func NewQueues(c *mq.Client, prefix string) *Queues {
	q := &Queues{
		Requests:      mq.Of[TaskRequestMessage](c.Queue(prefix + "orchestration_task_requests")),
		Results:       mq.Of[StepExecutionResult](c.Queue(prefix + "orchestration_step_results")),
		Finalizations: mq.Of[TaskFinalizationMessage](c.Queue(prefix + "orchestration_task_finalizations")),
		Steps:         make(map[string]mq.TypedQueue[StepMessage]),
		client:        c,
	}
	for _, namespace := range []string{Split, Count, Merge} {
		q.Steps[namespace] = mq.Of[StepMessage](c.Queue(prefix + "worker_" + namespace + "_queue"))
	}
	return q
}

func (q *Queues) names() []string {
	names := []string{q.Requests.Queue().Name(), q.Results.Queue().Name(), q.Finalizations.Queue().Name()}
	for _, steps := range q.Steps {
		names = append(names, steps.Queue().Name())
	}
	return names
}

// Ensure creates the queues that are not there.
func (q *Queues) Ensure(ctx context.Context) error {
	for _, name := range q.names() {
		if _, err := q.client.EnsureQueue(ctx, name, mq.QueueOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// Drop removes the queues.
func (q *Queues) Drop(ctx context.Context) error {
	var errs []error
	for _, name := range q.names() {
		errs = append(errs, q.client.DropQueue(ctx, name))
	}
	return errors.Join(errs...)
}

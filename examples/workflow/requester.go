package workflow

import (
	"context"
	"errors"
	"fmt"

	"github.com/portmq/mq"
)

// Submit asks for a task. If it fails it may be repeated.
func (q *Queues) Submit(ctx context.Context, r TaskRequestMessage) error {
	_, err := q.Requests.Send(ctx, r)
	return err
}

// Await waits until the tasks have ended. It takes the messages on all tasks,
// so there must be one call at a time.
func (q *Queues) Await(ctx context.Context, taskIDs ...string) (map[string]TaskFinalizationMessage, error) {
	awaited := make(map[string]bool)
	for _, id := range taskIDs {
		awaited[id] = true
	}
	ends := make(map[string]TaskFinalizationMessage)
	for d, err := range q.Finalizations.Messages(ctx, mq.ReceiveOptions{Wait: mq.Forever}) {
		if err != nil {
			return ends, err
		}
		end, err := d.Value()
		switch {
		case err != nil:
			err = d.Archive(ctx, err.Error())
		case !awaited[end.TaskID]:
			err = d.Archive(ctx, fmt.Sprintf("nobody awaits task %q", end.TaskID))
		default:
			ends[end.TaskID] = end // the same again, if it came twice
			err = d.Ack(ctx)
		}
		if err != nil && !errors.Is(err, mq.ErrStaleReceipt) {
			return ends, err
		}
		if len(ends) == len(awaited) {
			return ends, nil
		}
	}
	return ends, ctx.Err()
}

package mqui

import (
	"cmp"
	"context"
	"time"

	"github.com/portmq/mq"
)

func (a *acting) override(ctx context.Context, s mq.Settlement) (err error) {
	a.count, err = a.queue.Override(ctx, a.ids, s)
	return err
}

func archiveMessages(ctx context.Context, a *acting) error {
	a.note = cmp.Or(a.value("reason"), "by an operator")
	return a.override(ctx, mq.Settlement{Op: mq.OpArchive, Reason: a.note})
}

func removeMessages(ctx context.Context, a *acting) error {
	return a.override(ctx, mq.Settlement{Op: mq.OpAck})
}

func moveMessages(ctx context.Context, a *acting) error {
	to := a.value("to")
	if to == "" {
		return badRequest("no queue is named as the target")
	}
	a.note = "to " + to
	return a.override(ctx, mq.Settlement{Op: mq.OpMove, To: to, Reason: "moved by an operator"})
}

// releaseMessages makes messages visible, now or after a delay, whoever holds them.
func releaseMessages(ctx context.Context, a *acting) error {
	delay, err := a.duration("delay")
	if err != nil {
		return err
	}
	return a.override(ctx, mq.Settlement{Op: mq.OpNack, Delay: delay})
}

func (a *acting) duration(name string) (time.Duration, error) {
	text := a.value(name)
	if text == "" {
		return 0, nil
	}
	d, err := parseDuration(text)
	if err != nil {
		return 0, badRequest(err.Error())
	}
	return d, nil
}

func redriveMessages(ctx context.Context, a *acting) (err error) {
	a.count, err = a.queue.Redrive(ctx, mq.RedriveOptions{IDs: a.ids})
	return err
}

func removeArchived(ctx context.Context, a *acting) (err error) {
	a.count, err = a.queue.RemoveArchived(ctx, a.ids)
	return err
}

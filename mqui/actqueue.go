package mqui

import (
	"context"
	"strings"

	"github.com/portmq/mq"
)

func purgeQueue(ctx context.Context, a *acting) (err error) {
	a.count, err = a.queue.Purge(ctx)
	return err
}

func purgeArchive(ctx context.Context, a *acting) error {
	age, err := a.duration("age")
	if err != nil {
		return err
	}
	a.note = "older than " + duration(age)
	if age == 0 {
		age, a.note = mq.AnyAge, "all of it"
	}
	a.count, err = a.queue.PurgeArchive(ctx, age)
	return err
}

func dropQueue(ctx context.Context, a *acting) error {
	stats, err := a.queue.Stats(ctx)
	if err != nil {
		return err // it cannot say how much it would drop
	}
	if err := a.source.Client.DropQueue(ctx, a.queue.Name()); err != nil {
		return err
	}
	a.count = max(stats.Total, 0) + max(stats.Archived, 0)
	a.said, a.to = "queue "+a.queue.Name()+" dropped, with "+plural(a.count, "message"), "./"
	return nil
}

func pauseQueue(ctx context.Context, a *acting) error {
	by := a.viewer.key()
	if why := a.value("reason"); why != "" {
		by += ": " + why
	}
	a.said, a.note = "paused for all consumers of mq", by
	return a.queue.Pause(ctx, by)
}

func resumeQueue(ctx context.Context, a *acting) error {
	a.said = "resumed"
	return a.queue.Resume(ctx)
}

func bindQueue(ctx context.Context, a *acting) error {
	a.note = a.value("pattern")
	a.said = "bound to " + a.note
	return a.queue.Bind(ctx, a.note)
}

func unbindQueue(ctx context.Context, a *acting) error {
	a.note = a.value("pattern")
	a.said = "no longer bound to " + a.note
	return a.queue.Unbind(ctx, a.note)
}

func runSchedule(ctx context.Context, a *acting) error {
	if a.source.Schedules == nil {
		return errCannot
	}
	a.note = a.value("name")
	id, err := a.source.Schedules.Run(ctx, a.note)
	if err != nil {
		return err
	}
	a.count, a.said = 1, "schedule "+a.note+" has sent message "+id
	return nil
}

// sendMessage sends one message.
func sendMessage(ctx context.Context, a *acting) error {
	delay, err := a.duration("delay")
	if err != nil {
		return err
	}
	headers, err := readHeaders(a.value("headers"))
	if err != nil {
		return err
	}
	// A form ends each line with CR LF, whatever was typed.
	body := strings.ReplaceAll(a.value("body"), "\r\n", "\n")
	id, err := a.queue.Send(ctx, &mq.Message{Body: []byte(body), Headers: headers, Group: a.value("group"), Delay: delay})
	if err != nil {
		return err
	}
	a.count, a.note, a.said = 1, "id "+id, "message "+id+" sent"
	return nil
}

// readHeaders reads lines of name=value.
func readHeaders(text string) (mq.Headers, error) {
	var h mq.Headers
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		switch {
		case !ok || name == "":
			return nil, badRequest("give each header as name=value, one per line")
		case h == nil:
			h = make(mq.Headers)
		}
		h[name] = value
	}
	return h, nil
}

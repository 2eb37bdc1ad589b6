package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/portmq/mq"
)

// item is a message and the line it came from, or why there are no more.
type item struct {
	message *mq.Message
	line    int
	size    int   // in memory
	offset  int64 // in the input, behind it
	err     error // io.EOF at the end
}

// maxSendBytes is about how much is sent at once. What comes slowly is not
// waited for.
const maxSendBytes = 4 << 20

// sendTime is how long one batch may take.
const sendTime = time.Minute

// target is where messages are sent to.
type target struct {
	limit int // of a batch
	send  func(context.Context, []*mq.Message) (ids []string, err error)
	done  doneLine // what is shown at the end, except for the count
}

func toQueue(q *mq.Queue) target {
	return target{q.Client().Caps().BatchLimit(), q.SendAll, doneLine{Done: "sent", Queue: q.Name()}}
}

// toTopic publishes: all messages of a batch, or if it fails none that is known of.
func toTopic(c *mq.Client, topic string) target {
	publish := func(ctx context.Context, msgs []*mq.Message) ([]string, error) {
		_, err := c.Publish(ctx, topic, msgs...)
		return nil, err
	}
	return target{c.Caps().BatchLimit(), publish, doneLine{Done: "published", Topic: topic}}
}

// sender sends what a reader reads, and knows how far it is.
type sender struct {
	to       target
	items    chan item
	ahead    *budget // of what is in items
	progress *progress
	inBytes  bool // the progress is in those of the input

	sent     int64
	through  int    // the last line of what was sent
	unsent   []int  // lines of the last batch that were not
	doubtful string // lines of which it is not known
}

// sendAll sends everything that r reads, in batches, and says at the end or
// upon an error what has been sent.
func (a *app) sendAll(ctx context.Context, to target, r *reader) error {
	s := &sender{to: to, items: make(chan item, to.limit), ahead: newBudget(2 * maxSendBytes), inBytes: r.size >= 0}
	if s.inBytes {
		s.progress = a.newProgress(r.size, "sending", "bytes")
	} else {
		s.progress = a.newProgress(-1, "sending", "messages")
	}
	start := time.Now()
	go s.read(ctx, r)
	err := s.run(ctx)
	s.progress.end()
	if err != nil {
		return fmt.Errorf("%w (%s)", err, s.summary())
	}
	to.done.Count = s.sent
	if s.inBytes {
		to.done.Took = time.Since(start).Seconds()
	}
	return a.done(to.done)
}

// read reads until the input or ctx ends. It may be left waiting for input.
func (s *sender) read(ctx context.Context, r *reader) {
	for {
		m, line, err := r.next()
		it := item{message: m, line: line, offset: r.offset, err: err}
		if m != nil {
			it.size = weight(m.Body, m.Headers)
		}
		if !s.ahead.take(ctx, it.size) {
			return
		}
		select {
		case s.items <- it:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

func (s *sender) run(ctx context.Context) error {
	for {
		batch, err := s.batch(ctx)
		if len(batch) > 0 {
			if err := s.send(ctx, batch); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// batch waits for a message and adds those that are there already. An error
// comes after the messages in front of it.
func (s *sender) batch(ctx context.Context) (batch []item, err error) {
	size := 0
	for len(batch) < s.to.limit && size < maxSendBytes {
		it, ok, err := s.next(ctx, len(batch) == 0)
		if err != nil || !ok {
			return batch, err
		}
		batch = append(batch, it)
		size += it.size
	}
	return batch, nil
}

// next returns the next message, if there is one or if it is to wait.
func (s *sender) next(ctx context.Context, wait bool) (it item, ok bool, err error) {
	if ctx.Err() != nil {
		return it, false, context.Cause(ctx)
	}
	if wait {
		select {
		case it = <-s.items:
		case <-ctx.Done():
			return it, false, context.Cause(ctx)
		}
	} else {
		select {
		case it = <-s.items:
		default:
			return it, false, nil
		}
	}
	s.ahead.give(it.size)
	switch {
	case errors.Is(it.err, io.EOF):
		return it, false, io.EOF
	case it.err != nil:
		return it, false, &usageError{fmt.Errorf("line %d: %w", it.line, it.err)}
	}
	return it, true, nil
}

// send sends a batch. A signal does not cut it off: what was sent shall be
// known. If one of its messages cannot be sent, those in front of it are.
func (s *sender) send(ctx context.Context, batch []item) error {
	ids, err := s.call(ctx, batch)
	if errs := (*mq.BatchError)(nil); isRefusal(err) && !errors.As(err, &errs) {
		if len(batch) > 1 {
			return s.sendEach(ctx, batch)
		}
		err = fmt.Errorf("line %d: %w", batch[0].line, err)
	}
	return s.note(batch, ids, err)
}

// sendEach sends message by message, up to the first that cannot be sent.
func (s *sender) sendEach(ctx context.Context, batch []item) error {
	for i := range batch {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := s.send(ctx, batch[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (s *sender) call(ctx context.Context, batch []item) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTime)
	defer cancel()
	msgs := make([]*mq.Message, len(batch))
	for i, it := range batch {
		msgs[i] = it.message
	}
	return s.to.send(ctx, msgs)
}

// note takes down what came of a batch, and returns err.
func (s *sender) note(batch []item, ids []string, err error) error {
	sent := 0
	for i, it := range batch {
		if err == nil || i < len(ids) && ids[i] != "" {
			sent++
		} else {
			s.unsent = append(s.unsent, it.line)
		}
	}
	s.sent += int64(sent)
	if s.inBytes {
		s.progress.to(batch[len(batch)-1].offset, "sending, "+plural(s.sent, "message"))
	} else {
		s.progress.add(sent)
	}
	if err == nil || len(s.unsent) == 0 {
		s.through = batch[len(batch)-1].line
		return err
	}
	if errors.Is(err, mq.ErrUnavailable) {
		s.doubtful = lines(s.unsent)
	}
	if sent > 0 {
		s.through = batch[len(batch)-1].line
	}
	return err
}

// summary says which lines have been sent.
func (s *sender) summary() string {
	if s.sent == 0 && s.doubtful == "" {
		return "nothing was sent"
	}
	text := "sent " + plural(s.sent, "message")
	if s.sent > 0 {
		text += fmt.Sprintf(", up to line %d", s.through)
	}
	switch {
	case s.doubtful != "":
		return text + "; not known of " + s.doubtful
	case len(s.unsent) > 0 && s.sent > 0 && s.unsent[0] < s.through:
		return text + " but for " + lines(s.unsent)
	}
	return text
}

// lines names lines, in short: line 3, or lines 3-5 and 9.
func lines(numbers []int) string {
	var parts []string
	for i := 0; i < len(numbers); {
		j := i
		for j+1 < len(numbers) && numbers[j+1] == numbers[j]+1 {
			j++
		}
		part := fmt.Sprint(numbers[i])
		if j > i {
			part = fmt.Sprintf("%d-%d", numbers[i], numbers[j])
		}
		parts, i = append(parts, part), j+1
	}
	if len(numbers) == 1 {
		return "line " + parts[0]
	}
	return "lines " + strings.Join(parts, ", ")
}

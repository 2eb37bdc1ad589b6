package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/portmq/mq"
)

// maxBatch is how many lines are sent at once.
const maxBatch = 100

// line is a line of the input, an order or not.
type line struct {
	number    int
	text      []byte
	customer  string
	malformed bool
}

func parse(number int, text []byte) line {
	var o Order
	if err := json.Unmarshal(text, &o); err != nil {
		return line{number: number, text: text, malformed: true}
	}
	return line{number: number, text: text, customer: o.Customer}
}

// feed sends every line of in, in order.
func (j *job) feed(ctx context.Context, in io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines, failed := make(chan line, maxBatch), make(chan error, 1)
	go func() {
		failed <- j.read(ctx, in, lines)
		close(lines)
	}()
	for {
		batch, err := gather(ctx, lines)
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			j.tally.update(func(t *tally) { t.fed = true })
			return <-failed
		}
		if err := j.send(ctx, batch); err != nil {
			return err
		}
	}
}

// read has its own goroutine, because nothing interrupts a Read.
func (j *job) read(ctx context.Context, in io.Reader, lines chan<- line) error {
	r := bufio.NewReader(in)
	for number := 1; ; number++ {
		text, err := r.ReadBytes('\n')
		if text = bytes.TrimSpace(text); len(text) > 0 {
			j.tally.update(func(t *tally) { t.Lines++ })
			select {
			case lines <- parse(number, text):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
	}
}

// gather waits for a line and takes what else is there: a slow input is sent
// line by line, a fast one in batches. No line means the end.
func gather(ctx context.Context, lines <-chan line) (batch []line, err error) {
	for len(batch) == 0 || len(batch) < maxBatch && len(lines) > 0 {
		select {
		case l, ok := <-lines:
			if !ok {
				return batch, nil
			}
			batch = append(batch, l)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return batch, nil
}

// send sends lines and takes note of those that the queue refuses.
func (j *job) send(ctx context.Context, batch []line) error {
	msgs := make([]*mq.Message, len(batch))
	for i, l := range batch {
		msgs[i] = j.message(l)
	}
	at := time.Now()
	ids, err := j.queue.SendAll(ctx, msgs)
	some := (*mq.BatchError)(nil)
	switch {
	case err == nil:
		j.sent(batch, ids, at)
	case errors.As(err, &some):
		for i, err := range some.Errs {
			if err != nil {
				j.refused(batch[i], err)
			} else {
				j.sent(batch[i:i+1], ids[i:i+1], at)
			}
		}
	case errors.Is(err, mq.ErrInvalid) && len(batch) == 1:
		j.refused(batch[0], err)
	case errors.Is(err, mq.ErrInvalid):
		return j.sendEach(ctx, batch)
	default:
		return err
	}
	return nil
}

// sendEach finds the line that spoiled a batch, none of which was sent.
func (j *job) sendEach(ctx context.Context, batch []line) error {
	for i := range batch {
		if err := j.send(ctx, batch[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

// message carries a line as it is, malformed or not: what is to become of it
// is for the consumer to decide.
func (j *job) message(l line) *mq.Message {
	m := &mq.Message{Body: l.text}
	if j.inOrder {
		m.Group = l.customer
	}
	return m
}

func (j *job) sent(batch []line, ids []string, at time.Time) {
	j.tally.update(func(t *tally) {
		for i, l := range batch {
			t.sent[ids[i]] = sending{l.number, at}
			if l.malformed {
				t.Malformed++
			}
		}
		t.Sent += len(batch)
	})
}

func (j *job) refused(l line, err error) {
	j.tally.update(func(t *tally) {
		t.refused = append(t.refused, refusal{l.number, err})
		t.Refused++
	})
}

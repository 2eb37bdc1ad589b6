package mq

import (
	"context"
	"errors"
	"fmt"
)

// checkDeadLetters asks whether the queue DeadLetter is there, rather than find
// out at the first dead letter. A backend that does not answer is no reason to
// end.
func (c *Consumer) checkDeadLetters(ctx context.Context) error {
	if c.cfg.DeadLetter == "" {
		return nil
	}
	_, err := c.look(ctx, c.queue.client.Queue(c.cfg.DeadLetter))
	if errors.Is(err, ErrQueueNotFound) {
		return fmt.Errorf("ConsumerConfig.DeadLetter %q: %w", c.cfg.DeadLetter, ErrQueueNotFound)
	}
	c.warnNoPlace(err)
	return nil
}

// lookAtArchive warns if the queue seems to have no archive for its dead letters.
// It looks until the backend answers, and keeps nobody waiting.
func (c *Consumer) lookAtArchive(ctx context.Context) {
	if c.cfg.DeadLetter != "" {
		return
	}
	c.queue.client.background(func(error) {}, func() {
		for pause := minFetchPause; ; pause = min(2*pause, maxFetchPause) {
			s, err := c.look(ctx, c.queue)
			if err == nil && s.Archived < 0 {
				c.log.Warn("mq: dead letters may find no place, the queue's archive is missing or cannot be counted (make it with EnsureQueue, or set ConsumerConfig.DeadLetter)")
			}
			if err == nil || definite(err) {
				c.warnNoPlace(err)
				return
			}
			if sleep(ctx, jitter(pause)) != nil {
				return
			}
		}
	})
}

// look asks for a queue's figures.
func (c *Consumer) look(ctx context.Context, q *Queue) (Stats, error) {
	client := c.queue.client
	ctx, cancel := client.callTimeout().within(unattended(ctx, client.limits()))
	defer cancel()
	return q.Stats(ctx)
}

// warnNoPlace logs what a backend says that was there and refused.
func (c *Consumer) warnNoPlace(err error) {
	if err == nil || !definite(err) || errors.Is(err, ErrNotSupported) || errors.Is(err, ErrClosed) {
		return
	}
	c.log.Warn("mq: dead letters may find no place, the queue that they go to could not be looked at", "dead_letter", c.cfg.DeadLetter, "error", err)
}

package mq

import (
	"context"
	"errors"
	"fmt"
)

// checkDeadLetters checks that the queue DeadLetter exists, so that Run fails at
// the start and not at the first dead letter. A backend that does not answer is
// no reason to end.
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
// It tries in the background until the backend answers.
func (c *Consumer) lookAtArchive(ctx context.Context) {
	if c.cfg.DeadLetter != "" {
		return
	}
	c.queue.client.background(func(error) {}, func() {
		for pause := minFetchPause; ; pause = min(2*pause, maxFetchPause) {
			s, err := c.look(ctx, c.queue)
			if err == nil && s.Archived < 0 {
				c.log.Warn("mq: dead letters may have nowhere to go, the queue's archive is missing or cannot be counted (make it with EnsureQueue, or set ConsumerConfig.DeadLetter)")
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

// warnNoPlace logs the error of a backend that was there and refused.
func (c *Consumer) warnNoPlace(err error) {
	if err == nil || !definite(err) || errors.Is(err, ErrNotSupported) || errors.Is(err, ErrClosed) {
		return
	}
	c.log.Warn("mq: dead letters may have nowhere to go, their queue could not be checked", "dead_letter", c.cfg.DeadLetter, "error", err)
}

package mq

import (
	"context"
	"errors"
	"fmt"
)

// checkDeadLetters asks whether dead letters have a place to go to, rather than
// find out at the first one. A backend that does not answer is no reason to end.
func (c *Consumer) checkDeadLetters(ctx context.Context) error {
	if c.cfg.DeadLetter == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.queue.client.cfg.CallTimeout)
	defer cancel()
	err := recovered(func() error {
		_, err := c.queue.client.Queue(c.cfg.DeadLetter).Stats(ctx)
		return err
	})
	if errors.Is(err, ErrQueueNotFound) {
		return fmt.Errorf("ConsumerConfig.DeadLetter %q: %w", c.cfg.DeadLetter, ErrQueueNotFound)
	}
	c.warnNoPlace(err)
	return nil
}

// lookAtArchive asks the same of a queue that has been received from, whose
// archive may be missing. It does not keep anybody waiting.
func (c *Consumer) lookAtArchive() {
	if c.cfg.DeadLetter != "" {
		return
	}
	c.background(func(error) {}, func() {
		ctx, cancel := context.WithTimeout(c.handlers, c.queue.client.cfg.CallTimeout)
		defer cancel()
		c.warnNoPlace(recovered(func() error {
			_, err := c.queue.Stats(ctx)
			return err
		}))
	})
}

// warnNoPlace logs what a backend says that was there and refused.
func (c *Consumer) warnNoPlace(err error) {
	if err != nil && definite(err) && !errors.Is(err, ErrNotSupported) && !errors.Is(err, ErrClosed) {
		c.log.Warn("mq: dead letters may find no place, the queue that they go to could not be looked at", "dead_letter", c.cfg.DeadLetter, "error", err)
	}
}

package mq

import (
	"context"
	"errors"
	"time"

	"github.com/portmq/mq/driver"
)

// The bounds of how often a Consumer looks for what has been archived for too long: ten
// times within ConsumerConfig.KeepArchive.
const minPurgePause, maxPurgePause = time.Minute, time.Hour

// keepArchive purges the archive now and then until ctx ends. Providers delete in small
// batches, so that nobody waits for it.
func (c *Consumer) keepArchive(ctx context.Context) {
	keep := c.cfg.KeepArchive
	if keep == 0 {
		return
	}
	every := min(max(keep/10, minPurgePause), maxPurgePause)
	c.queue.client.background(func(error) {}, func() {
		for sleep(ctx, jitter(every)) == nil {
			n, err := c.queue.PurgeArchive(unattended(ctx, c.queue.client.limits()), keep)
			c.count(func(s *ConsumerStats) { s.Purged += n })
			if err != nil && ctx.Err() == nil {
				c.log.Warn("mq: the archive could not be purged, trying again later", "older_than", keep, "error", err)
			}
		}
	})
}

// checkKeepArchive returns what is wrong with KeepArchive.
func (cfg ConsumerConfig) checkKeepArchive(c *Client) error {
	switch _, err := optional[driver.Archivist](c.provider); {
	case cfg.KeepArchive < 0:
		return invalid("KeepArchive %v is negative", cfg.KeepArchive)
	case cfg.KeepArchive > 0 && errors.Is(err, ErrNotSupported):
		return unsupported("ConsumerConfig.KeepArchive")
	}
	return nil
}

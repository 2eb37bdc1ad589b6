package mq

import (
	"context"
	"errors"
	"time"
)

// behind reports whether too many settlements are under way to fetch more: each
// holds its message. c.mu is held.
func (c *Consumer) behind() bool {
	bytes := max(c.cfg.PrefetchBytes, c.concurrency*c.intake.size)
	return c.unsettled >= 2*c.queue.client.caps.BatchLimit() || c.intake.unsettled > bytes
}

// room returns how many messages to fetch now. c.mu is held.
func (c *Consumer) room() int {
	limit := c.queue.client.caps.BatchLimit()
	if c.paused || c.queuePaused || c.isolated() || c.behind() {
		return 0
	}
	c.prefetch = c.wantPrefetch(limit)
	if len(c.buffer) > c.prefetch/2 || c.intake.buffered > c.cfg.PrefetchBytes/2 {
		return 0
	}
	free := c.concurrency + c.prefetch - c.running - len(c.buffer)
	n := max(0, min(free, limit, c.intake.most(c.cfg.PrefetchBytes)))
	if n > 0 {
		n = c.rate.room(n)
	}
	return n
}

// prefetchAhead is how much work is prefetched: enough to hide a round trip,
// little enough for another process to get its share.
const prefetchAhead = 100 * time.Millisecond

// groupsAhead bounds the prefetch of heads, in concurrencies: what is buffered
// keeps a group from going on elsewhere.
const groupsAhead = 4

// defaultPrefetchBytes is the default of ConsumerConfig.PrefetchBytes.
const defaultPrefetchBytes = 16 << 20

// wantPrefetch adapts the prefetch to the handlers' pace, doubling it at most.
// The first fetch is for the workers only: it shows what is in the queue. c.mu
// is held.
func (c *Consumer) wantPrefetch(limit int) int {
	switch {
	case c.cfg.Prefetch < 0 || !c.intake.known:
		return 0
	case c.cfg.Prefetch > 0:
		return c.cfg.Prefetch
	case c.pace == 0 || c.pace >= prefetchAhead:
		return 0
	}
	ahead := min(prefetchAhead, c.cfg.Visibility/4)
	n := int(ahead * time.Duration(c.concurrency) / c.pace)
	if c.cfg.Groups != nil {
		n = min(n, groupsAhead*c.concurrency)
	}
	return min(n, limit, 2*max(c.prefetch, c.concurrency))
}

// intake is what a Consumer knows of the messages that come: how large they
// are, how many bytes wait in the buffer, and how many messages one fetch can
// bring. It is guarded by the Consumer's mutex.
type intake struct {
	known     bool // something has come
	size      int  // bytes of a message: up to the mean of a fetch at once, down slowly
	buffered  int  // bytes in the buffer
	unsettled int  // bytes of messages whose settlement is under way
	limit     int  // messages of one fetch, after one that was cut off or brought a suspicious one; 0 is no limit
}

// weight is roughly what a delivery takes in memory, with the copy that is kept
// for moves in two steps. Only its body is copied; header texts are shared.
func weight(d *Delivery) int {
	const fixed = 512
	n := fixed + len(d.Body)
	for k, v := range d.Headers {
		n += len(k) + len(v)
	}
	if d.queue != nil && d.queue.client.movesByCopy() {
		n += len(d.lease.rare.original.Body)
	}
	return n
}

// fetched takes note of a fetch of up to n messages, which go into the buffer.
func (in *intake) fetched(n, batch int, ds []*Delivery, err error) {
	switch {
	case len(ds) > 0:
		in.add(ds)
		if in.limit > 0 && len(ds) >= in.limit {
			in.grow(batch)
		}
	case isCutOff(err):
		// All of it will come again. Half as much may get through.
		in.limit = max(1, n/2)
	}
}

func (in *intake) add(ds []*Delivery) {
	total := 0
	for _, d := range ds {
		total += weight(d)
	}
	mean := total / len(ds)
	if in.size += (mean - in.size) / 8; mean > in.size {
		in.size = mean
	}
	in.known = true
	in.buffered += total
}

func (in *intake) remove(d *Delivery) { in.buffered -= weight(d) }

// grow raises the limit by an eighth.
func (in *intake) grow(batch int) {
	if in.limit += max(1, in.limit/8); in.limit >= batch {
		in.limit = 0
	}
}

// isCutOff reports whether err may say that a fetch was too much for one call.
func isCutOff(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrTooLarge)
}

// most returns how many messages one fetch may bring when that many bytes may
// wait: one at least.
func (in *intake) most(bytes int) int {
	n := bytes
	if in.size > 0 {
		n = max(1, (bytes-in.buffered)/in.size)
	}
	if in.limit > 0 {
		n = min(n, in.limit)
	}
	return n
}

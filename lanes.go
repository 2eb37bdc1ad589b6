package mq

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"time"
	"weak"

	"github.com/portmq/mq/driver"
)

// lanes are the ways of one queue, shared by its handles. The Client does not
// keep them: when the last handle and the last flight are gone, so are they.
type lanes struct {
	send   lane[driver.Message]
	unique lane[unique] // messages with keys
	settle lane[Settlement]
	extend lane[extension]
}

// extension is one lease to prolong.
type extension struct {
	receipt    Receipt
	visibility time.Duration
	patience   *timeLimit // how long the call may take
}

func (c *Client) lanesOf(queue string) *lanes {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.lanes[queue].Value(); l != nil {
		return l
	}
	l := c.newLanes(queue)
	c.lanes[queue] = weak.Make(l)
	runtime.AddCleanup(l, c.forget, queue)
	return l
}

// forget removes the entry of lanes that are gone. The queue may have new ones
// by now.
func (c *Client) forget(queue string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lanes[queue].Value() == nil {
		delete(c.lanes, queue)
	}
}

func (c *Client) newLanes(queue string) *lanes {
	return &lanes{
		send: lane[driver.Message]{
			client: c,
			size:   func(m driver.Message) int { return len(m.Body) },
			hold:   cloneMessages,
			apart:  !c.caps.AtomicSend, // else a caller may rely on all or nothing
			fly: func(ctx context.Context, msgs []driver.Message) ([]string, error) {
				return c.flySend(ctx, queue, msgs)
			},
		},
		unique: lane[unique]{
			client: c,
			size:   func(m unique) int { return len(m.Body) },
			most:   maxUnique,
			hold:   cloneUnique,
			apart:  !c.caps.AtomicSend,
			fly: func(ctx context.Context, items []unique) ([]string, error) {
				return c.flyUnique(ctx, queue, items)
			},
		},
		settle: lane[Settlement]{
			client: c,
			apart:  true,
			mixed:  true,
			fly: func(ctx context.Context, s []Settlement) ([]string, error) {
				return nil, c.flySettle(ctx, queue, s)
			},
		},
		extend: lane[extension]{
			client:  c,
			timeout: mostPatient,
			merges:  func(a, b extension) bool { return a.visibility == b.visibility },
			apart:   true,
			mixed:   true,
			fly: func(ctx context.Context, es []extension) ([]string, error) {
				return nil, c.flyExtend(ctx, queue, es)
			},
		},
	}
}

func (c *Client) flySend(ctx context.Context, queue string, msgs []driver.Message) (ids []string, err error) {
	err = try(ctx, func(ctx context.Context) (err error) {
		ids, err = c.provider.Send(ctx, queue, msgs)
		if len(ids) != len(msgs) {
			if err == nil {
				err = wrongCount(len(ids), len(msgs))
			}
			ids = nil
		}
		return err
	})
	return ids, err
}

func wrongCount(ids, messages int) error {
	return fmt.Errorf("%w (driver defect: %d ids for %d messages)", ErrUnavailable, ids, messages)
}

func (c *Client) flySettle(ctx context.Context, queue string, s []Settlement) error {
	return try(ctx, func(ctx context.Context) error { return c.provider.Settle(ctx, queue, s) })
}

// flyExtend extends leases, all by as much.
func (c *Client) flyExtend(ctx context.Context, queue string, es []extension) error {
	receipts := make([]Receipt, len(es))
	for i, e := range es {
		receipts[i] = e.receipt
	}
	return try(ctx, func(ctx context.Context) error {
		return c.provider.Extend(ctx, queue, receipts, es[0].visibility)
	})
}

func cloneMessages(msgs []driver.Message) []driver.Message {
	out := slices.Clone(msgs)
	for i := range out {
		out[i].Body = bytes.Clone(out[i].Body)
		out[i].Headers = maps.Clone(out[i].Headers)
	}
	return out
}

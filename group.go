package mq

import (
	"context"

	"github.com/portmq/mq/driver"
)

// GroupOptions say how to receive from one group.
type GroupOptions struct {
	ReceiveOptions
	// Holding are the receipts of the group's messages that the caller holds.
	// If anybody else holds one, nothing is received.
	Holding []Receipt
	// IncludeDelayed takes messages whose delay has not ended as well.
	IncludeDelayed bool
}

// ReceiveGroups leases the oldest message of up to o.Max free groups, one of
// each: a group is free if no message of it is leased and its oldest one is
// visible. Among callers of ReceiveGroups and ReceiveGroup each group is
// worked on in order, by one holder at a time. Delivery.GroupKey is the group,
// "" for a message that has none and is a group of its own.
func (q *Queue) ReceiveGroups(ctx context.Context, by GroupBy, o ReceiveOptions) ([]*Delivery, error) {
	req, err := q.request(o, 1)
	return q.receive(ctx, "receive groups", req, err, func(ctx context.Context, q *Queue, r driver.ReceiveRequest) ([]driver.Delivery, error) {
		g, err := q.client.groups()
		if err != nil {
			return nil, err
		}
		return g.ReceiveGroups(ctx, q.name, driver.GroupRequest{ReceiveRequest: r, By: by})
	})
}

// ReceiveGroup leases up to o.Max further messages of one group, in order, and
// stops in front of a delayed one.
func (q *Queue) ReceiveGroup(ctx context.Context, by GroupBy, value string, o GroupOptions) ([]*Delivery, error) {
	req, err := q.request(o.ReceiveOptions, 1)
	return q.receive(ctx, "receive group", req, err, func(ctx context.Context, q *Queue, r driver.ReceiveRequest) ([]driver.Delivery, error) {
		g, err := q.client.groups()
		if err != nil {
			return nil, err
		}
		return g.ReceiveGroup(ctx, q.name, driver.GroupDrainRequest{
			ReceiveRequest: r, By: by, Value: value, Holding: o.Holding, IncludeDelayed: o.IncludeDelayed,
		})
	})
}

// groups returns what receives by group, if the provider declares that it does.
func (c *Client) groups() (driver.GroupReceiver, error) {
	if !c.caps.Groups {
		return nil, ErrNotSupported
	}
	return optional[driver.GroupReceiver](c.provider)
}

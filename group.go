package mq

import (
	"context"

	"github.com/portmq/mq/driver"
)

// ByGroup groups messages by Message.Group.
func ByGroup() *GroupBy { return &GroupBy{} }

// ByHeader groups messages by the value of a header, for queues whose other programs
// set a header of their own. Needs Caps.Headers.
func ByHeader(name string) *GroupBy { return &GroupBy{Header: name} }

// ByPath groups messages by a value in their JSON bodies. The path is as for
// PostgreSQL's #>>: object keys, or array positions as decimal numbers.
func ByPath(path ...string) *GroupBy { return &GroupBy{Path: path} }

// GroupOptions say how to receive from one group.
type GroupOptions struct {
	ReceiveOptions
	// Holding are the receipts of the group's messages that the caller holds.
	// If anybody else holds one, nothing is received.
	Holding []Receipt
	// IncludeDelayed takes messages whose delay has not ended as well.
	IncludeDelayed bool
}

// checkGroupBy validates by.
func checkGroupBy(caps Caps, by *GroupBy) error {
	switch {
	case by == nil:
		return invalid("GroupBy is nil (see ByGroup)")
	case by.Header != "" && by.Path != nil:
		return invalid("GroupBy has a Header and a Path")
	case by.Header != "" && !caps.Headers:
		return unsupported("GroupBy.Header")
	case by.Limit < 0:
		return invalid("GroupBy.Limit %d is negative", by.Limit)
	case by.Limit > 1 && !caps.GroupLimit:
		return unsupported("GroupBy.Limit above 1")
	}
	for _, s := range append([]string{by.Header}, by.Path...) {
		if !isText(s) {
			return invalid("GroupBy has a NUL or is not UTF-8")
		}
	}
	return nil
}

// ReceiveHeads leases the oldest message of up to o.Max free groups, one of
// each: a group is free if no message of it is leased and its oldest one is
// visible. Among callers of ReceiveHeads and ReceiveGroup each group is
// worked on in order, by one holder at a time. Delivery.GroupKey is the group,
// "" for a message that has none and is a group of its own.
//
// With by.Limit above 1 it leases up to o.Max messages of groups with fewer than
// by.Limit leases instead. It may take several from a group, up to the limit, and
// starts with the groups that have the fewest leases. Such groups are in no strict
// order.
func (q *Queue) ReceiveHeads(ctx context.Context, by *GroupBy, o ReceiveOptions) ([]*Delivery, error) {
	req, err := q.groupRequest(by, o)
	return q.receive(ctx, "receive heads", req, err, func(ctx context.Context, q *Queue, r driver.ReceiveRequest) ([]driver.Delivery, error) {
		g, err := q.client.groups()
		if err != nil {
			return nil, err
		}
		return g.ReceiveHeads(ctx, q.name, driver.GroupRequest{ReceiveRequest: r, By: *by})
	})
}

// ReceiveGroup leases up to o.Max further messages of one group, in order, and
// stops in front of a delayed one. by.Limit must be 0 or 1.
func (q *Queue) ReceiveGroup(ctx context.Context, by *GroupBy, value string, o GroupOptions) ([]*Delivery, error) {
	req, err := q.groupRequest(by, o.ReceiveOptions)
	switch {
	case err != nil:
	case by.Limit > 1:
		err = invalid("GroupBy.Limit is %d, and ReceiveGroup allows only 0 or 1 (use ReceiveHeads for a limit)", by.Limit)
	case !isText(value):
		err = invalid("the group has a NUL or is not UTF-8")
	}
	return q.receive(ctx, "receive group", req, err, func(ctx context.Context, q *Queue, r driver.ReceiveRequest) ([]driver.Delivery, error) {
		g, err := q.client.groups()
		if err != nil {
			return nil, err
		}
		return g.ReceiveGroup(ctx, q.name, driver.GroupDrainRequest{
			ReceiveRequest: r, By: *by, Value: value, Holding: o.Holding, IncludeDelayed: o.IncludeDelayed,
		})
	})
}

// groupRequest validates by and o.
func (q *Queue) groupRequest(by *GroupBy, o ReceiveOptions) (driver.ReceiveRequest, error) {
	if err := checkGroupBy(q.client.caps, by); err != nil {
		return driver.ReceiveRequest{}, err
	}
	return q.request(o, 1)
}

// groups returns what receives by group, if the provider declares that it does.
func (c *Client) groups() (driver.GroupReceiver, error) {
	if !c.caps.Groups {
		return nil, ErrNotSupported
	}
	return optional[driver.GroupReceiver](c.provider)
}

package mq

import (
	"context"
	"errors"
	"slices"
	"strconv"
)

type unattendedKey struct{}

// unattended marks the ctx of a call that mq makes on its own, whose interceptors
// must not keep others waiting for long.
func unattended(ctx context.Context, in limits) context.Context {
	return context.WithValue(ctx, unattendedKey{}, in)
}

// limits returns those of a function on which no lease depends.
func (c *Client) limits() limits { return limits{c.cfg.CallTimeout, c.cfg.CallTimeout} }

// errLeft is what next returns to an interceptor that mq no longer waits for.
var errLeft = errors.New("the call was given up, since its interceptors did not return")

// runUnattended runs op and the interceptors around it, within limits. The
// interceptors have a goroutine and a Call of their own, with slices of its own,
// since they may go on with them after they were left behind. op runs in our
// goroutine, so when this returns op has ended or will never begin.
func (c *Client) runUnattended(ctx context.Context, in limits, call *Call, op func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	left := make(chan struct{})
	defer close(left)
	serve := make(chan func())
	shown, begun, result := call.clone(), false, error(nil)
	next := func(ctx context.Context) error {
		done := make(chan error, 1)
		serveOp := func() {
			*call, begun = shown.clone(), true
			result = op(ctx)
			shown = call.clone()
			done <- result
		}
		select {
		case serve <- serveOp:
		case <-left:
			return errLeft
		}
		select {
		case err := <-done:
			return err
		case <-left: // op has panicked
			return errLeft
		}
	}
	err := error(nil)
	around := c.intercept(&shown, next)
	hung := c.guard.call("interceptor of "+call.Op+" "+strconv.Quote(call.Queue), in, serve, func() { err = around(ctx) })
	switch {
	case hung == nil:
		*call = shown
		return err
	case begun && errors.Is(hung, errOverdue):
		return result
	}
	return hung
}

// clone returns a Call with slices of its own. What these refer to, deliveries and
// the headers of messages, is shared.
func (call *Call) clone() Call {
	c := *call
	c.Messages, c.Settlements, c.Receipts = slices.Clone(c.Messages), slices.Clone(c.Settlements), slices.Clone(c.Receipts)
	c.Deliveries, c.IDs = slices.Clone(c.Deliveries), slices.Clone(c.IDs)
	return c
}

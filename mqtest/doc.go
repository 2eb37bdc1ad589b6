// Package mqtest helps to test programs that use package mq.
//
// [New] returns a client in memory, [RequireSent] and [RequireEmpty] check sent
// messages, [Deliver] runs a handler and returns the outcome, and [Faulty] makes
// chosen calls fail.
//
// The conformance suite for authors of drivers is package
// [github.com/portmq/mq/mqtest/drivertest].
package mqtest

// Package drivertest is the conformance suite for drivers of package mq: it
// checks every rule of package driver on a live backend. The helpers for tests
// of programs that use mq are in package [github.com/portmq/mq/mqtest].
//
// [Run] is the suite. A driver's whole test file is
//
//	func TestConformance(t *testing.T) {
//		drivertest.Run(t, drivertest.Harness{
//			Open: func(t testing.TB) *mq.Client { return open(t, fresh(t)) },
//			Want: driver.Caps{Delay: true, Durable: true},
//		})
//	}
//
// The cases follow from the provider's driver.Caps and its optional interfaces,
// in both directions: a declared feature must work, and an undeclared one must
// return mq.ErrNotSupported without any effect. Harness.Want keeps a driver
// from passing by declaring nothing, and Run logs the cases that did not apply,
// and their requirements.
//
// Each case is a subtest, "area/case", and a failure shows the rule that was
// broken. [Check] does the same without a *testing.T, and [Report] describes a
// driver in one row of a table. [Fuzz] compares random operations with a model,
// and [Bench] measures what all drivers have in common.
//
// docs/writing-a-driver.md goes from an empty file to a green run.
package drivertest

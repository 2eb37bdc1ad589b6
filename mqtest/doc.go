// Package mqtest tests drivers, and helps to test programs that use package mq.
//
// # For authors of drivers
//
// [Run] is the conformance suite: it checks every rule of package driver on a
// live backend. A driver's whole test file is
//
//	func TestConformance(t *testing.T) {
//		mqtest.Run(t, mqtest.Harness{
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
// # For authors of programs
//
// [New] returns a client in memory, [RequireSent] and [RequireEmpty] check sent
// messages, [Deliver] runs a handler and returns the outcome, and [Faulty] makes
// chosen calls fail.
package mqtest

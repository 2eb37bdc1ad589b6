// Package mqtest tests drivers, and helps to test what is built on package mq.
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
// What is checked follows from the provider's driver.Caps and its optional
// interfaces, and both ways: what is declared must work, what is not must
// answer mq.ErrNotSupported before any effect. Harness.Want keeps a driver
// from passing by declaring nothing, and Run logs which cases did not apply,
// and what they would need.
//
// Each case is a subtest, "area/case", and a failure shows the rule that was
// broken. [Check] does the same without a *testing.T, and [Report] describes a
// driver in one row of a table. [Fuzz] compares random operations with a model,
// and [Bench] measures what all drivers have in common.
//
// # For authors of programs
//
// [New] is a client in memory, [RequireSent] and [RequireEmpty] look at what
// was sent, [Deliver] tells what becomes of a message, and [Faulty] makes calls
// fail as planned.
package mqtest

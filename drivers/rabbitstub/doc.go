// Package rabbitstub is the contract of drivers/rabbitmq in the memory of the
// process: for the tests of programs that run on RabbitMQ.
//
// What a program may not rely on there it does not get here. Messages come in
// no promised order, a redelivered one before those that wait. A receipt works
// on one connection of one client, and dies with it. Delays come in steps of
// 100 ms. Stats knows what a broker tells over AMQP, and answers -1 for the
// rest. Queues can be neither listed nor browsed, and a purge reaches neither
// what other clients have leased nor what is delayed. Names and headers have
// AMQP's limits. Everything that passes here is meant to pass on a broker.
//
// The DSN rabbitstub:// opens a broker of its own. rabbitstub://name opens the
// broker of that name, which all clients of the process share; it lives while
// one of them has it open. There are no parameters. [New] makes a provider
// without a DSN. Nothing outlives the process, so that Caps.Durable is false;
// it is the only difference in Caps, but for Caps.Shared of a broker without a
// name. driver.Delivery.Native is nil.
//
// # Faults
//
// A [Broker] can be made to fail as a real one does: it closes its connections,
// is down for a while, or blocks publishers for want of memory.
//
//	p := rabbitstub.New()
//	c := mq.New(p, mq.Config{})
//	p.Broker().Disconnect() // every lease is lost, every message comes back
//
// Of a client that was opened by a DSN with a name, [Find] returns the broker.
// A call whose answer is lost is a matter for mqtest.Faulty.
//
// # Time
//
// The provider uses package time. A client that is opened inside a
// testing/synctest bubble lives on the bubble's fake time, and must then be
// used inside that bubble only; a test does best to open rabbitstub:// there.
package rabbitstub

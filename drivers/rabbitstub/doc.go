// Package rabbitstub is the contract of drivers/rabbitmq in the memory of the
// process: for the tests of programs that run on RabbitMQ.
//
// It promises no more than RabbitMQ. Messages arrive in no promised order, a
// redelivered one before waiting ones. A receipt works on one connection of one
// client, and ends with it. Delays come in steps of
// 100 ms. Stats has the figures that a broker reports over AMQP, and -1
// for the others. Neither queues nor the bindings of topics can be listed, nor can queues
// be browsed, and a purge reaches neither what other clients have leased nor what is
// delayed. What is published to a topic cannot be delayed. Names and headers have
// AMQP's limits. A test that passes here should pass on a broker.
//
// The DSN rabbitstub:// opens a broker of its own. rabbitstub://name opens the
// broker of that name, which all clients of the process share; it lives while
// one of them has it open. There are no parameters. [New] makes a provider
// without a DSN. Nothing outlives the process, so that Caps.Durable is false;
// it is the only difference in Caps, except for Caps.Shared of a broker without
// a name. driver.Delivery.Native is nil.
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
// [Find] returns the broker of a client that was opened by a DSN with a name.
// For calls whose answers are lost use mqtest.Faulty.
//
// # Time
//
// The provider uses package time. A client that is opened inside a
// testing/synctest bubble uses the bubble's fake time, and must be used inside
// that bubble only: open rabbitstub:// there, without a name.
package rabbitstub

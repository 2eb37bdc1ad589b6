// Package mem is the provider in memory, and the reference implementation of
// the contract in package driver: it has every optional interface, and its
// queues behave exactly as the contract says.
//
// The DSN mem:// opens a store of its own. mem://name opens the store of that
// name, which all clients of the process share; it lives while one of them
// has it open. There are no parameters. [New] makes a provider without a DSN:
//
//	c := mq.New(mem.New(), mq.Config{})
//
// Queue names are folded to lower case, as PGMQ folds them.
//
// # Time
//
// The provider uses package time and has no goroutine of its own. A client
// that is opened inside a testing/synctest bubble therefore lives on the
// bubble's fake time, and a visibility timeout of 30 minutes passes in
// microseconds. It must then be used inside that bubble only, which is one
// more reason for a test to open mem:// rather than a shared store.
//
// # Transactions
//
// There is no SQL here. [Provider.Begin] starts a transaction that carries
// only messages, so that code which enqueues in its own SQL transaction can be
// tested: [Tx] has the methods of [driver.SQLTx], and those answer
// [driver.ErrNotSupported].
//
// # Cost
//
// Sending, receiving and settling a message take O(log n) time, whether the n
// messages present are visible, leased or delayed. A message takes about 150
// bytes above its body and headers, and gives them back when it leaves. The
// first receive by a GroupBy looks at every message once; from then on each
// send pays for it too, and parses the body if it is by path. A Publish looks
// at the patterns of every queue.
package mem

// Package driver is the contract between package mq and its providers.
//
// Application code should use package mq. This package is for the authors of
// drivers: it describes the duties of a provider, its callers, and the tasks
// that mq performs.
//
// # Writing a driver
//
//  1. Implement [Provider]: ten methods, all of them safe for concurrent use.
//  2. Implement [Driver], whose Open parses a DSN, and register it from an
//     init function: mq.Register("myscheme", myDriver{}).
//  3. Declare in [Caps] what works. The zero Caps is valid and promises nothing.
//  4. Return or wrap the errors of this package, and keep the native error in
//     the chain.
//  5. Add the optional interfaces that your backend supports:
//     [QueueManager], [StatsLister], [Popper], [Browser], [Searcher],
//     [Archivist], [ReasonCounter], [Overrider], [Pauser], [Registry],
//     [GroupReceiver], [Deduplicator], [Router], [Transactor], [Namer].
//  6. Prove it: drivertest.Run(t, drivertest.Harness{Open: ...}).
//
// # What mq does, so that a provider need not
//
// mq validates every argument against Caps before it calls, splits batches
// at MaxBatch, merges concurrent calls, retries [ErrBadConn], polls while a
// Receive with Wait returns early, keeps leases alive, runs handlers,
// encodes payloads, logs and traces. A provider does none of that: it has no
// retry loop, no buffer, no heartbeat and no goroutine that it does not need
// for its protocol. An embedded backend may commit several calls at once, without
// a timer. A provider does not read the environment and does not correct
// arguments. The provider reconnects: after a lost connection the next call
// dials again or returns [ErrBadConn].
//
// # Rules
//
// Each rule has its cases in mqtest/drivertest, under the number given here.
//
//  1. A [Receipt] names one lease of one message of one queue of one namespace:
//     a database, a file. Acting on a message that has been leased again is
//     [ErrStaleReceipt] and has no effect. A message that is gone is
//     [ErrMessageNotFound] where the backend can tell. A malformed receipt, or one of another queue, is
//     [ErrInvalidReceipt]. Without Caps.PortableReceipts a receipt of another
//     client, or of an earlier connection, is stale, without I/O. In a batch
//     the rest takes effect.
//  2. A successful settlement ends the lease. After the visibility timeout
//     and before redelivery, settling succeeds if Caps.LateSettle and is
//     stale otherwise. Extending after the timeout is always stale.
//  3. Receive never returns more than Max and, with Wait 0, never blocks for
//     a message. A missing queue is [ErrQueueNotFound]. If ctx ended before
//     the claim the result is ctx.Err(); the claim itself runs to its end,
//     and what it leased is returned.
//  4. ID and EnqueuedAt survive redelivery. The read count grows by one per
//     lease if Caps.ExactReadCount, and is an estimate otherwise. Under
//     Caps.Attempts so do the attempts, unless the lease ended with an
//     uncounted nack. Extend counts from now. Durations work down to
//     Caps.Resolution.
//  5. Archive loses nothing: body, headers, read count, attempts, times and
//     reason are kept.
//  6. Redrive and move insert a new message: new ID, EnqueuedAt now, read
//     count and attempts 0, header [HeaderOrigin], no [HeaderError], so that
//     no old receipt becomes valid again. A redriven message has no
//     [HeaderReason].
//  7. Errors wrap the sentinels of this package. ErrBadConn means certainly
//     not applied; [ErrUnavailable] means it may have been applied, and is
//     also the answer for a write cut off by ctx.
//  8. Bodies round-trip: exactly if Caps.ExactBodies, else equal as JSON where
//     they are JSON and exactly where they are not.
//  9. A send that returned nil is stored, as durably as Caps.Durable says.
package driver

import (
	"context"
	"log/slog"
	"time"
)

// Driver opens providers. It is registered once, from an init function, and
// must be safe for concurrent use.
type Driver interface {
	// Open parses dsn, a URL whose scheme is the name the driver was
	// registered under, and returns a provider. It does no I/O: a backend
	// that is down shows at the first call, or at Ping.
	//
	// An unknown query parameter is an error. No error may contain the
	// password or the DSN itself; [ParseDSN] keeps both promises.
	Open(dsn string, env Env) (Provider, error)
}

// Env is what mq hands to a driver besides the DSN. It is a struct so that it
// can grow.
type Env struct {
	// Logger is never nil when mq calls, and neither panics nor hangs. Drivers
	// log reconnects and the like; never a body, a header value or a password.
	Logger *slog.Logger
}

// Provider is one open backend. Any number of goroutines call any of its
// methods at the same time; mq makes at most Caps.Flights Send, as many Settle
// and as many Extend calls at once per queue, unless Caps.InProcess, and any
// number of the others.
//
// Every method that takes a ctx must return soon after ctx ends. Queue names
// have passed mq's validation and, if there is one, the provider's own
// [Namer]. Slices, maps and bodies that come in must not be retained or
// changed after the method returned; those that go out belong to the caller.
type Provider interface {
	// Name is the provider's name for errors, logs and metrics: "pgmq",
	// "mem", "rabbitmq". It never changes.
	Name() string

	// Caps describes a queue that EnsureQueue of this provider makes. It
	// never changes and does no I/O.
	Caps() Caps

	// EnsureQueue creates the queue, its archive included, if it is not
	// there. It is idempotent, safe to call from many processes at once, and
	// never changes or empties a queue that exists.
	EnsureQueue(ctx context.Context, queue string, o QueueOptions) error

	// Send stores msgs and returns their ids in slice order, each unique in
	// its queue. There is at least one message and at most Caps.MaxBatch.
	//
	// Either all messages are stored and err is nil, or err says that none
	// is, or err is a *BatchError that tells message by message, and ids
	// holds "" for those that are not stored. Under Caps.AtomicSend the last
	// form does not occur.
	//
	// One caller's messages are consecutive in msgs, but msgs may hold the
	// messages of several callers. If the batch is rejected as a whole, mq
	// sends each caller's messages again alone, once.
	Send(ctx context.Context, queue string, msgs []Message) (ids []string, err error)

	// Receive leases up to r.Max visible messages for r.Visibility and
	// returns them; none and nil means nothing now. It may wait for r.Wait at
	// most, and may return early with nothing: mq then polls, with growing
	// pauses. A provider that can be woken should wait: for a send or a nack, and
	// for the next end of a delay or a lease.
	Receive(ctx context.Context, queue string, r ReceiveRequest) ([]Delivery, error)

	// Settle ends leases as each settlement says. There is at least one and
	// at most Caps.MaxBatch; the receipts may repeat, and then one of them
	// wins. nil means that all took effect. A *BatchError names those that
	// did not, and the others did. Any other error says that none did.
	//
	// OpMove comes only under Caps.AtomicMove; if its target is missing that item is
	// ErrQueueNotFound. OpNack with a positive
	// delay comes only under Caps.Delay. A nack with [AtTimeout] is carried out by
	// doing nothing: it needs no I/O, but a receipt that is known to be wrong
	// without any is still an error.
	Settle(ctx context.Context, queue string, s []Settlement) error

	// Extend makes each lease end d from now. Its batches and errors are
	// those of Settle, except that a receipt that is given twice gets the same answer
	// twice: several callers may extend one lease at once. An extension may also shorten
	// a lease.
	Extend(ctx context.Context, queue string, rs []Receipt, d time.Duration) error

	// Stats counts. A figure that the backend cannot tell is -1.
	Stats(ctx context.Context, queue string) (Stats, error)

	// Ping checks that the backend can be reached and used. Its error says
	// why not. It may create what the provider needs for itself, as any call may.
	Ping(ctx context.Context) error

	// Close releases what the provider holds. Calls in progress, waiting ones
	// included, return soon; later ones answer [ErrClosed]. mq calls it once,
	// after it has given its own calls time to end; a second call returns nil.
	Close() error
}

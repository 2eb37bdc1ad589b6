package driver

import (
	"context"
	"database/sql"
	"time"
)

// The interfaces below are optional and have one purpose each. mq finds them
// by type assertion. Any of their methods may answer ErrNotSupported at run
// time; it means the same as not implementing the interface, so that a
// wrapper can forward all of them.

// QueueManager manages queues beyond EnsureQueue.
type QueueManager interface {
	// DropQueue removes the queue, its messages and its archive. A queue
	// that is not there is no error. Receipts of a dropped queue stay dead
	// when a queue of that name is made again.
	DropQueue(ctx context.Context, queue string) error
	// ListQueues returns the names of all queues, sorted.
	ListQueues(ctx context.Context) ([]string, error)
	// PurgeQueue removes every message of the queue, leased and delayed ones
	// included, and returns how many. The archive is left alone. A backend
	// that cannot reach some of them says so in its documentation, and in
	// Harness.Known of its conformance test.
	PurgeQueue(ctx context.Context, queue string) (int64, error)
}

// StatsLister counts all queues at once.
type StatsLister interface {
	// AllStats returns what Stats would of every queue, by name, in fewer round
	// trips, one if it can. It may leave out queues: those that another call is
	// needed for, that are gone by now, or that the user may not read. mq asks for
	// each of them by Stats. An error is one of the whole call.
	AllStats(ctx context.Context) (map[string]Stats, error)
}

// Deduplicator sends messages that have keys. A key belongs to its queue. It is held
// from the send of a message on, for Message.DedupFor by the backend's clock, however
// soon the message is done; or, with WhileQueued, until the message is acked, archived,
// moved, popped or purged. A duplicate does not prolong that, and what DedupFor it has does
// not matter. A message that a redrive or a move makes has no key. DropQueue drops
// the keys as well.
type Deduplicator interface {
	// SendUnique is Send for messages of which one at least has a DedupKey. Of
	// messages with the same key, in one call or in several at the same time, one is
	// stored and the others are duplicates of it; those without a key are stored. The
	// result is in slice order, with "" as the ID of what was not stored.
	//
	// mq puts at most 48 messages of several callers into one call, so that a lock for
	// each key is affordable; one caller's may be up to Caps.MaxBatch. A *BatchError is
	// possible under Caps.AtomicSend as well: for messages whose keys stayed taken.
	//
	// A call that finds a key taken by a transaction which is still open waits for
	// its end, or is ErrBadConn. It does not keep calls with other keys waiting.
	SendUnique(ctx context.Context, queue string, msgs []Message) ([]Sent, error)
}

// Router sends a message to every queue that is bound to its topic.
//
// A topic is words of ASCII letters, digits, hyphens and underscores, separated by single
// dots, 255 bytes at most. In a pattern "*" stands for one or more characters other than
// dots, mostly for one word, and "#" for any text: logs.* matches logs.db, logs.# matches
// logs.db and logs.db.slow, and neither matches logs. Two wildcards never stand side by
// side. These are the rules of PGMQ 1.11. mq checks topics and patterns; [MatchTopic]
// tells what matches.
type Router interface {
	// Bind binds a queue to a pattern. It is idempotent. A missing queue is
	// ErrQueueNotFound. DropQueue drops the bindings as well. A pattern that the backend
	// cannot carry out exactly is ErrNotSupported.
	Bind(ctx context.Context, queue, pattern string) error
	// Unbind removes a binding, and returns nil if there is none.
	Unbind(ctx context.Context, queue, pattern string) error
	// Bindings returns the bindings of a queue, or of all queues if it is "", sorted by
	// queue and pattern. A missing queue is ErrQueueNotFound.
	Bindings(ctx context.Context, queue string) ([]Binding, error)
	// Publish stores msgs in every queue that has a pattern that matches, once in each,
	// and returns their ids by queue, sorted by its name: none if nothing matches. Under
	// Caps.AtomicSend either all queues get all messages or none does. A binding counts
	// from the return of Bind on. There is at least one message and at most
	// Caps.MaxBatch, without keys. Where the backend does not tell the queues, it
	// returns one Published with the Queue "".
	Publish(ctx context.Context, topic string, msgs []Message) ([]Published, error)
}

// Binding is a pattern of a queue.
type Binding struct{ Queue, Pattern string }

// Published is what one queue has got of a Publish.
type Published struct {
	Queue string
	IDs   []string // in the order of the messages
}

// Popper receives and deletes in one step: at most once.
type Popper interface {
	// Pop removes up to max visible messages and returns them, in the order
	// of Receive, without receipts and VisibleAt. ReadCount counts this read.
	Pop(ctx context.Context, queue string, max int) ([]Delivery, error)
}

// Archivist acts on a queue's archive.
type Archivist interface {
	// Redrive moves archived messages back to their queue as new messages,
	// visible at once, and returns how many: those with the given ids, or
	// those with the lowest if ids is empty, limit at most in either case. Ids
	// that are not in the archive are passed over.
	Redrive(ctx context.Context, queue string, ids []string, limit int) (int64, error)
	// PurgeArchive deletes what has been in the archive for olderThan or
	// longer, 0 meaning all, and returns how many.
	PurgeArchive(ctx context.Context, queue string, olderThan time.Duration) (int64, error)
}

// GroupBy defines how messages are grouped, and how many of a group may be leased. The
// zero value goes by Message.Group.
type GroupBy struct {
	// Header is the name of the header whose value is the group, as other
	// programs may set it. "" means Message.Group. It needs Caps.Headers. mq does
	// not pass on both a Header and a Path.
	Header string
	// Path is the way to a value in a JSON body: object keys, or array positions as
	// decimal numbers, negative ones from the end. The value is compared as the text
	// that [JSONText] returns, whose comment has a table: 1 and "1" are one group, and
	// so are 100 and 1e2. "" is a group like others. nil means Message.Group.
	Path []string
	// Limit is how many messages of a group may be leased at a time. 0 means 1, which
	// keeps a group in order. Above 1 it needs Caps.GroupLimit.
	Limit int
}

// MaxLeases returns Limit, or 1 if it is not set.
func (by GroupBy) MaxLeases() int { return max(by.Limit, 1) }

// GroupRequest asks for the heads of free groups.
type GroupRequest struct {
	ReceiveRequest
	By GroupBy
}

// GroupDrainRequest asks for the messages of one group.
type GroupDrainRequest struct {
	ReceiveRequest
	By    GroupBy // its Limit is 0 or 1
	Value string  // the group
	// Holding are the receipts of the group's messages that the caller holds.
	// Stale ones count for nothing; one that is not valid is
	// ErrInvalidReceipt.
	Holding []Receipt
	// IncludeDelayed takes messages whose delay has not ended as well.
	IncludeDelayed bool
}

// GroupReceiver leases messages so that each group is worked on in order, by
// one holder at a time.
//
// A group is free if no message of it is leased and its oldest message is
// visible. A message without a key is a group of its own. The rule is strict
// among group receivers; a plain Receive on the same queue ignores groups.
//
// With a Limit of k above 1, a group has room if it has a visible message and fewer
// than k leases, whichever receive took them. The message that has been visible longest
// is leased next. Groups under such a limit are in no strict order: a message that is
// delayed holds up no others.
type GroupReceiver interface {
	// ReceiveHeads leases the oldest message of up to r.Max free groups,
	// one of each, oldest first. With a Limit above 1 it leases up to r.Max
	// messages of groups that have room. It may lease several messages of a group, up
	// to the limit. Of the groups that it considers, it starts with those that have the
	// fewest leases, so that groups get equal shares.
	ReceiveHeads(ctx context.Context, queue string, r GroupRequest) ([]Delivery, error)
	// ReceiveGroup leases up to r.Max further messages of one group, in
	// order. If anybody but the caller (r.Holding) leases a message of the
	// group it returns nothing. It stops in front of the first message that
	// is delayed, unless r.IncludeDelayed.
	ReceiveGroup(ctx context.Context, queue string, r GroupDrainRequest) ([]Delivery, error)
}

// Transactor lets a caller's own SQL transaction carry sends and settlements.
type Transactor interface {
	// Tx returns a view of the provider that works inside tx. It fails if tx
	// is not a transaction on the provider's own backend, where that can be
	// told. It does no I/O.
	Tx(tx SQLTx) (TxProvider, error)
}

// TxProvider works inside a caller's transaction: mq neither merges, retries nor
// waits. A call makes few round trips, one if it can, and begins and ends no
// transaction. What it did takes effect when the caller commits, wake-ups included.
// A message gets its id when it is sent, so that one which is committed late may
// become visible after messages with higher ids.
//
// Any error aborts the transaction, a stale receipt and a missing queue as well: a
// commit then keeps nothing, neither what the transaction did before nor what the
// caller's own statements do after it. Where the backend goes on after an error the
// provider must see to that. So nothing is in doubt: a lost answer is [ErrBadConn],
// and never ErrUnavailable.
//
// It must not keep other transactions waiting, except under Caps.OneWriter.
//
// A provider that is a Router has TxProviders with its Publish, see [TxPublisher].
//
// A provider that is a Deduplicator has TxProviders that are one, too: a key that a
// transaction has taken is held when it commits, and free if it does not. A duplicate
// does not abort the transaction.
//
// It is used by one goroutine at a time and is not closed.
type TxProvider interface {
	Send(ctx context.Context, queue string, msgs []Message) (ids []string, err error)
	Settle(ctx context.Context, queue string, s []Settlement) error
}

// TxPublisher is Router.Publish inside a transaction: what it does takes effect when
// that commits.
type TxPublisher interface {
	Publish(ctx context.Context, topic string, msgs []Message) ([]Published, error)
}

// SQLTx is what mq needs of a transaction. *sql.Tx, *sql.Conn and the usual
// tracing wrappers have it.
type SQLTx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Namer is for providers that do not take every name as it is.
type Namer interface {
	// QueueName returns the canonical form of a name: two names with the same
	// form are one queue. It does no I/O, and an error wraps ErrInvalid. mq
	// calls it once per handle and passes only canonical names on.
	QueueName(name string) (string, error)
}

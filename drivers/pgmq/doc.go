// Package pgmq is the driver for PGMQ queues on PostgreSQL 13 and later, with
// or without the extension. Importing it registers the scheme "pgmq":
//
//	pgmq://user:password@host:port/database?parameter=value
//
// The parameters are those of libpq that pgx knows, whose PG* environment
// variables count as well: passfile, service, options, application_name
// (program, host and process id, see [driver.ClientName]), connect_timeout (10 seconds), target_session_attrs, those of TLS and
// authentication, and host, port, dbname, user and password, which win over the
// rest of the DSN. A database that needs more to be reached needs a pool of the
// program's own: see [FromPool]. The driver's own parameters are
//
//	driver=pgx|pq         the client library that runs the statements (pgx)
//	pool_max_conns=16     the size of the pool
//	order=due|id          what is received first, see Config.ByID (due)
//	body=json|bytes       how bodies are stored, see Config.ExactBodies (json)
//	poll_only=false       true: no connection of its own that listens
//	prepare=true          false: no prepared statements, for poolers
//
// [FromPool] and [FromDB] return a provider on a pool of the program.
//
// # Tables
//
// A queue is the table pgmq.q_{queue}, its archive pgmq.a_{queue}: PGMQ's own,
// so that its functions and its clients in every language can work on the same
// queues at the same time. EnsureQueue calls pgmq.create where that is
// installed and else makes the same tables itself. Existing tables
// may be older, from 1.4 on, or made by hand: the driver reads the catalog and
// does without missing columns. The statements are the driver's own; PGMQ's
// functions are used to create and drop only.
//
// # Receipts
//
// A receipt names queue, msg_id, read_ct and enqueued_at, and each statement
// that acts on it compares all of them: an old receipt is stale after a
// redelivery, and after a queue was dropped and created again. [Unfenced] returns
// one for a bare id.
//
// # Bodies and headers
//
// A body that is JSON is stored as JSON, so that SQL, other clients and
// GroupBy.Path see it: spaces, key order and the spelling of numbers may
// change. Any other body is stored in an object with one key, "mq:text" or
// "mq:base64", and comes back exactly. Headers are the object in the column
// headers; Message.Group is its key x-pgmq-group, as PGMQ has it. A message
// that another program has left without a body has an empty one, and headers
// that are not strings arrive as their JSON text.
//
// # Waiting
//
// One connection per client listens for the inserts of all queues, outside of
// the pool. Receivers also wake when the next message is due, and query the
// queue every 7 seconds in any case. Without notifications, because there is no
// trigger or no connection that listens, receivers poll, every 50 ms at first
// and every second in the end.
//
// docs/pgmq.md has the rest: rights, tuning, poolers, and moving from other
// clients.
package pgmq

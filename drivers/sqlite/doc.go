// Package sqlite keeps queues in a file of SQLite: durable, transactional, and without
// a server. A program imports it and opens a DSN:
//
//	import _ "github.com/portmq/mq/drivers/sqlite"
//
//	c, err := mq.Open("sqlite:///var/lib/app/queue.db")   // or sqlite://queue.db, relative
//
// Several processes on one machine may use one file. It is created if it is not there;
// its directory must be. Its tables begin with mq_. Percent-encode #, ? and % in a path.
//
// The parameters of a DSN, all optional, are
//
//	synchronous=full|normal  see [Synchronous]; Caps.Durable is true with full only
//	busy_timeout=DURATION    a limit on the wait for the write lock of another process,
//	                         which otherwise takes as long as the call may
//	poll=40ms                how often the file is looked at for the commits of other
//	                         processes where the system does not report them, as Linux does
//
// [FromDB] makes a provider on a database that the program has opened, with any SQLite
// library for database/sql. Sends and settlements in the program's own transactions,
// mq.Queue.Tx and Delivery.AckTx, take a *sql.Tx of that database.
//
// SQLite has one writer at a time, Caps.OneWriter: a transaction of the program's that
// has written keeps all senders and receivers waiting until it ends. Keep it short.
//
// Delivery.Native is nil. docs/sqlite.md has the layout of the file, what to know about
// backups, and the limits.
package sqlite

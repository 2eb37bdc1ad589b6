package pgmq

import (
	"embed"
	"strconv"
	"strings"
	"text/template"

	"github.com/portmq/mq/driver"
)

//go:embed sql/*.sql
var sqlFiles embed.FS

var statements = template.Must(template.ParseFS(sqlFiles, "sql/*.sql"))

// statement returns the statement of that name, made for data.
func statement(name string, data any) string {
	var b strings.Builder
	if err := statements.ExecuteTemplate(&b, name, data); err != nil {
		panic("pgmq: " + err.Error()) // the templates are ours
	}
	text := strings.TrimSpace(b.String())
	if n, ok := data.(tableNames); ok && n.Plan > 0 {
		text += " /* " + strconv.Itoa(n.Plan) + " */"
	}
	return text
}

// Statements that are the same for every queue.
var (
	sqlNotify   = statement("notify", nil)
	sqlList     = statement("list", nil)
	sqlShape    = statement("shape", nil)
	sqlThrottle = statement("throttle", nil)
	sqlPing     = statement("ping", nil)
	sqlSettings = statement("settings", nil)
	sqlAbort    = statement("abort", nil)
	sqlClock    = statement("clock", nil)
)

// tableNames is what the statements of one queue are made of.
type tableNames struct {
	shape
	Q, A         string // its tables, quoted
	To           string // the table that messages are moved to
	QName, AName string // the same as literals
	Order        string
	Key          string // the expression for a message's group
	Indexed      bool   // there are indexes for Key
	Limited      bool   // several messages of a group may be leased
	Claims       bool   // the statement claims the chosen groups: the limit is $3
	Plan         int    // see Provider.replan
	Blind        bool   // bodies, headers and groups are not read
	Measured     bool   // no more is read than there is room for when printed, see {{template "fit"}}
	Waits        bool   // for rows that others have locked
	Unlogged     bool   // a queue to be made
	Notifies     bool   // those who wait for messages
	ManyKeys     bool   // there are more keys than maxKeyLocks
	Revokes      bool   // a nack makes receipts stale, and is not that of a receiver

	// Of pages:
	Archive bool   // Q is the archive
	Newest  bool   // newest first
	ByID    bool   // only those with the ids $3
	Rows    string // the argument that bounds the rows of a page
	Cut     string // the argument that says how much of a body is enough, or ""
}

// blind returns the names for statements that read no contents.
func (n tableNames) blind() tableNames {
	n.Blind = true
	return n
}

// measured returns the names for statements that read no more than there is room
// for when it is printed.
func (n tableNames) measured() tableNames {
	n.Measured = true
	return n
}

// read returns the names for statements that look at contents in the given way.
func (n tableNames) read(how look) tableNames {
	n.Blind, n.Measured = how == blind, how == measured
	return n
}

// byHeader returns the names for statements that look at Message.Group.
func (n tableNames) byHeader() tableNames {
	if n.Headers {
		n.Key = groupKey(driver.GroupBy{})
	}
	return n
}

// archived returns the names for statements that read the archive as if it
// were the queue.
func (n tableNames) archived() tableNames {
	n.Q, n.Headers, n.Archive = n.A, n.ArchivedHeaders, true
	return n
}

// pages returns the names for the statement "browse".
func (n tableNames) pages() tableNames {
	n.Rows = "$2"
	return n
}

func namesOf(queue string, s shape, order string) tableNames {
	q, a := table("q_", queue), table("a_", queue)
	return tableNames{shape: s, Q: q, A: a, QName: literal(q), AName: literal(a), Order: order}
}

// texts are the statements of one queue.
type texts struct {
	insert, insertOne, insertNotifying, insertOneNotifying string
	insertUnique, insertUniqueNotifying                    string
	claim, pop, probe                                      string
	ack, ackOne, settle, nack, extend                      string
	ackWaiting, settleWaiting, nackWaiting                 string
	browse, browseArchive                                  string
	purge, purgeArchive, purgeOlder, redrive               string
	stats, sample, sampleArchive                           string
}

func textsOf(n tableNames) texts {
	t := texts{
		insert: statement("insert", n), insertOne: statement("insert one", n),
		insertNotifying: statement("insert notifying", n), insertOneNotifying: statement("insert one notifying", n),
		claim: statement("claim", n), pop: statement("pop", n.measured()), probe: statement("probe", n),
		ack: statement("ack", n), ackOne: statement("ack one", n),
		settle: statement("settle", n), extend: statement("extend", n), browse: statement("browse", n.pages()),
		purge:        statement("purge", n),
		purgeArchive: statement("purge", n.archived()), purgeOlder: statement("purge older", n),
		stats: statement("stats", n.byHeader()), sample: statement("sample", n.byHeader()), sampleArchive: statement("sample archive", n),
	}
	t.insertUnique = statement("insert unique", n)
	notifying := n
	notifying.Notifies = true
	t.insertUniqueNotifying = statement("insert unique", notifying)
	only := n
	only.Kept = nil // so that a nack needs no right to the archive
	t.nack = statement("settle", only)
	n.Waits, only.Waits = true, true
	t.ackWaiting, t.settleWaiting, t.nackWaiting = statement("ack", n), statement("settle", n), statement("settle", only)
	n.Waits = false
	t.browseArchive = statement("browse", n.archived().pages())
	archived := n
	archived.Headers = n.Headers && n.ArchivedHeaders
	t.redrive = statement("redrive", archived)
	return t
}

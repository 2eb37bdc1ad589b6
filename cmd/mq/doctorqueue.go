package main

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Above these figures a queue is worth a word.
const (
	manyDead = 10000 // rows
	manyRows = 10000 // without an index for groups
)

// pgQueue is what the statement "queues" returns, and what is known of groups.
type pgQueue struct {
	name                  string
	table, archive        string // as SQL; there may be no archive
	partitioned, unlogged bool
	headers, lastReadAt   bool
	vtIndex               bool
	invalid               string // indexes, as SQL
	live, dead            int64
	vacuumed              float64 // seconds ago, or -1
	vacuumOff, tuned      bool
	trigger, heals        bool   // the trigger puts its row back
	lacks, archiveLacks   string // rights
	sequence              string // of the ids, as SQL; empty if there is none
	defaults              string // default partitions, as SQL

	groupings []grouping
	ungrouped bool  // its groupings could not be checked
	unread    bool  // nor could its tables
	hasGroups bool  // messages have a Message.Group
	next, max int64 // the id of the next message, and the highest there is; 0 if not known
	strays    []stray
}

// readQueues returns the queues, and whether it could read them.
func (d *doctor) readQueues(ctx context.Context) (queues []pgQueue, seen bool, err error) {
	queues, err = rowsOf(ctx, d.db, "queues", func(q *pgQueue) []any {
		return []any{
			&q.name, &q.table, &q.archive, &q.partitioned, &q.unlogged, &q.headers, &q.lastReadAt, &q.vtIndex, &q.invalid,
			&q.live, &q.dead, &q.vacuumed, &q.vacuumOff, &q.tuned, &q.trigger, &q.heals, &q.lacks, &q.archiveLacks,
			&q.sequence, &q.defaults,
		}
	})
	if err != nil {
		return nil, false, d.unseen(ctx, look{"queues", "the catalog", nil}, err)
	}
	return queues, true, d.readGroupings(ctx, queues)
}

// pgQueue judges one queue of PGMQ.
func (d *doctor) pgQueue(q pgQueue, s pgServer, throttles map[string]int) {
	before := d.said
	d.layout(q, s)
	d.groups(q)
	d.rights(q, s)
	d.rows(q)
	d.wakeups(q, s, throttles)
	d.contents(q)
	if d.said == before && !q.unread {
		d.ok(q.name, "about %d live and %d dead rows", q.live, q.dead)
	}
}

func (d *doctor) layout(q pgQueue, s pgServer) {
	upgrade := s.remedy("mq install adds it", "upgrade PGMQ")
	if q.archive == "" {
		d.problem(q.name, "it has no archive table (mq create %s makes it)", q.name)
	}
	if !q.headers {
		d.advice(q.name, "no column headers: headers, groups and the reasons of dead letters do not work (%s)", upgrade)
	}
	if !q.lastReadAt {
		d.advice(q.name, "no column last_read_at: stats take nacked messages for leased ones (%s)", upgrade)
	}
	if s.functions && s.oldRecord && q.lastReadAt {
		d.advice(q.name, "it has a column last_read_at, which PGMQ knows since 1.10: pop and set_vt of the one installed here fail on it (upgrade PGMQ)")
	}
	switch {
	case q.vtIndex:
	case q.partitioned: // cannot be made concurrently
		d.problem(q.name, "no index on vt: every receive reads the whole queue (CREATE INDEX ON %s (vt), which keeps senders out meanwhile)", q.table)
	default:
		d.problem(q.name, "no index on vt: every receive reads the whole queue (CREATE INDEX CONCURRENTLY ON %s (vt))", q.table)
	}
	if q.invalid != "" {
		d.problem(q.name, "unless they are being made now, indexes failed half way: make them again (after DROP INDEX %s)", q.invalid)
	}
	if q.unlogged {
		d.advice(q.name, "it is unlogged: a crash of the server empties it (ALTER TABLE %s SET LOGGED)", q.table)
	}
}

// mayNot reports whether the role lacks a right to the queue's table.
func (q pgQueue) mayNot(right string) bool {
	return slices.Contains(strings.Split(q.lacks, ", "), right)
}

func (d *doctor) rights(q pgQueue, s pgServer) {
	if q.lacks != "" {
		d.advice(q.name, "this role may not do everything (GRANT %s ON %s TO %s)", q.lacks, q.table, s.role)
	}
	if q.archive != "" && q.archiveLacks != "" {
		d.advice(q.name, "this role may not do everything with the archive (GRANT %s ON %s TO %s)", q.archiveLacks, q.archive, s.role)
	}
}

func (d *doctor) rows(q pgQueue) {
	if q.vacuumOff {
		d.problem(q.name, "autovacuum is turned off for its table (ALTER TABLE %s RESET (autovacuum_enabled))", q.table)
	} else if !q.tuned && !q.partitioned {
		d.advice(q.name, "autovacuum has its default pace, which is slow for a queue (docs/pgmq.md, Tuning)")
	}
	if q.dead > manyDead && q.dead > q.live {
		last := "never"
		if q.vacuumed >= 0 {
			last = time.Duration(q.vacuumed*float64(time.Second)).Round(time.Second).String() + " ago"
		}
		d.problem(q.name, "%d dead rows beside %d live ones, last vacuumed %s: receives walk over them (look for long transactions, then VACUUM %s)", q.dead, q.live, last, q.table)
	}
}

func (d *doctor) wakeups(q pgQueue, s pgServer, throttles map[string]int) {
	const lost = "its row in pgmq.notify_insert_throttle is gone, as after a crash: PGMQ's trigger is silent (%s)"
	if !q.trigger {
		d.advice(q.name, "no trigger announces inserts: receivers poll for other programs' messages (%s)", triggerRemedy(q, s))
		return
	}
	ms, ok := throttles[q.name]
	switch {
	case !s.throttled:
		d.problem(q.name, "its trigger wants pgmq.notify_insert_throttle, and without it other programs cannot insert (%s)",
			s.remedy("mq install makes it", "install PGMQ again"))
	case !q.heals && s.throttleReadOnly && !q.mayNot("INSERT"):
		d.problem(q.name, "PGMQ's trigger writes to pgmq.notify_insert_throttle, and this role may not: its sends fail (GRANT SELECT, UPDATE ON pgmq.notify_insert_throttle TO %s)", s.role)
	case throttles == nil, !ok && q.heals:
	case !ok:
		d.problem(q.name, lost, triggerRemedy(q, s))
	case ms == 0:
		d.problem(q.name, "its throttle is 0: each insert notifies, and senders wait for each other (UPDATE pgmq.notify_insert_throttle SET throttle_interval_ms = 250 WHERE lower(queue_name) = %s)", literal(q.name))
	case !q.heals && s.ownTrigger:
		d.advice(q.name, "PGMQ's trigger makes senders wait for each other's transactions, and mq's does not (DROP TRIGGER trigger_notify_queue_insert_listeners ON %s; %s)", q.table, makeTrigger(q))
	}
}

// triggerRemedy gives a queue the trigger that the server has the function of.
func triggerRemedy(q pgQueue, s pgServer) string {
	switch {
	case s.ownTrigger && s.throttled, !s.functions:
		if q.trigger {
			return "DROP TRIGGER trigger_notify_queue_insert_listeners ON " + q.table + "; " + makeTrigger(q)
		}
		return makeTrigger(q)
	case s.notifies:
		return "SELECT pgmq.enable_notify_insert(" + literal(q.name) + ", 250)"
	}
	return "PGMQ has them since 1.8: upgrade it"
}

// makeTrigger makes the trigger of the queues that mq makes. Sessions of mq
// wake receivers themselves.
func makeTrigger(q pgQueue) string {
	return "CREATE TRIGGER trigger_notify_queue_insert_listeners AFTER INSERT ON " + q.table + " FOR EACH STATEMENT " +
		"WHEN (current_setting('mq.notify', true) IS DISTINCT FROM 'own') EXECUTE FUNCTION pgmq.mq_notify_insert(" + literal(q.name) + ", '250')"
}

// literal quotes a name for SQL.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

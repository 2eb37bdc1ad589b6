package main

import (
	"context"
	"database/sql"
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

	groupings []grouping
	hasGroups bool // messages have a Message.Group
}

func (d *doctor) readQueues(ctx context.Context, db *sql.DB) ([]pgQueue, error) {
	queues, err := rowsOf(ctx, db, "queues", func(q *pgQueue) []any {
		return []any{
			&q.name, &q.table, &q.archive, &q.partitioned, &q.unlogged, &q.headers, &q.lastReadAt, &q.vtIndex, &q.invalid,
			&q.live, &q.dead, &q.vacuumed, &q.vacuumOff, &q.tuned, &q.trigger, &q.heals, &q.lacks, &q.archiveLacks,
		}
	})
	if err != nil {
		return nil, err
	}
	return queues, readGroupings(ctx, db, queues)
}

// pgQueue judges one queue of PGMQ.
func (d *doctor) pgQueue(q pgQueue, s pgServer, throttles map[string]int) {
	before := d.said
	d.layout(q, s)
	d.groups(q)
	d.rights(q, s)
	d.rows(q)
	d.wakeups(q, s, throttles)
	if d.said == before {
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
	if !q.vtIndex && !q.partitioned {
		d.problem(q.name, "no index on vt: every receive reads the whole queue (CREATE INDEX CONCURRENTLY ON %s (vt))", q.table)
	}
	if q.invalid != "" {
		d.problem(q.name, "unless they are being made now, indexes failed half way: make them again (after DROP INDEX %s)", q.invalid)
	}
	if q.unlogged {
		d.advice(q.name, "it is unlogged: a crash of the server empties it (ALTER TABLE %s SET LOGGED)", q.table)
	}
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
	enable := "SELECT pgmq.enable_notify_insert(" + literal(q.name) + ", 250)"
	if !q.trigger {
		d.advice(q.name, "no trigger tells of inserts: receivers poll for other programs' messages (%s)", s.remedy(makeTrigger(q), enable))
		return
	}
	ms, ok := throttles[q.name]
	switch {
	case !s.throttled:
		d.problem(q.name, "its trigger wants pgmq.notify_insert_throttle, and without it other programs cannot insert (%s)",
			s.remedy("mq install makes it", "install PGMQ again"))
	case throttles == nil, !ok && q.heals:
	case !ok:
		d.problem(q.name, "its row in pgmq.notify_insert_throttle is gone, as after a crash: PGMQ's trigger is silent (%s)", enable)
	case ms == 0:
		d.problem(q.name, "its throttle is 0: each insert notifies, and senders wait for each other (UPDATE pgmq.notify_insert_throttle SET throttle_interval_ms = 250 WHERE lower(queue_name) = %s)", literal(q.name))
	}
}

// makeTrigger makes the trigger of the queues that mq makes. Sessions of mq
// wake receivers themselves.
func makeTrigger(q pgQueue) string {
	return "CREATE TRIGGER trigger_notify_queue_insert_listeners AFTER INSERT ON " + q.table + " FOR EACH STATEMENT " +
		"WHEN (current_setting('mq.notify', true) IS DISTINCT FROM 'own') EXECUTE FUNCTION pgmq.mq_notify_insert(" + literal(q.name) + ", '250')"
}

// literal quotes a name for SQL.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

package main

import "time"

// Above these figures a queue is worth a word.
const (
	manyDead = 10000 // rows
	manyRows = 10000 // without an index for groups
)

// pgQueue judges one queue of PGMQ.
func (d *doctor) pgQueue(q pgQueue, throttles map[string]int) {
	before := d.said
	d.layout(q)
	d.rights(q)
	d.rows(q)
	d.wakeups(q, throttles)
	if d.said == before {
		d.ok(q.name, "about %d live and %d dead rows", q.live, q.dead)
	}
}

func (d *doctor) layout(q pgQueue) {
	if !q.archive {
		d.problem(q.name, "it has no archive table (mq create %s makes it)", q.name)
	}
	if !q.headers {
		d.advice(q.name, "no column headers: headers, groups and the reasons of dead letters do not work (mq install, or upgrade PGMQ)")
	}
	if !q.lastReadAt {
		d.advice(q.name, "no column last_read_at: stats take nacked messages for leased ones (mq install, or upgrade PGMQ)")
	}
	if !q.vtIndex && !q.partitioned {
		d.problem(q.name, "no index on vt: every receive reads the whole queue (mq install, or CREATE INDEX ON the table (vt))")
	}
	if q.invalid != "" {
		d.problem(q.name, "making an index failed half way: drop %s and make it again", q.invalid)
	}
	if q.unlogged {
		d.advice(q.name, "it is unlogged: a crash of the server empties it")
	}
	if q.headers && !q.grouped && q.live > manyRows {
		d.advice(q.name, "no index for groups: if you receive by group, each receive reads the whole queue (mq create %s -group-by header)", q.name)
	}
}

func (d *doctor) rights(q pgQueue) {
	if q.lacks != "" {
		d.advice(q.name, "this role has no %s on the queue's table", q.lacks)
	}
	if q.archive && q.archiveLacks != "" {
		d.advice(q.name, "this role has no %s on the archive's table", q.archiveLacks)
	}
}

func (d *doctor) rows(q pgQueue) {
	switch {
	case q.vacuumOff:
		d.problem(q.name, "autovacuum is turned off for its table")
	case q.dead > manyDead && q.dead > q.live:
		last := "never"
		if q.vacuumed >= 0 {
			last = time.Duration(q.vacuumed*float64(time.Second)).Round(time.Second).String() + " ago"
		}
		d.problem(q.name, "%d dead rows beside %d live ones, last vacuumed %s: receives walk over them (look for long transactions; VACUUM the table)", q.dead, q.live, last)
	case !q.tuned && !q.partitioned:
		d.advice(q.name, "autovacuum has its default pace, which is slow for a queue (docs/pgmq.md, Tuning)")
	}
}

func (d *doctor) wakeups(q pgQueue, throttles map[string]int) {
	if !q.trigger {
		d.advice(q.name, "no trigger tells of inserts: receivers poll for other programs' messages (pgmq.enable_notify_insert)")
		return
	}
	ms, ok := throttles[q.name]
	switch {
	case throttles == nil, !ok && q.heals:
	case !ok:
		d.problem(q.name, "its row in pgmq.notify_insert_throttle is gone, as after a crash: PGMQ's trigger is silent (pgmq.enable_notify_insert)")
	case ms == 0:
		d.problem(q.name, "its throttle is 0: every sender waits for every other one's transaction (pgmq.update_notify_insert with 250)")
	}
}

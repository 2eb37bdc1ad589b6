package main

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
)

//go:embed doctor.sql
var doctorSQL string

// doctorStatement returns the statement of that name.
func doctorStatement(name string) string {
	_, text, ok := strings.Cut(doctorSQL, "\n-- "+name+"\n")
	if !ok {
		panic("mq: there is no statement " + name) // the file is ours
	}
	text, _, _ = strings.Cut(text, "\n-- ")
	return text
}

// rowsOf runs a statement and scans each row into what dest returns.
func rowsOf[T any](ctx context.Context, db *sql.DB, name string, dest func(*T) []any) (all []T, err error) {
	rows, err := db.QueryContext(ctx, doctorStatement(name))
	if err != nil {
		return nil, fmt.Errorf("looking at the %s: %w", name, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var one T
		if err := rows.Scan(dest(&one)...); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// pgServer is what the statement "server" returns.
type pgServer struct {
	version                    string
	number                     int
	standby, vacuums           bool
	connections, maxConns      int
	extension                  string
	functions, schema, meta    bool
	throttled, throttleVisible bool
}

// pgmq looks at a database.
func (d *doctor) pgmq(ctx context.Context, dsn string, queues []string) error {
	db, err := pgmq.OpenDB(dsn)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	servers, err := rowsOf(ctx, db, "server", func(s *pgServer) []any {
		return []any{
			&s.version, &s.number, &s.standby, &s.vacuums, &s.connections, &s.maxConns, &s.extension,
			&s.functions, &s.schema, &s.meta, &s.throttled, &s.throttleVisible,
		}
	})
	if err != nil {
		return err
	}
	s := servers[0]
	d.server(s)
	if err := d.horizon(ctx, db); err != nil {
		return err
	}
	if !s.schema {
		d.advice("schema", "there is no schema pgmq yet (mq install or mq create makes it)")
		return nil
	}
	return d.pgQueues(ctx, db, s, queues)
}

// server judges what all queues have in common.
func (d *doctor) server(s pgServer) {
	switch {
	case s.number < 130000:
		d.problem("version", "PostgreSQL %s is too old: 13 is the oldest that works", s.version)
	default:
		d.ok("version", "PostgreSQL %s", s.version)
	}
	switch {
	case s.extension != "":
		d.ok("pgmq", "extension %s", s.extension)
	case s.functions:
		d.ok("pgmq", "installed as plain SQL")
	case s.schema:
		d.ok("pgmq", "not installed; the tables are made by mq")
	}
	if s.standby {
		d.problem("server", "it is a standby, where nothing can be received or sent (target_session_attrs=read-write finds the primary)")
	}
	if !s.vacuums {
		d.problem("autovacuum", "it is off: dead rows stay, and every receive walks over them (set autovacuum and track_counts to on)")
	}
	if used := 100 * s.connections / max(s.maxConns, 1); used >= 90 {
		d.problem("connections", "%d of %d are used (raise max_connections, or lower pool_max_conns)", s.connections, s.maxConns)
	}
	switch {
	case s.throttled && !s.throttleVisible:
		d.advice("rights", "no SELECT on pgmq.notify_insert_throttle: this role's receivers poll instead of listening")
	case s.schema && !s.throttled:
		d.advice("wake-ups", "there is no table pgmq.notify_insert_throttle: receivers poll for other programs' messages")
	}
}

// How long a transaction may be open before it is worth a word, or harmful.
const longTransaction, harmfulTransaction = time.Minute, 10 * time.Minute

// horizon looks for what keeps dead rows from being removed.
func (d *doctor) horizon(ctx context.Context, db *sql.DB) error {
	type holder struct {
		what    string
		seconds float64
	}
	holders, err := rowsOf(ctx, db, "oldest", func(h *holder) []any { return []any{&h.what, &h.seconds} })
	if err != nil {
		return err
	}
	for _, h := range holders {
		age := time.Duration(h.seconds * float64(time.Second)).Round(time.Second)
		const text = "%s has a transaction open for %v: dead rows cannot be removed until it ends"
		switch {
		case age >= harmfulTransaction:
			d.problem("oldest transaction", text, h.what, age)
		case age >= longTransaction:
			d.advice("oldest transaction", text, h.what, age)
		}
	}
	type slot struct {
		name string
		age  int64
	}
	slots, err := rowsOf(ctx, db, "slots", func(s *slot) []any { return []any{&s.name, &s.age} })
	for _, s := range slots {
		d.problem("replication slot", "nobody uses slot %s, and it keeps dead rows of the last %d transactions (drop it if it is not needed)", s.name, s.age)
	}
	return err
}

// pgQueue is what the statement "queues" returns.
type pgQueue struct {
	name                           string
	partitioned, unlogged, archive bool
	headers, lastReadAt, vtIndex   bool
	invalid                        string // indexes
	grouped                        bool
	live, dead                     int64
	vacuumed                       float64 // seconds ago, or -1
	vacuumOff, tuned               bool
	trigger, heals                 bool   // the trigger puts its row back
	lacks, archiveLacks            string // rights
}

func (d *doctor) pgQueues(ctx context.Context, db *sql.DB, s pgServer, names []string) error {
	queues, err := rowsOf(ctx, db, "queues", func(q *pgQueue) []any {
		return []any{
			&q.name, &q.partitioned, &q.unlogged, &q.archive, &q.headers, &q.lastReadAt, &q.vtIndex, &q.invalid, &q.grouped,
			&q.live, &q.dead, &q.vacuumed, &q.vacuumOff, &q.tuned, &q.trigger, &q.heals, &q.lacks, &q.archiveLacks,
		}
	})
	if err != nil {
		return err
	}
	throttles, err := throttlesOf(ctx, db, s)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		if err := d.meta(ctx, db, s, queues); err != nil {
			return err
		}
	}
	for i, name := range names {
		names[i] = strings.ToLower(name)
		if !slices.ContainsFunc(queues, func(q pgQueue) bool { return q.name == names[i] }) {
			return fmt.Errorf("%w: %s", mq.ErrQueueNotFound, name)
		}
	}
	for _, q := range queues {
		if len(names) == 0 || slices.Contains(names, q.name) {
			d.pgQueue(q, throttles)
		}
	}
	return nil
}

// throttlesOf returns the throttles by queue, or nil if they cannot be seen.
func throttlesOf(ctx context.Context, db *sql.DB, s pgServer) (map[string]int, error) {
	if !s.throttled || !s.throttleVisible {
		return nil, nil
	}
	type throttle struct {
		queue string
		ms    int
	}
	rows, err := rowsOf(ctx, db, "throttle", func(t *throttle) []any { return []any{&t.queue, &t.ms} })
	throttles := make(map[string]int)
	for _, t := range rows {
		throttles[t.queue] = t.ms
	}
	return throttles, err
}

// meta compares pgmq.meta with the tables.
func (d *doctor) meta(ctx context.Context, db *sql.DB, s pgServer, queues []pgQueue) error {
	if !s.meta {
		d.advice("meta", "pgmq.meta is missing or may not be read: PGMQ's own functions do not list the queues")
		return nil
	}
	type entry struct {
		name  string
		there bool
	}
	entries, err := rowsOf(ctx, db, "meta", func(e *entry) []any { return []any{&e.name, &e.there} })
	listed := make(map[string]bool)
	for _, e := range entries {
		listed[strings.ToLower(e.name)] = true
		if !e.there {
			d.problem("meta", "queue %s is listed and has no table, which makes pgmq.metrics_all() fail (delete its row)", e.name)
		}
	}
	for _, q := range queues {
		if err == nil && !listed[q.name] {
			d.advice(q.name, "it is not in pgmq.meta: PGMQ's own functions do not list it (mq install adds it)")
		}
	}
	return err
}

package main

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
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
func rowsOf[T any](ctx context.Context, db *sql.DB, name string, dest func(*T) []any, args ...any) (all []T, err error) {
	err = readOnly(ctx, db, func(ctx context.Context, tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, doctorStatement(name), args...)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var one T
			if err := rows.Scan(dest(&one)...); err != nil {
				return err
			}
			all = append(all, one)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// pgServer is what the statement "server" returns.
type pgServer struct {
	version                    string
	number                     int
	standby                    bool
	role                       string // ours, as SQL
	seesAll                    bool   // other roles' transactions too
	vacuums                    bool
	connections, maxConns      int
	extension                  string
	schema, usable             bool
	functions                  bool // PGMQ's own
	notifies                   bool // since 1.8 it has triggers
	ownTrigger                 bool // the function of mq's trigger is there
	oldRecord                  bool // before 1.10 they know no last_read_at
	meta, metaVisible          bool
	throttled, throttleVisible bool
	throttleReadOnly           bool
}

// remedy returns what helps with tables of mq's own, or where PGMQ is
// installed.
func (s *pgServer) remedy(own, upstream string) string {
	if s.functions {
		return upstream
	}
	return own
}

// pgmq looks at a database.
func (d *doctor) pgmq(ctx context.Context, dsn string, queues []string) error {
	db, err := pgmq.OpenDB(dsn)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	d.db = db
	s, err := d.readServer(ctx)
	if err != nil {
		return err
	}
	d.pooler(ctx, dsn)
	if err := d.horizon(ctx); err != nil {
		return err
	}
	if s == nil || !s.usable {
		return context.Cause(ctx)
	}
	return d.pgQueues(ctx, *s, queues)
}

// readServer returns nil if it could not look at the server.
func (d *doctor) readServer(ctx context.Context) (*pgServer, error) {
	servers, err := rowsOf(ctx, d.db, "server", func(s *pgServer) []any {
		return []any{
			&s.version, &s.number, &s.standby, &s.role, &s.seesAll, &s.vacuums, &s.connections, &s.maxConns, &s.extension,
			&s.schema, &s.usable, &s.functions, &s.notifies, &s.ownTrigger, &s.oldRecord, &s.meta, &s.metaVisible,
			&s.throttled, &s.throttleVisible, &s.throttleReadOnly,
		}
	})
	if err != nil {
		return nil, d.unseen(ctx, look{"server", "its settings and the schema of PGMQ", nil}, err)
	}
	d.server(servers[0])
	d.sharing(servers[0])
	return &servers[0], nil
}

// server judges PostgreSQL.
func (d *doctor) server(s pgServer) {
	if s.number < 130000 {
		d.problem("version", "PostgreSQL %s is too old: 13 is the oldest that works", s.version)
	} else {
		d.ok("version", "PostgreSQL %s", s.version)
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
	if !s.seesAll {
		d.advice("rights", "other roles' transactions, which keep dead rows, cannot be seen (GRANT pg_read_all_stats TO %s)", s.role)
	}
}

// sharing judges what the queues have in common.
func (d *doctor) sharing(s pgServer) {
	switch {
	case !s.schema:
		d.advice("schema", "there is no schema pgmq yet (mq install or mq create makes it)")
		return
	case !s.usable:
		d.problem("rights", "this role may not use the schema (GRANT USAGE ON SCHEMA pgmq TO %s)", s.role)
		return
	case s.extension != "":
		d.ok("pgmq", "extension %s", s.extension)
	case s.functions:
		d.ok("pgmq", "installed as plain SQL")
	default:
		d.ok("pgmq", "not installed; the tables are made by mq")
	}
	switch {
	case !s.meta:
		d.advice("meta", "there is no table pgmq.meta: PGMQ's own functions do not list the queues (mq install makes it)")
	case !s.metaVisible:
		d.advice("rights", "pgmq.meta cannot be compared with the tables (GRANT SELECT ON pgmq.meta TO %s)", s.role)
	}
	switch {
	case !s.throttled:
		d.advice("wake-ups", "there is no table pgmq.notify_insert_throttle: receivers poll for other programs' messages (%s)",
			s.remedy("mq install makes it", "PGMQ has it since 1.8"))
	case !s.throttleVisible:
		d.advice("rights", "this role's receivers poll instead of listening (GRANT SELECT ON pgmq.notify_insert_throttle TO %s)", s.role)
	}
}

// How long a transaction may be open before it is worth a word, or harmful.
const longTransaction, harmfulTransaction = time.Minute, 10 * time.Minute

// holder is what the statement "oldest" returns.
type holder struct {
	what    string
	seconds float64
}

// horizon looks for what keeps dead rows from being removed.
func (d *doctor) horizon(ctx context.Context) error {
	holders, err := rowsOf(ctx, d.db, "oldest", func(h *holder) []any { return []any{&h.what, &h.seconds} })
	if err := d.unseen(ctx, look{"oldest transaction", "transactions", nil}, err); err != nil {
		return err
	}
	for _, h := range holders {
		d.holder(h)
	}
	type slot struct {
		name string
		age  int64
	}
	slots, err := rowsOf(ctx, d.db, "slots", func(s *slot) []any { return []any{&s.name, &s.age} })
	for _, s := range slots {
		d.problem("replication slot", "nobody uses slot %s, and it keeps dead rows of the last %d transactions (drop it if it is not needed)", s.name, s.age)
	}
	return d.unseen(ctx, look{"replication slot", "slots", nil}, err)
}

func (d *doctor) holder(h holder) {
	age := time.Duration(h.seconds * float64(time.Second)).Round(time.Second)
	const text = "%s has a transaction open for %v: dead rows cannot be removed until it ends"
	switch {
	case age >= harmfulTransaction:
		d.problem("oldest transaction", text, h.what, age)
	case age >= longTransaction:
		d.advice("oldest transaction", text, h.what, age)
	}
}

func (d *doctor) pgQueues(ctx context.Context, s pgServer, names []string) error {
	queues, seen, err := d.readQueues(ctx)
	if err != nil || !seen {
		return err
	}
	throttles, err := d.readThrottles(ctx, s)
	if err != nil {
		return err
	}
	if len(names) == 0 && s.metaVisible {
		if err := d.meta(ctx, s, queues); err != nil {
			return err
		}
	}
	var missing []error
	for i, name := range names {
		names[i] = strings.ToLower(name)
		if !slices.ContainsFunc(queues, func(q pgQueue) bool { return q.name == names[i] }) {
			missing = append(missing, fmt.Errorf("%w: %s", mq.ErrQueueNotFound, name))
		}
	}
	for _, q := range queues {
		if len(names) > 0 && !slices.Contains(names, q.name) {
			continue
		}
		err := q.readTables(ctx, d.db)
		d.pgQueue(q, s, throttles)
		if err := d.unseen(ctx, look{q.name, "its tables", []string{"q_" + q.name, "a_" + q.name}}, err); err != nil {
			return err
		}
	}
	return errors.Join(missing...)
}

// readThrottles returns the throttles by queue, or nil if they cannot be seen.
func (d *doctor) readThrottles(ctx context.Context, s pgServer) (map[string]int, error) {
	if !s.throttled || !s.throttleVisible {
		return nil, nil
	}
	type throttle struct {
		queue string
		ms    int
	}
	rows, err := rowsOf(ctx, d.db, "throttle", func(t *throttle) []any { return []any{&t.queue, &t.ms} })
	if err != nil {
		return nil, d.unseen(ctx, look{"wake-ups", "pgmq.notify_insert_throttle", []string{"notify_insert_throttle"}}, err)
	}
	throttles := make(map[string]int)
	for _, t := range rows {
		throttles[t.queue] = t.ms
	}
	return throttles, nil
}

// meta compares pgmq.meta with the tables.
func (d *doctor) meta(ctx context.Context, s pgServer, queues []pgQueue) error {
	type entry struct {
		name, literal string
		there         bool
		partitionOf   string
	}
	entries, err := rowsOf(ctx, d.db, "meta", func(e *entry) []any { return []any{&e.name, &e.literal, &e.there, &e.partitionOf} })
	if err != nil {
		return d.unseen(ctx, look{"meta", "pgmq.meta", []string{"meta"}}, err)
	}
	listed := make(map[string]bool)
	for _, e := range entries {
		listed[strings.ToLower(e.name)] = true
		if parent := e.partitionOf; parent != "" {
			d.problem("meta", "queue %s is listed, and its table is a partition of %s: purging or dropping it would delete messages of %s (DELETE FROM pgmq.meta WHERE queue_name = %s)",
				e.name, parent, strings.TrimPrefix(parent, "q_"), e.literal)
		}
		if !e.there {
			d.problem("meta", "queue %s is listed and has no table, which makes pgmq.metrics_all() fail (DELETE FROM pgmq.meta WHERE queue_name = %s)", e.name, e.literal)
		}
	}
	for _, q := range queues {
		if listed[q.name] {
			continue
		}
		remedy := s.remedy("mq install adds it", "SELECT pgmq.create("+literal(q.name)+")")
		d.advice(q.name, "it is not in pgmq.meta: PGMQ's own functions do not list it (%s)", remedy)
	}
	return nil
}

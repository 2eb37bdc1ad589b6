package cli

import (
	"strings"
	"testing"

	"github.com/portmq/mq/internal/integration/pgmq/layouts"
)

// finding is what mq doctor -o json shows.
type finding struct{ Level, Where, Finding string }

// examine runs mq doctor, whose exit code says whether there is a problem.
func (m *tool) examine(queues ...string) []finding {
	m.Helper()
	r := m.run(append([]string{"doctor", "-o", "json"}, queues...)...)
	fs := lines[finding](m, r.stdout)
	problems := 0
	for _, f := range fs {
		if f.Level == "problem" {
			problems++
		}
	}
	switch {
	case problems > 0:
		m.fails(r, failure, "problem")
	case r.code != ok || r.stderr != "":
		m.Errorf("doctor: exit code %d without a problem\n%s", r.code, r.stderr)
	}
	return fs
}

// ofOthers reports whether other tests, which share the server, may have caused
// a finding.
func (f finding) ofOthers() bool { return f.Where == "connections" || f.Where == "replication slot" }

// healthy requires that the doctor finds nothing at all.
func (m *tool) healthy(queues ...string) {
	m.Helper()
	for _, f := range m.examine(queues...) {
		if f.Level != "ok" && !f.ofOthers() {
			m.Errorf("the doctor finds %+v", f)
		}
	}
}

// ailment is something that the doctor finds, and that what it names cures.
type ailment struct {
	name, cause           string // SQL
	level, where, finding string
	remedy                string // SQL or a command, as the finding names it
	cure                  string // what to run instead of the remedy
}

// suffer requires that the doctor finds it. The remedy can be run.
func (s *shop) suffer(a ailment) {
	s.Helper()
	for _, f := range s.examine() {
		if f.Where == a.where && strings.Contains(f.Finding, a.finding) && strings.Contains(f.Finding, a.remedy) && f.Level == a.level {
			return
		}
	}
	s.Fatalf("the doctor does not find %+v but\n%s", a, s.run("doctor").stdout)
}

// recover runs the remedy, after which the doctor finds nothing.
func (s *shop) recover(a ailment) {
	s.Helper()
	if a.cure == "" {
		a.cure = a.remedy
	}
	if command, ok := strings.CutPrefix(a.cure, "mq "); ok {
		s.must(strings.Fields(command)...)
	} else {
		s.exec(a.cure)
	}
	s.healthy()
	if s.count("SELECT count(*) FROM pg_tables WHERE tablename = 'q_w'") > 0 { // and others can insert
		s.exec("INSERT INTO pgmq.q_w (vt, message) VALUES (now(), '{}')")
	}
}

const makeTrigger = "CREATE TRIGGER trigger_notify_queue_insert_listeners AFTER INSERT ON pgmq.q_w FOR EACH STATEMENT " +
	"WHEN (current_setting('mq.notify', true) IS DISTINCT FROM 'own') EXECUTE FUNCTION pgmq.mq_notify_insert('w', '250')"

// ailments are those of queues that mq has made.
var ailments = []ailment{
	{"archive", "DROP TABLE pgmq.a_w", "problem", "w", "no archive table", "mq create w", ""},
	{"headers", "ALTER TABLE pgmq.q_w DROP COLUMN headers", "advice", "w", "no column headers", "mq install", ""},
	{"last_read_at", "ALTER TABLE pgmq.q_w DROP COLUMN last_read_at", "advice", "w", "no column last_read_at", "mq install", ""},
	{"vt", "DROP INDEX pgmq.q_w_vt_idx", "problem", "w", "no index on vt", "CREATE INDEX CONCURRENTLY ON pgmq.q_w (vt)", ""},
	{"vt installed", "DROP INDEX pgmq.q_w_vt_idx", "problem", "w", "no index on vt", "", "mq install"},
	{
		"vt partial", "DROP INDEX pgmq.q_w_vt_idx; CREATE INDEX few ON pgmq.q_w (vt) WHERE read_ct > 0",
		"problem", "w", "no index on vt", "", "mq install",
	},
	{"unlogged", "ALTER TABLE pgmq.q_w SET UNLOGGED", "advice", "w", "it is unlogged", "ALTER TABLE pgmq.q_w SET LOGGED", ""},
	{
		"autovacuum", "ALTER TABLE pgmq.q_w SET (autovacuum_enabled = off)",
		"problem", "w", "autovacuum is turned off", "ALTER TABLE pgmq.q_w RESET (autovacuum_enabled)", "",
	},
	{
		"pace", "ALTER TABLE pgmq.q_w RESET (autovacuum_vacuum_scale_factor)",
		"advice", "w", "default pace", "docs/pgmq.md, Tuning", "ALTER TABLE pgmq.q_w SET (autovacuum_vacuum_scale_factor = 0.01)",
	},
	{"trigger", "DROP TRIGGER trigger_notify_queue_insert_listeners ON pgmq.q_w", "advice", "w", "no trigger", makeTrigger, ""},
	{
		"throttle 0", "UPDATE pgmq.notify_insert_throttle SET throttle_interval_ms = 0", "problem", "w", "its throttle is 0",
		"UPDATE pgmq.notify_insert_throttle SET throttle_interval_ms = 250 WHERE lower(queue_name) = 'w'", "",
	},
	{"throttles", "DROP TABLE pgmq.notify_insert_throttle", "advice", "wake-ups", "there is no table", "mq install", ""},
	{"throttles and trigger", "DROP TABLE pgmq.notify_insert_throttle", "problem", "w", "other programs cannot insert", "mq install", ""},
	{"not in meta", "DELETE FROM pgmq.meta", "advice", "w", "it is not in pgmq.meta", "mq install", ""},
	{"meta", "DROP TABLE pgmq.meta CASCADE", "advice", "meta", "there is no table pgmq.meta", "mq install", ""},
	{
		"in meta only", "INSERT INTO pgmq.meta VALUES ('it''s', false, false)",
		"problem", "meta", "queue it's is listed and has no table", "DELETE FROM pgmq.meta WHERE queue_name = 'it''s'", "",
	},
	{
		"ids after TRUNCATE", "INSERT INTO pgmq.a_w (msg_id, vt, message) VALUES (1000, now(), '{}'); TRUNCATE pgmq.q_w RESTART IDENTITY", "problem", "w",
		"ids come again: the next message gets 1, and there are messages up to 1000", "SELECT setval('pgmq.q_w_msg_id_seq', 1000)", "",
	},
	{
		"a partition", `CREATE TABLE pgmq.q_p (LIKE pgmq.q_w) PARTITION BY RANGE (msg_id); CREATE TABLE pgmq.q_p_0 PARTITION OF pgmq.q_p FOR VALUES FROM (0) TO (9);
		INSERT INTO pgmq.meta VALUES ('p_0', false, false)`, "problem", "meta", "queue p_0 is listed, and its table is a partition of q_p",
		"DELETE FROM pgmq.meta WHERE queue_name = 'p_0'", "DELETE FROM pgmq.meta WHERE queue_name = 'p_0'; DROP TABLE pgmq.q_p",
	},
	{"schema", "DROP SCHEMA pgmq CASCADE", "advice", "schema", "there is no schema pgmq yet", "mq install", ""},
}

// In a database with PGMQ mq may have made its own trigger, or PGMQ's. putTrigger
// makes the one that there is a function for; dropOwn leaves PGMQ's.
const (
	putTrigger = "DO $do$ BEGIN IF to_regproc('pgmq.mq_notify_insert') IS NULL THEN PERFORM pgmq.enable_notify_insert('w', 250); ELSE " + makeTrigger + "; END IF; END $do$"
	dropOwn    = "DO $do$ BEGIN IF to_regproc('pgmq.mq_notify_insert') IS NOT NULL THEN DROP FUNCTION pgmq.mq_notify_insert CASCADE; PERFORM pgmq.enable_notify_insert('w', 250); DELETE FROM pgmq.notify_insert_throttle; END IF; END $do$"
)

// ofPGMQ are those of queues that PGMQ has made.
var ofPGMQ = []ailment{
	{"trigger", "DROP TRIGGER trigger_notify_queue_insert_listeners ON pgmq.q_w", "advice", "w", "no trigger", "", putTrigger},
	{
		"throttle gone", "DELETE FROM pgmq.notify_insert_throttle; " + dropOwn, "problem", "w",
		"its row in pgmq.notify_insert_throttle is gone", "SELECT pgmq.enable_notify_insert('w', 250)", "",
	},
	{
		"no triggers yet", dropOwn + "; ALTER FUNCTION pgmq.enable_notify_insert RENAME TO later; DROP TRIGGER trigger_notify_queue_insert_listeners ON pgmq.q_w",
		"advice", "w", "no trigger", "PGMQ has them since 1.8: upgrade it", "ALTER FUNCTION pgmq.later RENAME TO enable_notify_insert; " + putTrigger,
	},
	{
		"older functions", "ALTER TYPE pgmq.message_record DROP ATTRIBUTE last_read_at CASCADE",
		"advice", "w", "pop and set_vt of the one installed here fail", "upgrade PGMQ", "ALTER TYPE pgmq.message_record ADD ATTRIBUTE last_read_at timestamptz CASCADE",
	},
	{
		"throttle 0", "UPDATE pgmq.notify_insert_throttle SET throttle_interval_ms = 0", "problem", "w", "its throttle is 0",
		"UPDATE pgmq.notify_insert_throttle SET throttle_interval_ms = 250 WHERE lower(queue_name) = 'w'", "",
	},
	{
		"not in meta", "DELETE FROM pgmq.meta; INSERT INTO pgmq.notify_insert_throttle SELECT 'w', 250 WHERE false", "advice", "w",
		"it is not in pgmq.meta", "SELECT pgmq.create('w')", "SELECT pgmq.create('w'), pgmq.enable_notify_insert('w', 250)",
	},
	{"headers", "ALTER TABLE pgmq.q_w DROP COLUMN headers", "advice", "w", "no column headers", "upgrade PGMQ", "ALTER TABLE pgmq.q_w ADD headers jsonb"},
}

func TestDoctorPGMQ(t *testing.T) {
	t.Run("own", func(t *testing.T) {
		t.Parallel()
		newShop(t).goThrough(ailments)
	})
	t.Run("of PGMQ", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		layouts.Functions(t, s.db)
		s.goThrough(ofPGMQ)
	})
}

// goThrough lets queue w have one ailment after the other.
func (s *shop) goThrough(ailments []ailment) {
	s.Helper()
	s.must("create", "w")
	s.healthy()
	for _, a := range ailments {
		s.Run(a.name, func(t *testing.T) {
			s := s.of(t)
			s.exec(a.cause)
			s.suffer(a)
			s.recover(a)
		})
	}
}

// TestDoctorQueues: those that are named are looked at, the others are not.
func TestDoctorQueues(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.must("create", "w", "other")
	s.exec("DROP TABLE pgmq.a_other")
	s.healthy("W")
	if fs := s.examine("w", "other"); fs[len(fs)-1].Level != "ok" || fs[len(fs)-2].Level != "problem" {
		t.Errorf("the doctor finds %+v", fs)
	}
	s.fails(s.run("doctor", "w", "missing"), failure, "missing", "mq create")
}

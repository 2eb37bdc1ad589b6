package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/mqtest"
)

func TestDoctor(t *testing.T) {
	d := newDesk(t, "mem")
	if got := d.must("doctor", "w"); !strings.Contains(got, "mem answers after") {
		t.Errorf("the doctor says %s", got)
	}
	if got := d.must("doctor", "-o", "json"); !strings.HasPrefix(got, `{"level":"ok","where":"connection","finding":"mem answers after `) {
		t.Errorf("the doctor says %s", got)
	}
}

// findings runs f on a doctor, and returns what it says.
func findings(t *testing.T, f func(*doctor)) (text string, problems int) {
	t.Helper()
	a, stdout, _ := newDesk(t, "mem").app()
	a.output = "table"
	d := &doctor{app: a, out: newPrinter(a)}
	f(d)
	if err := d.out.flush(); err != nil {
		t.Fatal(err)
	}
	if (d.verdict() != nil) != (d.problems > 0) {
		t.Errorf("%d problems, and %v", d.problems, d.verdict())
	}
	return stdout.String(), d.problems
}

func healthyQueue() pgQueue {
	return pgQueue{name: "w", table: "pgmq.q_w", archive: "pgmq.a_w", headers: true, lastReadAt: true, vtIndex: true, live: 5, tuned: true, trigger: true}
}

func TestDoctorQueue(t *testing.T) {
	throttled := map[string]int{"w": 250}
	for _, tt := range []struct {
		change    func(*pgQueue)
		throttles map[string]int
		want      string
		problem   bool
	}{
		{func(*pgQueue) {}, throttled, "about 5 live and 0 dead rows", false},
		{func(*pgQueue) {}, nil, "about 5 live", false}, // the throttles cannot be seen
		{func(q *pgQueue) { q.archive = "" }, throttled, "no archive table (mq create w makes it)", true},
		{func(q *pgQueue) { q.archive, q.archiveLacks = "", "SELECT" }, throttled, "no archive table", true},
		{func(q *pgQueue) { q.headers = false }, throttled, "no column headers", false},
		{func(q *pgQueue) { q.lastReadAt = false }, throttled, "no column last_read_at", false},
		{func(q *pgQueue) { q.vtIndex = false }, throttled, "no index on vt", true},
		{func(q *pgQueue) { q.vtIndex, q.partitioned = false, true }, throttled, "no index on vt: every receive reads the whole queue (CREATE INDEX ON pgmq.q_w (vt)", true},
		{func(q *pgQueue) { q.next, q.max, q.sequence = 3, 2, "pgmq.s" }, throttled, "about 5 live", false},
		{func(q *pgQueue) { q.next, q.max, q.sequence = 2, 2, "pgmq.s" }, throttled, "the next message gets 2, and there are messages up to 2: sends fail, or dead letters find no place (SELECT setval('pgmq.s', 2))", true},
		{func(q *pgQueue) { q.strays = []stray{{"pgmq.q_w_default", 1}} }, throttled, "1 row in the default partition pgmq.q_w_default", true},
		{func(q *pgQueue) { q.invalid = "pgmq.broken" }, throttled, "(after DROP INDEX pgmq.broken)", true},
		{func(q *pgQueue) { q.unlogged = true }, throttled, "it is unlogged", false},
		{func(q *pgQueue) { q.lacks = "INSERT, DELETE" }, throttled, "(GRANT INSERT, DELETE ON pgmq.q_w TO app)", false},
		{func(q *pgQueue) { q.archiveLacks = "SELECT" }, throttled, "(GRANT SELECT ON pgmq.a_w TO app)", false},
		{func(q *pgQueue) { q.vacuumOff = true }, throttled, "autovacuum is turned off", true},
		{func(q *pgQueue) { q.dead, q.vacuumed = manyDead+1, -1 }, throttled, "10001 dead rows beside 5 live ones, last vacuumed never", true},
		{func(q *pgQueue) { q.dead, q.vacuumed = manyDead+1, 90 }, throttled, "last vacuumed 1m30s ago", true},
		{func(q *pgQueue) { q.dead, q.live = manyDead, manyDead-1 }, throttled, "and 10000 dead rows", false},
		{func(q *pgQueue) { q.tuned = false }, throttled, "default pace", false},
		{func(q *pgQueue) { q.trigger = false }, throttled, "no trigger announces inserts", false},
		{func(*pgQueue) {}, map[string]int{}, "notify_insert_throttle is gone", true},
		{func(q *pgQueue) { q.heals = true }, map[string]int{}, "about 5 live", false},
		{func(*pgQueue) {}, map[string]int{"w": 0}, "its throttle is 0", true},
	} {
		q := healthyQueue()
		tt.change(&q)
		text, problems := findings(t, func(d *doctor) { d.pgQueue(q, pgServer{role: "app", throttled: true}, tt.throttles) })
		if !strings.Contains(text, tt.want) || strings.Count(text, "\n") != 1 || (problems > 0) != tt.problem {
			t.Errorf("%+v: %d problems:\n%swant %q", q, problems, text, tt.want)
		}
	}
}

// TestDoctorTrigger: the remedy is what the server has functions for.
func TestDoctorTrigger(t *testing.T) {
	throttled := map[string]int{"w": 250}
	for _, tt := range []struct {
		name      string
		server    pgServer
		change    func(*pgQueue)
		throttles map[string]int
		want      string
	}{
		{"none, mq's tables", pgServer{throttled: true}, func(q *pgQueue) { q.trigger = false }, throttled, "(CREATE TRIGGER "},
		{"none, PGMQ 1.13", pgServer{throttled: true, functions: true, notifies: true}, func(q *pgQueue) { q.trigger = false }, throttled, "enable_notify_insert('w', 250)"},
		{"none, PGMQ 1.13 and mq's function", pgServer{throttled: true, functions: true, notifies: true, ownTrigger: true}, func(q *pgQueue) { q.trigger = false }, throttled, "(CREATE TRIGGER "},
		{"none, PGMQ 1.5", pgServer{functions: true}, func(q *pgQueue) { q.trigger = false }, nil, "(PGMQ has them since 1.8: upgrade it)"},
		{"silent, PGMQ 1.13", pgServer{throttled: true, functions: true, notifies: true}, func(*pgQueue) {}, map[string]int{}, "is silent (SELECT pgmq.enable"},
		{"PGMQ's beside mq's function", pgServer{throttled: true, functions: true, notifies: true, ownTrigger: true}, func(*pgQueue) {}, throttled, "(DROP TRIGGER trigger_notify_queue_insert_listeners ON pgmq.q_w; CREATE TRIGGER "},
		{"no right", pgServer{throttled: true, throttleReadOnly: true, role: "app"}, func(*pgQueue) {}, throttled, "its sends fail (GRANT SELECT, UPDATE ON pgmq.notify_insert_throttle TO app)"},
		{"no right to see either", pgServer{throttled: true, throttleReadOnly: true, role: "app"}, func(*pgQueue) {}, nil, "its sends fail (GRANT SELECT, UPDATE"},
		{"no right, no need", pgServer{throttled: true, throttleReadOnly: true}, func(q *pgQueue) { q.heals = true }, throttled, "about 5 live"},
		{"functions of PGMQ 1.5", pgServer{throttled: true, functions: true, oldRecord: true}, func(*pgQueue) {}, throttled, "pop and set_vt of the one installed here fail on it (upgrade PGMQ)"},
	} {
		q := healthyQueue()
		tt.change(&q)
		text, _ := findings(t, func(d *doctor) { d.pgQueue(q, tt.server, tt.throttles) })
		if !strings.Contains(text, tt.want) || strings.Count(text, "\n") != 1 {
			t.Errorf("%s:\n%swant %q", tt.name, text, tt.want)
		}
	}
}

func TestDoctorGroups(t *testing.T) {
	header, path := grouping{"w", "header", groupIndexes}, grouping{"w", "repo.id", groupIndexes}
	const none, half, unindexed = "no index for groups: if you receive by group", "failed half way", "messages have groups, and there is no index for them"
	for _, tt := range []struct {
		name      string
		live      int64
		groupings []grouping
		hasGroups bool
		want      string
	}{
		{"short", manyRows, nil, true, ""},
		{"nothing known", manyRows + 1, nil, false, none},
		{"by header, no index", manyRows + 1, nil, true, unindexed},
		{"by header", manyRows + 1, []grouping{header}, true, ""},
		{"by path", manyRows + 1, []grouping{path}, false, ""},
		{"by both", manyRows + 1, []grouping{header, path}, true, ""},
		{"by both, one without an index", manyRows + 1, []grouping{path}, true, unindexed},
		{"half of the header's", 5, []grouping{{"w", "header", 1}}, true, "mq create w -group-by header"},
		{"nothing of the header's is valid", manyRows + 1, []grouping{{"w", "header", 0}}, true, half},
		{"half of a path's", 5, []grouping{header, {"w", "repo.id", 1}}, true, "mq create w -group-by repo.id"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := healthyQueue()
			q.live, q.groupings, q.hasGroups = tt.live, tt.groupings, tt.hasGroups
			text, problems := findings(t, func(d *doctor) { d.groups(q) })
			if !strings.Contains(text, tt.want) || (tt.want == "") != (text == "") || (problems > 0) != strings.Contains(text, half) {
				t.Errorf("%d problems:\n%swant %q", problems, text, tt.want)
			}
		})
	}
}

func TestDoctorServer(t *testing.T) {
	healthy := pgServer{
		version: "15.1", number: 150001, role: "app", seesAll: true, vacuums: true, maxConns: 100, connections: 5,
		schema: true, usable: true, meta: true, metaVisible: true, throttled: true, throttleVisible: true,
	}
	for _, tt := range []struct {
		change  func(*pgServer)
		want    string
		problem bool
	}{
		{func(*pgServer) {}, "PostgreSQL 15.1", false},
		{func(*pgServer) {}, "the tables are made by mq", false},
		{func(s *pgServer) { s.extension = "1.8.0" }, "extension 1.8.0", false},
		{func(s *pgServer) { s.functions = true }, "installed as plain SQL", false},
		{func(s *pgServer) { s.number = 120009 }, "is too old", true},
		{func(s *pgServer) { s.standby = true }, "it is a standby", true},
		{func(s *pgServer) { s.vacuums = false }, "it is off", true},
		{func(s *pgServer) { s.connections = 90 }, "90 of 100 are used", true},
		{func(s *pgServer) { s.seesAll = false }, "(GRANT pg_read_all_stats TO app)", false},
		{func(s *pgServer) { s.schema, s.usable = false, false }, "there is no schema pgmq yet (mq install or mq create makes it)", false},
		{func(s *pgServer) { s.usable = false }, "(GRANT USAGE ON SCHEMA pgmq TO app)", true},
		{func(s *pgServer) { s.meta, s.metaVisible = false, false }, "there is no table pgmq.meta", false},
		{func(s *pgServer) { s.metaVisible = false }, "(GRANT SELECT ON pgmq.meta TO app)", false},
		{func(s *pgServer) { s.throttleVisible = false }, "poll instead of listening", false},
		{func(s *pgServer) { s.throttled = false }, "there is no table pgmq.notify_insert_throttle", false},
	} {
		s := healthy
		tt.change(&s)
		text, problems := findings(t, func(d *doctor) {
			d.server(s)
			d.sharing(s)
		})
		if !strings.Contains(text, tt.want) || (problems > 0) != tt.problem {
			t.Errorf("%+v: %d problems:\n%swant %q", s, problems, text, tt.want)
		}
	}
}

func TestDoctorHolder(t *testing.T) {
	for _, tt := range []struct {
		seconds  float64
		want     string
		problems int
	}{
		{59, "", 0},
		{60, "advice  oldest transaction  session 7 of app (idle in transaction) has a transaction open for 1m0s: ", 0},
		{599, "advice", 0},
		{600, "problem  oldest transaction", 1},
	} {
		text, problems := findings(t, func(d *doctor) { d.holder(holder{"session 7 of app (idle in transaction)", tt.seconds}) })
		if !strings.HasPrefix(text, tt.want) || (tt.want == "") != (text == "") || problems != tt.problems {
			t.Errorf("after %v s: %d problems:\n%swant %q", tt.seconds, problems, text, tt.want)
		}
	}
}

// TestDoctorAlarms: a broker with an alarm takes nothing, or no more than the
// first message, and may answer pings.
func TestDoctorAlarms(t *testing.T) {
	const healthy, alarm = "the broker takes messages", "the broker takes no messages: "
	for _, tt := range []struct {
		name  string
		fault mqtest.Fault
		want  string
	}{
		{"no alarm", mqtest.Fault{Op: "ping", Delay: time.Second}, healthy},
		{"no answer", mqtest.Fault{Op: "send", Delay: mq.Forever}, alarm},
		{"one answer", mqtest.Fault{Op: "send", When: mqtest.Nth(2), Delay: mq.Forever}, alarm},
		{"ping is refused", mqtest.Fault{Op: "ping", Err: driver.ErrUnavailable}, alarm},
		{"another error", mqtest.Fault{Op: "send", Err: driver.ErrInvalid}, alarm},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := mq.New(mqtest.Faulty(mem.New(), tt.fault), mq.Config{})
				text, problems := findings(t, func(d *doctor) {
					d.client = c
					if err := d.alarms(t.Context()); err != nil {
						t.Error(err)
					}
				})
				if !strings.Contains(text, tt.want) || (problems > 0) != (tt.want == alarm) {
					t.Errorf("%d problems:\n%s", problems, text)
				}
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestDoctorStatements(t *testing.T) {
	for _, name := range []string{"server", "oldest", "slots", "queues", "groupings", "meta", "throttle", "session", "waits", "limits", "in the way"} {
		text := strings.TrimSpace(doctorStatement(name))
		if !strings.HasPrefix(text, "SELECT ") || strings.Contains(text, "--") {
			t.Errorf("statement %s is\n%s", name, text)
		}
	}
}

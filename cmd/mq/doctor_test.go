package main

import (
	"strings"
	"testing"
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
	return pgQueue{name: "w", archive: true, headers: true, lastReadAt: true, vtIndex: true, grouped: true, live: 5, tuned: true, trigger: true}
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
		{func(q *pgQueue) { q.archive = false }, throttled, "no archive table (mq create w makes it)", true},
		{func(q *pgQueue) { q.headers = false }, throttled, "no column headers", false},
		{func(q *pgQueue) { q.lastReadAt = false }, throttled, "no column last_read_at", false},
		{func(q *pgQueue) { q.vtIndex = false }, throttled, "no index on vt", true},
		{func(q *pgQueue) { q.vtIndex, q.partitioned = false, true }, throttled, "about 5 live", false},
		{func(q *pgQueue) { q.invalid = "mq_group_1" }, throttled, "drop mq_group_1 and make it again", true},
		{func(q *pgQueue) { q.unlogged = true }, throttled, "it is unlogged", false},
		{func(q *pgQueue) { q.grouped, q.live = false, manyRows+1 }, throttled, "no index for groups", false},
		{func(q *pgQueue) { q.grouped = false }, throttled, "about 5 live", false},
		{func(q *pgQueue) { q.lacks = "INSERT, DELETE" }, throttled, "no INSERT, DELETE on the queue's table", false},
		{func(q *pgQueue) { q.archiveLacks = "SELECT" }, throttled, "no SELECT on the archive's table", false},
		{func(q *pgQueue) { q.vacuumOff = true }, throttled, "autovacuum is turned off", true},
		{func(q *pgQueue) { q.dead, q.vacuumed = manyDead+1, -1 }, throttled, "10001 dead rows beside 5 live ones, last vacuumed never", true},
		{func(q *pgQueue) { q.dead, q.vacuumed = manyDead+1, 90 }, throttled, "last vacuumed 1m30s ago", true},
		{func(q *pgQueue) { q.dead = manyDead }, throttled, "and 10000 dead rows", false},
		{func(q *pgQueue) { q.tuned = false }, throttled, "default pace", false},
		{func(q *pgQueue) { q.trigger = false }, throttled, "no trigger tells of inserts", false},
		{func(*pgQueue) {}, map[string]int{}, "notify_insert_throttle is gone", true},
		{func(q *pgQueue) { q.heals = true }, map[string]int{}, "about 5 live", false},
		{func(*pgQueue) {}, map[string]int{"w": 0}, "its throttle is 0", true},
	} {
		q := healthyQueue()
		tt.change(&q)
		text, problems := findings(t, func(d *doctor) { d.pgQueue(q, tt.throttles) })
		if !strings.Contains(text, tt.want) || strings.Count(text, "\n") != 1 || (problems > 0) != tt.problem {
			t.Errorf("%+v: %d problems:\n%swant %q", q, problems, text, tt.want)
		}
	}
}

func TestDoctorServer(t *testing.T) {
	healthy := pgServer{version: "15.1", number: 150001, vacuums: true, maxConns: 100, connections: 5, schema: true, meta: true, throttled: true, throttleVisible: true}
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
		{func(s *pgServer) { s.throttleVisible = false }, "poll instead of listening", false},
		{func(s *pgServer) { s.throttled = false }, "there is no table pgmq.notify_insert_throttle", false},
	} {
		s := healthy
		tt.change(&s)
		text, problems := findings(t, func(d *doctor) { d.server(s) })
		if !strings.Contains(text, tt.want) || (problems > 0) != tt.problem {
			t.Errorf("%+v: %d problems:\n%swant %q", s, problems, text, tt.want)
		}
	}
}

func TestDoctorStatements(t *testing.T) {
	for _, name := range []string{"server", "oldest", "slots", "queues", "meta", "throttle"} {
		text := strings.TrimSpace(doctorStatement(name))
		if !strings.HasPrefix(text, "SELECT ") || strings.Contains(text, "--") {
			t.Errorf("statement %s is\n%s", name, text)
		}
	}
}

package cli

import (
	"os"
	"strings"
	"testing"

	"github.com/portmq/mq/internal/integration/pgmq/layouts"
	"github.com/portmq/mq/internal/integration/server"
)

// TestDoctorInvalid: an index that could not be made stays half made.
func TestDoctorInvalid(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.must("create", "w")
	s.must("send", "w", "1", "2")
	if _, err := s.db.Exec("CREATE UNIQUE INDEX CONCURRENTLY broken ON pgmq.q_w (read_ct)"); err == nil {
		t.Fatal("the index could be made")
	}
	broken := ailment{level: "problem", where: "w", finding: "indexes failed half way", remedy: "DROP INDEX pgmq.broken"}
	s.suffer(broken)
	s.recover(broken)

	s.exec("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'pgmq.q_w_vt_idx'::regclass")
	s.suffer(ailment{level: "problem", where: "w", finding: "no index on vt"})
	s.suffer(ailment{level: "problem", where: "w", finding: "indexes failed half way", remedy: "DROP INDEX pgmq.q_w_vt_idx"})
	s.exec("DROP INDEX pgmq.q_w_vt_idx")
	s.recover(ailment{cure: "mq install"})
}

// fill adds so many messages that each receive by group wants an index.
func (s *shop) fill(headers string) {
	s.Helper()
	s.db.SetMaxIdleConns(-1) // a session that ends tells what it has done
	s.exec("INSERT INTO pgmq.q_w (vt, message, headers) SELECT now(), '{}', $1::jsonb FROM generate_series(1, 10500)", headers)
	s.eventually("the statistics know", func() bool {
		return s.count("SELECT n_live_tup FROM pg_stat_user_tables WHERE relname = 'q_w'") > 10000
	})
}

// TestDoctorGroups: indexes for groups that long queues lack.
func TestDoctorGroups(t *testing.T) {
	const inGroups = `{"x-pgmq-group":"g"}`
	missing := ailment{level: "advice", where: "w", finding: "messages have groups, and there is no index", remedy: "mq create w -group-by header"}
	unknown := ailment{level: "advice", where: "w", finding: "if you receive by group", remedy: "mq create w -group-by header"}
	for _, tt := range []struct {
		name, headers string
		create        []string // more arguments of create
		find          *ailment
	}{
		{"nothing known", `{"a":"b"}`, nil, &unknown},
		{"by header, no index", inGroups, nil, &missing},
		{"by header", inGroups, []string{"-group-by", "header"}, nil},
		{"by path", `{}`, []string{"-group-by", "repo.id"}, nil},
		{"by both", inGroups, []string{"-group-by", "header", "-group-by", "repo.id"}, nil},
		{"by both, one without an index", inGroups, []string{"-group-by", "repo.id"}, &missing},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			s.must(append([]string{"create", "w"}, tt.create...)...)
			s.fill(tt.headers)
			if tt.find != nil {
				s.suffer(*tt.find)
				s.recover(*tt.find)
			} else {
				s.healthy()
			}
		})
	}
}

// TestDoctorHalfIndexed: a grouping has two indexes, and needs both.
func TestDoctorHalfIndexed(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.must("create", "w", "-group-by", "header", "-group-by", "repo.id", "-group-by", "a'b")
	s.healthy()
	for by, key := range map[string]string{"header": "headers", "repo.id": "{repo,id}", "a'b": "{a''b}"} {
		const lease = "SELECT indexrelid FROM pg_index WHERE pg_get_indexdef(indexrelid) LIKE '%mq_lease_%'"
		for name, cause := range map[string]string{
			"missing": "DO $do$ BEGIN EXECUTE (SELECT 'DROP INDEX ' || indexrelid::regclass FROM lease); END $do$",
			"invalid": "UPDATE pg_index SET indisvalid = false FROM lease WHERE lease.indexrelid = pg_index.indexrelid",
		} {
			t.Run(name+" by "+by, func(t *testing.T) {
				s := s.of(t)
				s.exec("CREATE VIEW lease AS " + lease + " AND pg_get_indexdef(indexrelid) LIKE $$%" + key + "%$$")
				s.exec(cause)
				s.exec("DROP VIEW lease")
				half := ailment{level: "problem", where: "w", finding: "the indexes for groups by " + by + " failed half way", remedy: "mq create w -group-by " + by}
				s.suffer(half)
				s.recover(half)
			})
		}
	}
}

// TestDoctorDeadRows: they stay while a transaction may still see them.
func TestDoctorDeadRows(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.must("create", "w")
	s.fill(`{}`)
	tx, err := s.db.BeginTx(t.Context(), nil)
	if err == nil {
		_, err = tx.Exec("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
	}
	if err == nil {
		_, err = tx.Exec("SELECT count(*) FROM pgmq.q_w")
	}
	if err != nil {
		t.Fatal(err)
	}
	s.exec("DELETE FROM pgmq.q_w")
	s.eventually("the statistics know", func() bool {
		return s.count("SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'q_w'") > 10000
	})
	s.requireHolder()
	dead := ailment{level: "problem", where: "w", finding: "10500 dead rows beside 0 live ones", remedy: "VACUUM pgmq.q_w"}
	s.suffer(dead)
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	s.exec(dead.remedy)
	s.eventually("the statistics know", func() bool {
		return s.count("SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'q_w'") == 0
	})
	s.recover(dead)
}

// requireHolder requires that the doctor's statement finds the transaction
// that is open. It becomes a finding after a minute.
func (s *shop) requireHolder() {
	s.Helper()
	text, err := os.ReadFile("../../../cmd/mq/doctor.sql")
	if err != nil {
		s.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n-- oldest\n")
	oldest, _, _ := strings.Cut(rest, "\n-- ")
	var what string
	var age float64
	err = s.db.QueryRow(oldest).Scan(&what, &age)
	if err != nil || !strings.HasSuffix(what, "(idle in transaction)") || age <= 0 || age > patience.Seconds() {
		s.Errorf("the oldest transaction is %q, %v s old: %v", what, age, err)
	}
}

// TestDoctorLayouts: what the doctor says of tables that others made, before
// and after mq install.
func TestDoctorLayouts(t *testing.T) {
	const pace, trigger = "default pace", "no trigger"
	for name, want := range map[string]struct{ before, after []string }{
		"1.4":         {[]string{"wake-ups", "no column headers", "no column last_read_at", pace, trigger}, []string{pace, trigger}},
		"1.5":         {[]string{"wake-ups", "no column last_read_at", pace, trigger}, []string{pace, trigger}},
		"1.10":        {[]string{"wake-ups", pace, trigger}, []string{pace, trigger}},
		"1.13":        {[]string{pace}, []string{pace}},
		"unlogged":    {[]string{"wake-ups", "it is unlogged", pace, trigger}, []string{"it is unlogged", pace, trigger}},
		"partitioned": {[]string{"wake-ups", "no index on vt", trigger}, []string{trigger}},
		"pgmq-ts": {
			[]string{"meta", "wake-ups", "no column headers", "no column last_read_at", "no index on vt", pace, trigger},
			[]string{pace, trigger},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			for _, l := range layouts.All {
				if l.Name == name {
					l.Make(t, s.db)
				}
			}
			s.requireFindings(want.before)
			s.must("install")
			s.requireFindings(want.after)
		})
	}
}

// TestDoctorDefaultPartition: rows that have no partition of their own.
func TestDoctorDefaultPartition(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for _, l := range layouts.All {
		if l.Name == "partitioned" {
			l.Make(t, s.db)
		}
	}
	s.must("install")
	s.exec("CREATE INDEX ON pgmq.q_jobs (vt); INSERT INTO pgmq.q_jobs (msg_id, vt, message) SELECT g, now(), '{}' FROM generate_series(100, 104) g")
	s.suffer(ailment{level: "problem", where: "jobs", finding: "5 rows in the default partition pgmq.q_jobs_default"})
	s.exec("DELETE FROM pgmq.q_jobs; INSERT INTO pgmq.a_jobs (msg_id, vt, message) VALUES (200, now(), '{}')")
	s.suffer(ailment{level: "problem", where: "jobs", finding: "1 row in the default partition pgmq.a_jobs_default"})
}

// TestDoctorPooler: notifications do not come through a pooler that shares
// sessions.
func TestDoctorPooler(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.must("create", "w")
	b := server.PgBouncer(t, server.Postgres(t), "transaction")
	pooled := on(t, "pgmq", b.DSN(s.admin)+"&prepare=false")
	const finding = "a pooler shares sessions between connections"
	has := func(m *tool) bool { return strings.Contains(m.run("doctor").stdout, finding) }
	if !has(pooled) {
		t.Errorf("the doctor does not find the pooler:\n%s", pooled.run("doctor").stdout)
	}
	if has(&tool{t, pooled.dsn + "&poll_only=true"}) {
		t.Error("the doctor speaks of notifications to one who does not want any")
	}
	if has(s.tool) {
		t.Error("the doctor finds a pooler where there is none")
	}
}

// TestDoctorHijack: nothing that somebody has put into schema public is run by
// the doctor's statements.
func TestDoctorHijack(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.must("create", "w", "-group-by", "header")
	for _, f := range []string{
		"substr(name, int)", "format(text, int, text, text)", "format(text, text)", "format(text, name, name)", "format(text, text, text)", "quote_ident(name)",
		"quote_literal(varchar)", "lower(varchar)", "has_table_privilege(regclass, text)", "has_schema_privilege(regnamespace, text)", "string_agg(name, text)",
		"array_to_string(text[], text)", "to_regclass(varchar)", "current_setting(varchar)", "max(bigint)", "count(int)",
	} {
		s.exec("CREATE FUNCTION public." + f + " RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'hijacked'; END $$")
	}
	s.exec("CREATE FUNCTION public.unnest(text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$ BEGIN RAISE 'hijacked'; END $$")
	for _, op := range []string{"~~", "!~", "~", "||", "=", "<>"} {
		for _, types := range [][2]string{{"name", "name"}, {"text", "varchar"}, {"varchar", "varchar"}, {"varchar", "text"}, {"text", "name"}, {"oid", "regclass"}} {
			if op == "=" && types[0] == "name" || op == "<>" && types[0] == "name" {
				continue // there is one in pg_catalog
			}
			s.exec("CREATE OR REPLACE FUNCTION public.evil(" + types[0] + ", " + types[1] + ") RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE 'hijacked'; END $$")
			s.exec("CREATE OPERATOR public." + op + " (LEFTARG = " + types[0] + ", RIGHTARG = " + types[1] + ", FUNCTION = public.evil)")
		}
	}
	text, err := os.ReadFile("../../../cmd/mq/doctor.sql")
	if err != nil {
		t.Fatal(err)
	}
	_, all, _ := strings.Cut(string(text), "\n\n-- ")
	for statement := range strings.SplitSeq(all, "\n\n-- ") {
		name, query, _ := strings.Cut(statement, "\n")
		args := []any{"q_w"}
		if !strings.Contains(query, "$1") {
			args = nil
		}
		if _, err := s.db.Exec(query, args...); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, f := range s.examine() {
		if f.Where == "w" && f.Level != "ok" {
			t.Errorf("the doctor finds %+v", f)
		}
	}
}

// requireFindings requires findings, by their place or their text, in order.
func (s *shop) requireFindings(want []string) {
	s.Helper()
	n := 0
	for _, f := range s.examine() {
		switch {
		case f.Level == "ok", f.ofOthers():
		case n < len(want) && (f.Where == want[n] || strings.Contains(f.Finding, want[n])):
			n++
		default:
			s.Errorf("the doctor finds %+v, and not only %q", f, want)
		}
	}
	if n < len(want) {
		s.Errorf("the doctor does not find %q", want[n:])
	}
}

// TestDoctorRights: a role learns what it lacks, and who may gives it.
func TestDoctorRights(t *testing.T) {
	t.Parallel()
	role, s := newWorker(t)
	s.must("create", "w")
	s.must("send", "w", "1")
	for _, lacks := range []string{
		"GRANT USAGE ON SCHEMA pgmq TO ", "GRANT SELECT ON pgmq.meta TO ", "GRANT SELECT ON pgmq.notify_insert_throttle TO ",
		"GRANT SELECT, INSERT, UPDATE, DELETE ON pgmq.q_w TO ", "GRANT SELECT, INSERT ON pgmq.a_w TO ",
	} {
		found := false
		for _, f := range role.examine() {
			found = found || strings.Contains(f.Finding, "("+lacks+role.name+")") && f.Level != "ok"
		}
		if !found {
			t.Errorf("the doctor does not find that %s%s is missing:\n%s", lacks, role.name, role.run("doctor").stdout)
		}
		s.exec(lacks + role.name)
	}
	fs := role.examine("w")
	for _, f := range fs {
		if f.Level != "ok" && !f.ofOthers() && !strings.Contains(f.Finding, "GRANT pg_read_all_stats TO "+role.name) {
			t.Errorf("the doctor finds %+v", f)
		}
	}
	s.exec("GRANT pg_read_all_stats TO " + role.name)
	role.healthy()
}

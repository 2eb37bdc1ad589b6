package pgmq

import (
	"strings"
	"testing"

	"github.com/portmq/mq/driver"
)

// installs is what install runs: there is what the statement "has schema" shows.
func installs(m *mock, there values) {
	m.answers(statement("lock install", nil), nil, values{""})
	m.answers(statement("has schema", nil), nil, there)
	for i, what := range []string{"make schema", "make meta", "make throttle", "make notify function"} {
		if there[i] == false {
			m.answers(statement(what, nil), nil)
		}
	}
}

func TestInstall(t *testing.T) {
	none, all := values{false, false, false, false}, values{true, true, true, true}
	const (
		q, a  = `"pgmq"."q_jobs"`, `"pgmq"."a_jobs"`
		index = `CREATE INDEX IF NOT EXISTS "q_jobs_vt_idx" ON "pgmq"."q_jobs" (vt)`
		add   = " ADD COLUMN IF NOT EXISTS "
	)
	for _, tt := range []struct {
		name  string
		there values
		found layout
		want  []string
	}{
		{"everything", none, layout113, nil},
		{"a queue of 1.13", all, layout113, nil},
		{"a queue upgraded", all, layoutUpgraded, nil},
		{"a queue of 1.4", all, layout14, []string{
			"ALTER TABLE " + q + add + "headers jsonb", "ALTER TABLE " + a + add + "headers jsonb",
			"ALTER TABLE " + q + add + "last_read_at timestamptz", "ALTER TABLE " + a + add + "last_read_at timestamptz",
		}},
		{"a queue of 1.5", all, layout15, []string{
			"ALTER TABLE " + q + add + "last_read_at timestamptz", "ALTER TABLE " + a + add + "last_read_at timestamptz",
		}},
		{"an old archive", all, layoutHalf, []string{
			"ALTER TABLE " + a + add + "headers jsonb", "ALTER TABLE " + a + add + "last_read_at timestamptz",
		}},
		{"a queue of pgmq-ts", values{true, false, false, false}, layoutTS, []string{
			"ALTER TABLE " + q + add + "headers jsonb", "ALTER TABLE " + a + add + "headers jsonb",
			"ALTER TABLE " + q + add + "last_read_at timestamptz", "ALTER TABLE " + a + add + "last_read_at timestamptz", index,
		}},
		{"no archive", all, layoutAlone, []string{statement("make archive", layoutAlone.names("jobs")), index}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mocked(t, func(t *testing.T, m *mock) {
				m.ExpectBegin()
				m.answers(statement("has pgmq", nil), nil, pgmqMissing)
				installs(m, tt.there)
				m.answers(sqlList, nil, values{"jobs"})
				m.shape("jobs", tt.found)
				m.answers(statement("lock queue", nil), values{"jobs"}, values{""})
				for _, text := range tt.want {
					m.answers(text, nil)
				}
				m.answers(statement("make meta row", nil), values{"jobs", q})
				m.ExpectCommit()
				m.must(Install(t.Context(), m.db))
			})
		})
	}
}

// TestInstallUpstream: upgrading PGMQ is its own business.
func TestInstallUpstream(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		m.ExpectBegin()
		m.answers(statement("has pgmq", nil), nil, pgmqThere)
		m.ExpectCommit()
		m.must(Install(t.Context(), m.db))
	})
}

// TestInstallErrors: one that fails leaves nothing behind.
func TestInstallErrors(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		m.ExpectBegin()
		m.answers(statement("has pgmq", nil), nil, pgmqMissing)
		installs(m, values{true, true, true, true})
		m.answers(sqlList, nil, values{"jobs"}, values{"other"})
		m.noQueue("jobs") // dropped in between
		m.ExpectRollback()
		err := Install(t.Context(), m.db)
		requireErr(t, err, driver.ErrQueueNotFound)
		if !strings.HasPrefix(err.Error(), "pgmq: install: ") {
			t.Errorf("error is %v", err)
		}
	})
}

package layouts

import (
	"database/sql"
	"os"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/portmq/mq/internal/integration/checks"
	"github.com/portmq/mq/internal/integration/server"
)

func TestMain(m *testing.M) { os.Exit(server.Run(m)) }

// fresh returns an empty database.
func fresh(t *testing.T) *sql.DB {
	t.Helper()
	return checks.DB(t, "pgx", server.Postgres(t).Database(t))
}

func TestAll(t *testing.T) {
	for _, l := range All {
		t.Run(l.Name, func(t *testing.T) {
			db := fresh(t)
			l.Make(t, db)
			var queue, archive, headers bool
			err := db.QueryRow(`SELECT to_regclass('pgmq.q_jobs') IS NOT NULL, to_regclass('pgmq.a_jobs') IS NOT NULL,
				EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'pgmq.q_jobs'::regclass AND attname = 'headers')`).Scan(&queue, &archive, &headers)
			if err != nil || !queue || !archive || headers != l.Headers {
				t.Errorf("queue %v, archive %v, headers %v, error %v", queue, archive, headers, err)
			}
		})
	}
}

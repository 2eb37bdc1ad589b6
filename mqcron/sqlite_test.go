package mqcron_test

import (
	"path/filepath"
	"testing"
	"time"

	_ "github.com/portmq/mq/drivers/sqlite"
	"github.com/portmq/mq/mqcron"
)

// TestSQLiteInRealTime runs five processes on a file, each with a client of its own, and kills
// them one after the other while they fire every second.
func TestSQLiteInRealTime(t *testing.T) {
	if testing.Short() {
		t.Skip("in real time; TestMonth is the same in memory")
	}
	dsn := "sqlite://" + filepath.ToSlash(filepath.Join(t.TempDir(), "q.db"))
	c := openStore(t, dsn)
	defer c.Close()
	ensure(t, c, "out")
	second := schedule("second", "@every 1s", "", mqcron.CatchUpAll)
	set(t, c, second)
	begin := time.Now()
	var processes []*process
	for range 5 {
		processes = append(processes, start(t, dsn, second))
	}
	for i, op := range []string{"browse", "send unique", "settle", "receive"} {
		time.Sleep(4 * time.Second)
		processes[i].dieAt(op, i%2 == 0, false)
	}
	deadline := time.Now().Add(2 * time.Minute)
	for overdue(t, c, "second") && time.Now().Before(deadline) {
		time.Sleep(100 * time.Millisecond)
	}
	end := time.Now()
	for _, p := range processes {
		p.stop(t)
	}
	requireSeconds(t, sent(t, c, "out"), begin, end)
}

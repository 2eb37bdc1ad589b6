package plans

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/internal/integration/server"
)

func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "4"); err != nil { // the floods wait most of the time
		panic(err)
	}
	os.Exit(server.Run(m))
}

// most is what a statement may touch, however long the queue is: stats counts
// 10,000 messages of each kind, the others are about a hundred messages.
func most(name string) cost {
	switch name {
	case "stats":
		return cost{rows: 3 * 10_010, blocks: 30_000}
	case "insert one", "ack one", "probe":
		return cost{rows: 20, blocks: 100}
	case "choose groups": // among those of 4 batches of messages, and 300 others
		return cost{rows: 3 * 700, blocks: 12 * 700}
	}
	return cost{rows: 4 * batch, blocks: 60 * batch}
}

// state is a condition a queue may be in.
type state struct {
	name   string
	before string // SQL, in front of the statements being prepared
	after  string // and behind
}

// fill returns SQL that inserts rows whose vt is so many seconds away. Those
// due longest have the highest ids, so that no index serves for another.
func fill(rows int, vt string) string { return fillGroups(rows, 0, vt) }

// fillGroups is fill with messages of so many groups.
func fillGroups(rows, groups int, vt string) string {
	headers := "NULL"
	if groups > 0 {
		headers = fmt.Sprintf("jsonb_build_object('x-pgmq-group', mod(i, %d)::text)", groups)
	}
	return fmt.Sprintf(`INSERT INTO pgmq.q_QUEUE (read_ct, enqueued_at, vt, message, headers)
		SELECT 1, to_timestamp(%d), clock_timestamp() + %s * interval '1 second' - i * interval '1 microsecond', '1', %s
		FROM generate_series(1, %d) AS i;`, sentAt/1_000_000, vt, headers, rows)
}

const (
	vacuum  = "VACUUM pgmq.q_QUEUE;"
	analyze = "VACUUM ANALYZE pgmq.q_QUEUE;"
	million = 1_000_000
	// flood is what comes all of a sudden, before anybody analyses it.
	flood = 100_000
)

var states = []state{
	{"new", "", ""},
	{"new, then a flood", "", fill(flood, "-100")},
	{"emptied, then a flood", fill(20_000, "-100") + "DELETE FROM pgmq.q_QUEUE;" + vacuum, "ALTER TABLE pgmq.q_QUEUE ALTER msg_id RESTART WITH 1;" + fill(flood, "-100")},
	{"emptied and analysed, then a flood", fill(20_000, "-100") + analyze + "DELETE FROM pgmq.q_QUEUE;" + analyze, "ALTER TABLE pgmq.q_QUEUE ALTER msg_id RESTART WITH 1;" + fill(flood, "-100")},
	{"a million visible", fill(million, "-100") + analyze, ""},
	{"a million invisible", fill(million, "1000") + fill(1000, "-100") + analyze, ""},
	{"what was invisible becomes visible", fill(flood, "10") + analyze, "SELECT pg_sleep(greatest(0, extract(epoch FROM max(vt) - clock_timestamp()))) FROM pgmq.q_QUEUE;"},
}

// TestPlans: on the driver's own sessions each statement goes by an index and
// touches no more than it is about, whatever the queue was like when it was
// prepared. It tells what happens on those of a borrowed pool.
func TestPlans(t *testing.T) {
	t.Parallel()
	dsn := server.Postgres(t).Database(t)
	for i, state := range states {
		t.Run(state.name, func(t *testing.T) {
			queue := fmt.Sprintf("s%d", i)
			all := record(t, dsn, queue, hot, driver.QueueOptions{})
			admin := newSession(t, dsn)
			admin.run(state.before, queue)
			ours := newSession(t, dsn, own...)
			ours.prepare(all)
			borrowed := newSession(t, dsn)
			borrowed.prepare(all)
			admin.run(state.after, queue)
			for _, op := range hot {
				ours.judge(t.Errorf, "on our own pool", op.name, all[op.name], queue)
				borrowed.judge(t.Logf, "on a borrowed pool", op.name, all[op.name], queue)
			}
			borrowed.exec("DEALLOCATE ALL")
			borrowed.prepare(all)
			for _, op := range hot {
				borrowed.judge(t.Logf, "on a borrowed pool, prepared anew", op.name, all[op.name], queue)
			}
		})
	}
}

var groupStates = []state{
	{"new, then a flood", "", fillGroups(flood, 10_000, "-100")},
	{"emptied, then a flood", fillGroups(20_000, 100, "-100") + "DELETE FROM pgmq.q_QUEUE;" + vacuum, fillGroups(flood, 10_000, "-100")},
	{"emptied and analysed, then a flood", fillGroups(20_000, 100, "-100") + analyze + "DELETE FROM pgmq.q_QUEUE;" + analyze, fillGroups(flood, 10_000, "-100")},
	{"emptied, then a flood of one group", fillGroups(20_000, 100, "-100") + "DELETE FROM pgmq.q_QUEUE;" + vacuum, fillGroups(flood, 1, "-100")},
	{"many groups", fillGroups(flood, 10_000, "-100") + analyze, ""},
	{"a blocked group in front", fillGroups(flood, 1, "-100") + "UPDATE pgmq.q_QUEUE SET vt = vt + interval '1 hour' WHERE msg_id = 1;" + fillGroups(flood, 10_000, "-90") + analyze, ""},
	{"all leased", fillGroups(flood, 10_000, "1000") + analyze, ""},
}

// In what was emptied a plan of a group receiver may take any index, as all of
// them are empty, until the server analyses the table: there the test only
// logs. That it does not last is for TestFloodedGroups.

// TestGroupPlans is TestPlans for group receivers, whose queue has indexes.
func TestGroupPlans(t *testing.T) {
	t.Parallel()
	dsn := server.Postgres(t).Database(t)
	for i, state := range groupStates {
		t.Run(state.name, func(t *testing.T) {
			queue := fmt.Sprintf("g%d", i)
			all := record(t, dsn, queue, grouped, driver.QueueOptions{GroupIndexes: []driver.GroupBy{{}}})
			admin := newSession(t, dsn)
			admin.run(state.before, queue)
			ours := newSession(t, dsn, own...)
			ours.prepare(all)
			admin.run(state.after, queue)
			say := t.Errorf
			if strings.HasPrefix(state.name, "emptied") {
				say = t.Logf
			}
			for _, op := range grouped {
				ours.judge(say, "on our own pool", op.name, all[op.name], queue)
			}
			ours.exec("DEALLOCATE ALL")
			ours.prepare(all)
			for _, op := range grouped {
				ours.judge(say, "on our own pool, prepared anew", op.name, all[op.name], queue)
			}
		})
	}
}

// judge says what is wrong with the way a statement goes.
func (s *session) judge(say func(string, ...any), mode, name string, st statement, queue string) {
	s.Helper()
	c, wrong := s.explain(name, st).cost(queue)
	if limit := most(name); c.rows > limit.rows || c.blocks > limit.blocks {
		wrong = append(wrong, fmt.Sprintf("it touches %d rows in %d blocks, want %d in %d at most: %q", c.rows, c.blocks, limit.rows, limit.blocks, c.most))
	}
	for _, w := range wrong {
		say("%s: %s: %s", mode, name, w)
	}
}

// run runs several statements on a queue.
func (s *session) run(texts, queue string) {
	s.Helper()
	for text := range strings.SplitSeq(texts, ";") {
		if text != "" {
			s.exec(strings.ReplaceAll(text, "QUEUE", queue))
		}
	}
}

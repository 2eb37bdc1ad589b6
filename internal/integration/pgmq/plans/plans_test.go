package plans

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/pgmq"
	"github.com/portmq/mq/internal/integration/server"
)

func TestMain(m *testing.M) {
	os.Exit(server.RunWaiting(m, 4))
}

// most is what a statement may touch, however long the queue is: stats counts
// 10,000 messages of each kind, the others are about a hundred messages.
func most(name string) cost {
	switch name {
	case "stats":
		return cost{rows: 3 * 10_010, blocks: 30_000}
	case "insert one", "ack one", "probe":
		return cost{rows: 20, blocks: 100}
	case "choose groups": // among those of 4 batches at either end, and 300 others
		return cost{rows: 3 * 1100, blocks: 12 * 1100}
	case "choose limited groups": // which counts the leases of each
		return cost{rows: 5 * 1100, blocks: 12 * 1100}
	case "claim limited groups":
		return cost{rows: 8 * batch, blocks: 60 * batch}
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
	// flood is what comes all of a sudden, before anybody analyses it: more than
	// any statement may touch.
	flood = 50_000
	again = "ALTER TABLE pgmq.q_QUEUE ALTER msg_id RESTART WITH 1;"
	due   = "SELECT pg_sleep(greatest(0, extract(epoch FROM max(vt) - clock_timestamp()))) FROM pgmq.q_QUEUE;"
)

// long is a queue of a million messages, or of fewer if there is little time.
func long(vt string) string {
	if testing.Short() {
		return fill(2*flood, vt)
	}
	return fill(1_000_000, vt)
}

func states() []state {
	return []state{
		{"new", "", ""},
		{"new, then a flood", "", fill(flood, "-100")},
		{"emptied, then a flood", fill(20_000, "-100") + "DELETE FROM pgmq.q_QUEUE;" + vacuum, again + fill(flood, "-100")},
		{"emptied and analysed, then a flood", fill(20_000, "-100") + analyze + "DELETE FROM pgmq.q_QUEUE;" + analyze, again + fill(flood, "-100")},
		{"long and visible", long("-100") + analyze, ""},
		{"long and invisible", long("1000") + fill(1000, "-100") + analyze, ""},
		{"what was invisible becomes visible", fill(flood, "DELAY") + analyze, due},
	}
}

// TestPlans: on the driver's own sessions each statement goes by an index and
// touches no more than it is about, whatever the queue was like when it was
// prepared. On those of a borrowed pool it does so when it is prepared anew;
// and those of a flooded queue show what becomes of it otherwise.
func TestPlans(t *testing.T) {
	t.Parallel()
	dsn := server.Postgres(t).Database(t)
	floods, trapped := 0, 0
	for i, state := range states() {
		t.Run(state.name, func(t *testing.T) {
			queue := fmt.Sprintf("s%d", i)
			all := record(t, dsn, queue, hot, pgmq.QueueOptions{})
			admin, ours, borrowed := newSession(t, dsn), newSession(t, dsn, own...), newSession(t, dsn)
			admin.before(state, queue, func() {
				ours.prepare(all)
				borrowed.prepare(all)
			})
			admin.run(state.after, queue)
			ours.judge("on our own pool", hot, all, queue)
			if strings.HasSuffix(state.name, "then a flood") {
				floods++
				trapped += len(borrowed.trapped(hot, all, queue))
			} else {
				borrowed.judge("on a borrowed pool", hot, all, queue)
			}
			borrowed.prepare(all)
			borrowed.judge("on a borrowed pool, prepared anew", hot, all, queue)
		})
	}
	if floods > 0 && trapped == 0 {
		t.Error("no statement of a borrowed pool reads a flooded queue, so that the floods prove nothing")
	}
}

// before brings about the first half of a state, and calls prepare while it
// holds.
func (s *session) before(state state, queue string, prepare func()) {
	s.Helper()
	for delay := 4; ; delay *= 2 {
		s.run(strings.ReplaceAll(state.before, "DELAY", strconv.Itoa(delay)), queue)
		prepare()
		if !strings.Contains(state.before, "DELAY") || s.hidden(queue) {
			return
		}
		s.run("TRUNCATE pgmq.q_QUEUE RESTART IDENTITY", queue) // the machine was too busy
	}
}

// hidden reports whether all messages are invisible.
func (s *session) hidden(queue string) (hidden bool) {
	s.Helper()
	if err := s.conn.QueryRow(s.Context(), "SELECT min(vt) > clock_timestamp() FROM pgmq.q_"+queue).Scan(&hidden); err != nil {
		s.Fatal(err)
	}
	return hidden
}

var groupStates = []state{
	{"new, then a flood", "", fillGroups(flood, 10_000, "-100")},
	{"emptied, then a flood", fillGroups(20_000, 100, "-100") + "DELETE FROM pgmq.q_QUEUE;" + vacuum, fillGroups(flood, 10_000, "-100")},
	{"emptied and analysed, then a flood", fillGroups(20_000, 100, "-100") + analyze + "DELETE FROM pgmq.q_QUEUE;" + analyze, fillGroups(flood, 10_000, "-100")},
	{"emptied, then a flood of one group", fillGroups(20_000, 100, "-100") + "DELETE FROM pgmq.q_QUEUE;" + vacuum, fillGroups(flood, 1, "-100")},
	{"many groups", fillGroups(flood, 10_000, "-100") + analyze, ""},
	{"a blocked group in front", fillGroups(flood, 1, "-100") + "UPDATE pgmq.q_QUEUE SET vt = vt + interval '1 hour' WHERE msg_id = 1;" + fillGroups(flood, 10_000, "-90") + analyze, ""},
	{"all leased", fillGroups(flood, 10_000, "1000") + analyze, ""},
	{"many groups, leased later", fillGroups(flood, 10_000, "-100") + analyze, "UPDATE pgmq.q_QUEUE SET vt = vt + interval '1 hour', last_read_at = vt WHERE msg_id > 10000"},
}

// TestGroupPlans is TestPlans for group receivers, whose queue has indexes. In
// what was emptied a plan may take any index, as all of them are empty, until
// it is made anew: that the driver sees to this is for TestFloodedGroups.
func TestGroupPlans(t *testing.T) { groupPlans(t, grouped, driver.GroupBy{}) }

// TestLimitPlans is the same for groups of which several messages may be leased.
func TestLimitPlans(t *testing.T) { groupPlans(t, limited, driver.GroupBy{Limit: 3}) }

func groupPlans(t *testing.T, grouped []operation, by driver.GroupBy) {
	t.Parallel()
	dsn := server.Postgres(t).Database(t)
	for i, state := range groupStates {
		t.Run(state.name, func(t *testing.T) {
			if by.Limit > 1 && testing.Short() && i%3 > 0 {
				t.Skip("the full matrix: groups without a limit have the same walk")
			}
			queue := fmt.Sprintf("g%d", i)
			all := record(t, dsn, queue, grouped, pgmq.QueueOptions{GroupIndexes: []driver.GroupBy{by}})
			admin, ours := newSession(t, dsn), newSession(t, dsn, own...)
			admin.before(state, queue, func() { ours.prepare(all) })
			admin.run(state.after, queue)
			if !strings.HasPrefix(state.name, "emptied") {
				ours.judge("on our own pool", grouped, all, queue)
			}
			ours.prepare(all)
			ours.judge("on our own pool, prepared anew", grouped, all, queue)
		})
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

package plans

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// session is a connection that has prepared statements.
type session struct {
	testing.TB
	conn     *pgx.Conn
	borrowed bool // with the settings of the caller's pool
}

// own are the settings of the driver's own sessions.
var own = []string{"enable_seqscan=off", "jit=off", "plan_cache_mode=force_generic_plan"}

func newSession(t testing.TB, dsn string, settings ...string) *session {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	s := &session{t, conn, len(settings) == 0}
	for _, setting := range settings {
		s.exec("SET " + setting)
	}
	return s
}

func (s *session) exec(text string) {
	s.Helper()
	if _, err := s.conn.Exec(s.Context(), text); err != nil {
		s.Fatalf("%.200s: %v", text, err)
	}
}

// prepare prepares statements anew, and runs each so often that the server
// chooses between plans for these values and one for all.
func (s *session) prepare(all map[string]statement) {
	s.Helper()
	s.exec("DEALLOCATE ALL")
	for name, st := range all {
		s.exec("PREPARE " + pgx.Identifier{name}.Sanitize() + " AS " + st.text)
		for range 7 {
			s.begin()
			s.exec("EXECUTE " + call(name, st))
			s.exec("ROLLBACK")
		}
	}
}

// begin begins a transaction in which groups have been chosen.
func (s *session) begin() {
	s.Helper()
	s.exec(fmt.Sprintf("BEGIN; SELECT set_config('mq.groups', jsonb_agg(g::text)::text, true) FROM generate_series(1, %d) AS g", batch))
}

func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// call returns what stands behind EXECUTE.
func call(name string, st statement) string {
	var args []string
	for _, arg := range st.args {
		switch arg := arg.(type) {
		case nil:
			args = append(args, "NULL")
		case pgtype.ArrayGetter: // of texts
			var texts []string
			for i := range arg.Dimensions()[0].Length {
				texts = append(texts, quoted(string(arg.Index(int(i)).([]byte))))
			}
			args = append(args, "ARRAY["+strings.Join(texts, ", ")+"]")
		case []byte:
			args = append(args, quoted(string(arg)))
		case string:
			args = append(args, quoted(arg))
		default: // numbers and truth
			args = append(args, fmt.Sprint(arg))
		}
	}
	call := pgx.Identifier{name}.Sanitize()
	if len(args) > 0 {
		call += "(" + strings.Join(args, ", ") + ")"
	}
	return call
}

// node is a part of a plan, and what it did.
type node struct {
	Type      string  `json:"Node Type"`
	Relation  string  `json:"Relation Name"`
	Index     string  `json:"Index Name"`
	Rows      float64 `json:"Actual Rows"`
	Loops     float64 `json:"Actual Loops"`
	Filtered  float64 `json:"Rows Removed by Filter"`
	Rechecked float64 `json:"Rows Removed by Index Recheck"`
	Hit       int     `json:"Shared Hit Blocks"`
	Read      int     `json:"Shared Read Blocks"`
	Plans     []node
}

// explain runs a prepared statement, takes it back, and returns its plan.
func (s *session) explain(name string, st statement) node {
	s.Helper()
	s.begin()
	var text []byte
	err := s.conn.QueryRow(s.Context(), "EXPLAIN (ANALYZE, BUFFERS, TIMING off, FORMAT JSON) EXECUTE "+call(name, st),
		pgx.QueryExecModeSimpleProtocol).Scan(&text)
	if err != nil {
		s.Fatalf("%s: %v", name, err)
	}
	s.exec("ROLLBACK")
	var plans []struct{ Plan node }
	if err := json.Unmarshal(text, &plans); err != nil {
		s.Fatal(err)
	}
	return plans[0].Plan
}

// walk calls f for a plan and all its parts.
func (n node) walk(f func(node)) {
	f(n)
	for _, part := range n.Plans {
		part.walk(f)
	}
}

// cost is what a statement touched.
type cost struct {
	rows, blocks int
	most         []string // the parts that touched many
}

// cost returns what a statement touched of a queue.
func (n node) cost(queue string) (c cost) {
	n.walk(func(p node) {
		if p.Relation == "q_"+queue {
			rows := int((p.Rows + p.Filtered + p.Rechecked) * p.Loops)
			if c.rows += rows; rows > 10*batch {
				c.most = append(c.most, fmt.Sprintf("%d by %s %s", rows, p.Type, p.Index))
			}
		}
	})
	c.blocks = n.Hit + n.Read
	return c
}

// wrong returns what is wrong with the way a statement went, however little it
// touched: what reads or sorts the whole queue. A caller's session may choose
// to read a queue from its begin, as far as the first message.
func (n node) wrong(queue string, borrowed bool) (wrong []string) {
	n.walk(func(p node) {
		switch {
		case p.Relation == "q_"+queue && p.Type == "Seq Scan" && p.Loops > 0 && !borrowed:
			wrong = append(wrong, "it reads the whole queue")
		case strings.Contains(p.Type, "Sort") && p.Rows > 10*batch:
			wrong = append(wrong, fmt.Sprintf("it sorts %.0f rows", p.Rows))
		}
	})
	return wrong
}

// faults returns what is wrong with a statement.
func (s *session) faults(name string, st statement, queue string) []string {
	s.Helper()
	plan := s.explain(name, st)
	faults := plan.wrong(queue, s.borrowed)
	if c, limit := plan.cost(queue), most(name); c.rows > limit.rows || c.blocks > limit.blocks {
		faults = append(faults, fmt.Sprintf("it touches %d rows in %d blocks, want %d in %d at most: %q", c.rows, c.blocks, limit.rows, limit.blocks, c.most))
	}
	return faults
}

// judge says what is wrong with the statements of operations.
func (s *session) judge(mode string, ops []operation, all map[string]statement, queue string) {
	s.Helper()
	for _, op := range ops {
		for _, fault := range s.faults(op.name, all[op.name], queue) {
			s.Errorf("%s: %s: %s", mode, op.name, fault)
		}
	}
}

// trapped returns the operations that touch too much.
func (s *session) trapped(ops []operation, all map[string]statement, queue string) (names []string) {
	s.Helper()
	for _, op := range ops {
		if len(s.faults(op.name, all[op.name], queue)) > 0 {
			names = append(names, op.name)
		}
	}
	return names
}

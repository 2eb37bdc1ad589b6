package sqlite_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/portmq/mq"
)

// TestPlans: no statement sorts a queue or reads a table from end to end, except for
// small ones.
func TestPlans(t *testing.T) {
	q, path := ensured(t)
	if _, err := q.ReceiveHeads(t.Context(), mq.ByGroup(), mq.ReceiveOptions{}); err != nil {
		t.Fatal(err)
	}
	db := openDB(t, path)
	b, err := os.ReadFile("statements.sql")
	if err != nil {
		t.Fatal(err)
	}
	small := regexp.MustCompile(`SCAN (mq_queue|q$|q USING|mq_grouping|mq_binding|mq_schema|mq_hidden|sqlite_schema|pragma_database_list|g$|\(subquery|CONSTANT|a VIRTUAL|j VIRTUAL|json_each VIRTUAL|\d+ CONSTANT|hidden|h$|k$|t$)`)
	for _, part := range strings.Split(string(b), "\n-- name: ")[1:] {
		name, text, _ := strings.Cut(part, "\n")
		if name == "insert" {
			continue
		}
		args := make([]any, strings.Count(text, "?")) // as many as there may be
		n := 0
		for i := 1; i < 10; i++ {
			if strings.Contains(text, fmt.Sprintf("?%d", i)) {
				n = i
			}
		}
		for i := range args[:n] {
			args[i] = "1"
		}
		for _, row := range all(t, db, "EXPLAIN QUERY PLAN "+text, args[:n]...) {
			step := fmt.Sprint(row[3])
			sorts := strings.Contains(step, "TEMP B-TREE") && name != "lag" && name != "blocked" && name != "groups" && name != "archived" && name != "bindings" && name != "recount" && name != "turns"
			if sorts || strings.HasPrefix(step, "SCAN") && !small.MatchString(step) && name != "recount" {
				t.Errorf("%s: %s", name, step)
			}
		}
	}
}

package sqlite_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
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
	texts, err := os.ReadFile("statements.sql")
	if err != nil {
		t.Fatal(err)
	}
	browse, err := os.ReadFile("browse.sql")
	if err != nil {
		t.Fatal(err)
	}
	newest := strings.ReplaceAll(string(browse), "ORDER BY m.id", "ORDER BY m.id DESC")
	sorters := []string{"lag", "blocked", "groups", "archived", "bindings", "recount", "turns", "paused", "reasons"}
	small := regexp.MustCompile(`SCAN (mq_queue|q$|q USING|mq_grouping|mq_binding|mq_schema|mq_hidden|mq_consumer|sqlite_schema|pragma_database_list|g$|\(subquery|CONSTANT|a VIRTUAL|j VIRTUAL|json_each VIRTUAL|\d+ CONSTANT|hidden|h$|k$|t$|c$|p$)`)
	for _, part := range strings.Split(string(texts)+string(browse)+newest, "\n-- name: ")[1:] {
		name, text, _ := strings.Cut(part, "\n")
		if name == "insert" {
			continue
		}
		args := make([]any, 20) // as many as there may be
		n := 0
		for i := 1; i < 20; i++ {
			if strings.Contains(text, fmt.Sprintf("?%d", i)) {
				n = i
			}
		}
		for i := range args[:n] {
			args[i] = "1"
		}
		for _, row := range all(t, db, "EXPLAIN QUERY PLAN "+text, args[:n]...) {
			step := fmt.Sprint(row[3])
			sorts := strings.Contains(step, "TEMP B-TREE") && !slices.Contains(sorters, name)
			if sorts || strings.HasPrefix(step, "SCAN") && !small.MatchString(step) && name != "recount" {
				t.Errorf("%s: %s", name, step)
			}
		}
	}
}

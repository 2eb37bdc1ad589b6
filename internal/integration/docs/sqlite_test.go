package docs

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/portmq/mq"
)

// TestSQLiteSQL runs the SQL of docs/sqlite.md on a queue with a message in each state,
// the last one with a large body.
func TestSQLiteSQL(t *testing.T) {
	path := filepath.Join(t.TempDir(), "orders.db")
	c, err := mq.Open("sqlite://" + filepath.ToSlash(path))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	q, err := c.EnsureQueue(t.Context(), "orders", mq.QueueOptions{})
	for _, m := range []*mq.Message{{Body: make([]byte, 1)}, {Body: make([]byte, 2)}, {Body: make([]byte, 5000), Delay: time.Hour}} {
		if err == nil {
			_, err = q.Send(t.Context(), m)
		}
	}
	if err == nil {
		_, err = q.Receive(t.Context(), mq.ReceiveOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	blocks := pages(t, func(b block) bool { return b.lang == "sql" })["docs/sqlite.md"]
	if len(blocks) != 1 {
		t.Fatalf("%d blocks", len(blocks))
	}
	want := []string{"1 leased 1 1", "2 visible 0 2", "3 delayed 0 5000"}
	if got := states(t, path, blocks[0].text); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// states returns what a query says of messages: number, state, reads and the length of
// the body.
func states(t *testing.T, path, query string) (found []string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var number, reads int
		var state string
		var group, headers sql.NullString
		var body []byte
		if err := rows.Scan(&number, &state, &reads, &group, &headers, &body); err != nil {
			t.Fatal(err)
		}
		found = append(found, fmt.Sprintf("%d %s %d %d", number, state, reads, len(body)))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

package sqlite_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/sqlite"
)

// TestOlderLayout opens files of earlier versions of the layout, several clients at once:
// what is in them stays, and what is new works.
func TestOlderLayout(t *testing.T) {
	var older strings.Builder
	for _, name := range []string{"schema.sql", "schema2.sql", "schema3.sql", "schema4.sql"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		older.WriteString(string(text))
		for range 3 {
			path := filepath.Join(t.TempDir(), "queue.db")
			db := openDB(t, path)
			run(t, db, older.String())
			run(t, db, "INSERT INTO mq_queue (name, mark, sent, total) VALUES ('jobs', 7, 1, 1)")
			run(t, db, `INSERT INTO mq_message (id, queue, due, lease, reads, uncounted, answered, unanswered, sent, size, body)
				VALUES (1 << 40 | 1, 1, 1, 0, 0, 0, 0, 0, 1, 3, CAST('old' AS BLOB))`)
			run(t, db, oldGrouping)
			useNew(t, path)
		}
	}
}

// oldGrouping is a grouping as versions without a limit made it, and the trigger of
// theirs that is another one now.
const oldGrouping = `
	INSERT INTO mq_grouping (queue, spec, filled, upto) VALUES (1, '["group"]', 1, 1);
	UPDATE mq_queue SET groupings = 1;
	INSERT INTO mq_member (grouping, key, id) VALUES (1, 1 << 40 | 1, 1 << 40 | 1);
	INSERT INTO mq_group VALUES (1, 1 << 40 | 1, 1 << 40 | 1, 1);
	CREATE TRIGGER mq_message_updated AFTER UPDATE OF due, lease ON mq_message BEGIN
		UPDATE mq_member SET until = iif(NEW.lease <> 0, NEW.due, NULL) WHERE id = NEW.id;
	END;`

// useNew uses what later versions have brought in a file with one message.
func useNew(t *testing.T, path string) {
	t.Helper()
	clients := make([]*mq.Client, 4)
	var all sync.WaitGroup
	for i := range clients {
		c, err := mq.Open("sqlite://" + path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients[i] = c
		all.Go(func() {
			q := c.Queue("jobs")
			_, _, err := q.SendOnce(t.Context(), &mq.Message{DedupKey: "new", DedupFor: time.Hour})
			if err := errors.Join(err, q.Bind(t.Context(), "orders.*")); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if _, err := clients[0].Publish(t.Context(), "orders.new", &mq.Message{}); err != nil {
		t.Error(err)
	}
	for _, by := range []mq.GroupBy{{}, {Limit: 2}} {
		heads, err := clients[2].Queue("jobs").ReceiveHeads(t.Context(), &by, mq.ReceiveOptions{Max: 10})
		if err != nil || len(heads) != 3 {
			t.Errorf("received %d messages by %+v, %v, want 3", len(heads), by, err)
		}
		for _, d := range heads {
			if err := d.Nack(t.Context(), 0); err != nil {
				t.Error(err)
			}
		}
	}
	ds, err := clients[1].Queue("jobs").Receive(t.Context(), mq.ReceiveOptions{Max: 10})
	if err != nil || len(ds) != 3 || string(ds[0].Body) != "old" {
		t.Errorf("received %d messages, %v; want the old one and two new ones", len(ds), err)
	}
	useNewest(t, clients[0], clients[1])
	inOrder(t, path)
}

// useNewest uses what the last version has brought.
func useNewest(t *testing.T, c, other *mq.Client) {
	t.Helper()
	p, q := c.Provider().(*sqlite.Provider), other.Provider().(*sqlite.Provider)
	err := errors.Join(
		p.SetPaused(t.Context(), "jobs", true, "me"),
		p.Report(t.Context(), driver.ConsumerReport{ID: "1", Queue: "jobs"}, time.Hour),
	)
	if err != nil {
		t.Fatal(err)
	}
	if paused, err := q.Paused(t.Context()); err != nil || len(paused) != 1 {
		t.Errorf("paused: %v, %v", paused, err)
	}
	if reports, err := q.Consumers(t.Context(), ""); err != nil || len(reports) != 1 {
		t.Errorf("reports: %v, %v", reports, err)
	}
}

// TestKeysAreForgotten: keys that are free leave no rows for ever.
func TestKeysAreForgotten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	c, err := mq.Open("sqlite://" + path + "?synchronous=normal")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	q, err := c.EnsureQueue(t.Context(), "jobs", mq.QueueOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const messages = 1000
	for i := range messages {
		m := &mq.Message{DedupKey: string(rune('a'+i%26)) + time.Now().Format(time.RFC3339Nano), DedupFor: time.Microsecond}
		if i%2 == 0 {
			m.DedupFor = mq.WhileQueued
		}
		if _, err := q.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if _, err := q.Pop(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	found := all(t, openDB(t, path), "SELECT count(*) FROM mq_key")
	if n := found[0][0].(int64); n > messages/4 {
		t.Errorf("%d rows are left of %d keys that are free", n, messages)
	}
}

package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/sqlite"
)

// patient is a file with queue w, which the doctor looks at.
type patient struct {
	*testing.T
	client *mq.Client
	queue  *mq.Queue
	db     *sql.DB // of another program
}

func newPatient(t *testing.T, parameters string) patient {
	t.Helper()
	path := filepath.Join(t.TempDir(), "queue.db")
	c, err := mq.Open("sqlite://" + path + parameters)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	q, err := c.EnsureQueue(t.Context(), "w", mq.QueueOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return patient{t, c, q, openDB(t, path)}
}

func (p patient) exec(text string) {
	p.Helper()
	if _, err := p.db.ExecContext(p.Context(), text); err != nil {
		p.Fatal(err)
	}
}

func (p patient) send(msgs ...*mq.Message) {
	p.Helper()
	if _, err := p.queue.SendAll(p.Context(), msgs); err != nil {
		p.Fatal(err)
	}
}

// findings returns what all checks say, a line each.
func (p patient) findings() string {
	p.Helper()
	var b strings.Builder
	for _, c := range p.client.Provider().(*sqlite.Provider).Checks() {
		found, err := c.Run(p.Context())
		if err != nil || len(found) == 0 && c.Where != "queues" {
			p.Errorf("%s: %d findings, %v", c.What, len(found), err)
		}
		for _, f := range found {
			fmt.Fprintf(&b, "%s %s: %s\n", f.Level, f.Where, f.Text)
		}
	}
	return b.String()
}

// worst returns the findings that are not ok.
func (p patient) worst() (bad []string) {
	p.Helper()
	for line := range strings.Lines(p.findings()) {
		if !strings.HasPrefix(line, "ok ") {
			bad = append(bad, line)
		}
	}
	return bad
}

func TestDoctorHealthy(t *testing.T) {
	p := newPatient(t, "")
	p.send(&mq.Message{Group: "a"}, &mq.Message{Group: "a"})
	if _, err := p.queue.ReceiveHeads(t.Context(), mq.ByGroup(), mq.ReceiveOptions{Max: 1}); err != nil {
		t.Fatal(err)
	}
	got := p.findings()
	for _, want := range []string{
		"ok settings: journal mode WAL, synchronous = FULL\n", "ok log: ", "ok file: ", "ok layout: version 5, with all indexes\n",
		"ok integrity: quick_check finds nothing\n", "ok w: 2 messages, 0 in the archive\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// TestDoctor spoils one thing after the other. The remedy that is SQL helps.
func TestDoctor(t *testing.T) {
	for _, tt := range []struct {
		name, spoil, want string
	}{
		{"counters", "UPDATE mq_queue SET total = 7, archived = 1", "problem w: the counters say 7 messages and 1 archived ones, and there are 2 and 0"},
		{"index", "DROP INDEX mq_message_due", "problem layout: the index mq_message_due is missing (CREATE INDEX mq_message_due ON mq_message"},
		{"other index", "DROP INDEX mq_message_due; CREATE INDEX mq_message_due ON mq_message (queue)", "problem layout: the index mq_message_due is not the one"},
		{"table", "DROP TABLE mq_body", "problem layout: the table mq_body is missing (restore a copy"},
		{"trigger", "DROP TRIGGER mq_member_deleted", "problem layout: the trigger mq_member_deleted is missing"},
		{"dropped", "INSERT INTO mq_queue (name, mark) VALUES (NULL, 1)", "advice queues: 1 dropped queues have left 0 rows"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPatient(t, "")
			p.send(&mq.Message{Group: "a"}, &mq.Message{Group: "a"})
			if _, err := p.queue.ReceiveHeads(t.Context(), mq.ByGroup(), mq.ReceiveOptions{Max: 1, Visibility: time.Hour}); err != nil {
				t.Fatal(err)
			}
			p.exec(tt.spoil)
			bad := p.worst()
			if len(bad) != 1 || !strings.HasPrefix(bad[0], tt.want) {
				t.Fatalf("%q, want %q", bad, tt.want)
			}
			if _, remedy, ok := strings.Cut(bad[0], " ("); ok && strings.Contains(tt.want, "problem w:") || strings.Contains(tt.want, "(CREATE") {
				p.exec(strings.TrimSuffix(strings.TrimSpace(remedy), ")"))
				if bad := p.worst(); len(bad) > 0 {
					t.Errorf("after the remedy: %q", bad)
				}
			}
		})
	}
}

func TestDoctorSynchronous(t *testing.T) {
	if bad := newPatient(t, "?synchronous=normal").worst(); len(bad) != 1 || !strings.HasPrefix(bad[0], "advice settings: journal mode WAL, synchronous = NORMAL: ") {
		t.Errorf("%q", bad)
	}
}

// TestDoctorFree: a file that was large once.
func TestDoctorFree(t *testing.T) {
	p := newPatient(t, "")
	p.send(&mq.Message{Body: make([]byte, 24<<20)})
	if _, err := p.queue.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if bad := p.worst(); len(bad) != 1 || !strings.HasPrefix(bad[0], "advice file: 24.") || !strings.Contains(bad[0], "VACUUM") {
		t.Errorf("%q", bad)
	}
	p.exec("VACUUM")
	if bad := p.worst(); len(bad) > 0 {
		t.Errorf("after VACUUM: %q", bad)
	}
}

// TestDoctorLog: a reader that stays keeps the log from being used again.
func TestDoctorLog(t *testing.T) {
	p := newPatient(t, "")
	reader, err := p.db.BeginTx(t.Context(), nil)
	if err == nil {
		err = reader.QueryRowContext(t.Context(), "SELECT 1 FROM mq_queue").Scan(new(int))
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		p.send(&mq.Message{Body: make([]byte, 24<<20)})
	}
	if bad := p.worst(); len(bad) != 1 || !strings.HasPrefix(bad[0], "problem log: 7") {
		t.Errorf("%q", bad)
	}
	if err := reader.Rollback(); err != nil {
		t.Fatal(err)
	}
	p.send(&mq.Message{Body: make([]byte, 1<<20)}) // checkpoints
	p.send(&mq.Message{Body: make([]byte, 1<<20)}) // begins the log anew
	if bad := p.worst(); len(bad) > 0 {
		t.Errorf("without the reader: %q", bad)
	}
}

// TestDoctorBlocked: one head holds up many.
func TestDoctorBlocked(t *testing.T) {
	p := newPatient(t, "")
	msgs := []*mq.Message{{Group: "a", Delay: time.Hour}}
	for range 1001 {
		msgs = append(msgs, &mq.Message{Group: "a"})
	}
	p.send(msgs...)
	if bad := p.worst(); len(bad) != 1 || !strings.HasPrefix(bad[0], "advice w: 1001 of 1002 messages wait for an earlier one of their group") {
		t.Errorf("%q", bad)
	}
}

// TestDoctorDamaged: rows that the schema forbids.
func TestDoctorDamaged(t *testing.T) {
	p := newPatient(t, "")
	p.send(&mq.Message{}, &mq.Message{})
	p.exec("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'headers TEXT', 'headers TEXT NOT NULL') WHERE name = 'mq_message'; PRAGMA schema_version = 1000")
	if bad := p.worst(); len(bad) != 2 || !strings.HasPrefix(bad[0], "problem integrity: NULL value in mq_message.headers (") {
		t.Errorf("%q", bad)
	}
}

// TestDoctorCancelled: a check ends with its context.
func TestDoctorCancelled(t *testing.T) {
	p := newPatient(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range p.client.Provider().(*sqlite.Provider).Checks() {
		if found, err := c.Run(ctx); err == nil && c.Where != "log" {
			t.Errorf("%s: %v", c.Where, found)
		}
	}
}

// TestDoctorTriggers: the next receive by group makes everything again.
func TestDoctorTriggers(t *testing.T) {
	p := newPatient(t, "")
	p.send(&mq.Message{Group: "a"}, &mq.Message{Group: "b"})
	heads := func() int {
		ds, err := p.queue.ReceiveHeads(t.Context(), mq.ByGroup(), mq.ReceiveOptions{Max: 1, Visibility: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		return len(ds)
	}
	heads()
	p.exec("DROP TRIGGER mq_member_deleted")
	_, remedy, _ := strings.Cut(p.findings(), "and run ")
	remedy, _, _ = strings.Cut(remedy, ": ")
	p.exec(remedy)
	if n := heads(); n != 1 {
		t.Errorf("%d heads of the other group", n)
	}
	if bad := p.worst(); len(bad) > 0 {
		t.Errorf("%q", bad)
	}
}

func TestDoctorLocked(t *testing.T) {
	p := newPatient(t, "")
	conn, err := p.db.Conn(t.Context())
	if err == nil {
		_, err = conn.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	}
	if err != nil {
		t.Fatal(err)
	}
	if text := p.findings(); !strings.Contains(text, "another connection has had the write lock") {
		t.Errorf("findings beside a lock:\n%s", text)
	}
}

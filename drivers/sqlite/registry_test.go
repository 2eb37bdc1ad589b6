package sqlite_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

// consumers returns the ids of the consumers that are reported.
func (d desk) consumers(queue string) (ids []string) {
	d.Helper()
	all, err := d.Consumers(d.Context(), queue)
	d.must(err)
	for _, r := range all {
		ids = append(ids, r.ID)
	}
	return ids
}

func (d desk) report(id, queue, name string, ttl time.Duration) {
	d.Helper()
	d.must(d.Report(d.Context(), driver.ConsumerReport{ID: id, Queue: queue, Name: name}, ttl))
}

func TestRegistry(t *testing.T) {
	d := newDesk(t)
	d.must(d.EnsureQueue(t.Context(), "a", driver.QueueOptions{}))
	if ids := d.consumers(""); len(ids) != 0 {
		t.Errorf("consumers at first: %v", ids)
	}
	d.report("1", "q", "y", time.Hour)
	d.report("3", "q", "x", time.Hour)
	d.report("2", "q", "x", time.Hour)
	d.report("4", "a", "z", time.Hour)
	for queue, want := range map[string][]string{"": {"4", "2", "3", "1"}, "q": {"2", "3", "1"}, "a": {"4"}, "missing": nil} {
		if ids := d.consumers(queue); !slices.Equal(ids, want) {
			t.Errorf("consumers of %q: %v, want %v", queue, ids, want)
		}
	}
	d.report("2", "a", "a", time.Hour) // in place of the earlier one
	d.report("3", "q", "x", 0)
	d.report("3", "q", "x", 0)
	if ids := d.consumers(""); !slices.Equal(ids, []string{"2", "4", "1"}) {
		t.Errorf("consumers: %v", ids)
	}
	d.must(d.DropQueue(t.Context(), "a"))
	d.must(d.EnsureQueue(t.Context(), "a", driver.QueueOptions{}))
	if ids := d.consumers(""); !slices.Equal(ids, []string{"1"}) {
		t.Errorf("consumers after a drop: %v", ids)
	}
	if err := d.Report(t.Context(), driver.ConsumerReport{ID: "5", Queue: "missing"}, time.Hour); !errors.Is(err, driver.ErrQueueNotFound) {
		t.Errorf("a report on a missing queue: %v", err)
	}
}

// TestReportRoundTrip: nothing of a report is lost.
func TestReportRoundTrip(t *testing.T) {
	d := newDesk(t)
	want := driver.ConsumerReport{
		ID: "id", Queue: "q", Name: "host/1", Concurrency: 8, Running: 3, Paused: true, Done: 1 << 40, Failed: 2, LastError: "no \"luck\"\n",
		Held: 2, Longest: []driver.HeldMessage{{ID: "7", For: time.Minute}, {ID: "8", For: 1}}, Age: time.Hour + 1,
	}
	began := time.Now().Truncate(time.Microsecond)
	d.must(d.Report(t.Context(), want, time.Hour))
	got, err := d.Consumers(t.Context(), "q")
	if err != nil || len(got) != 1 || got[0].At.Before(began) || got[0].At.After(time.Now()) {
		t.Fatalf("%+v, %v", got, err)
	}
	got[0].At = time.Time{}
	if !reflect.DeepEqual(got[0], want) {
		t.Errorf("got %+v, want %+v", got[0], want)
	}
}

// TestReportsExpire: a report whose time is over is not shown, and the next one of any
// consumer removes its row.
func TestReportsExpire(t *testing.T) {
	d := newDesk(t)
	db := openDB(t, d.path)
	d.report("short", "q", "", time.Microsecond)
	for deadline := time.Now().Add(30 * time.Second); len(d.consumers("")) > 0; {
		if time.Now().After(deadline) {
			t.Fatal("a report of a microsecond does not expire")
		}
	}
	if n := len(all(t, db, "SELECT id FROM mq_consumer")); n != 1 {
		t.Errorf("%d rows before the next report", n)
	}
	d.report("long", "q", "", time.Hour)
	if found := all(t, db, "SELECT id FROM mq_consumer"); len(found) != 1 || found[0][0] != "long" {
		t.Errorf("rows: %v", found)
	}
}

// TestReportBesideTx: a report waits for a caller's transaction no longer than its ctx
// allows, and reads do not wait at all.
func TestReportBesideTx(t *testing.T) {
	d := newDesk(t)
	conn, err := openDB(t, d.path).Conn(t.Context())
	if err == nil {
		_, err = conn.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	}
	d.must(err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := d.Report(ctx, driver.ConsumerReport{ID: "1", Queue: "q"}, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a report while the file is locked: %v", err)
	}
	if ids := d.consumers(""); len(ids) != 0 {
		t.Errorf("consumers: %v", ids)
	}
	_, err = conn.ExecContext(t.Context(), "ROLLBACK")
	d.must(err)
	d.report("1", "q", "", time.Hour)
}

package faults

import (
	"testing"
	"time"

	"github.com/portmq/mq"
)

// TestPurgeInBatches: a purge survives a statement timeout that the whole would
// not, leaves nothing, and counts what it removed.
func TestPurgeInBatches(t *testing.T) {
	const rows = 50_000
	b := newBase(t)
	q := b.queue(b.client(), "jobs")
	b.exec("INSERT INTO pgmq.q_jobs (vt, message) SELECT now(), '{}' FROM generate_series(1, $1::int)", rows)
	b.exec("INSERT INTO pgmq.a_jobs (msg_id, vt, message, archived_at) SELECT g, now(), '{}', now() - g * interval '1 hour' FROM generate_series(1, $1::int) g", rows)
	// Each statement of more than 1,000 rows is cut off.
	b.exec(`CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN
		IF (SELECT count(*) FROM gone) > 1000 THEN PERFORM pg_sleep(100); END IF; RETURN NULL; END'`)
	for _, table := range []string{"q_jobs", "a_jobs"} {
		b.execf("CREATE TRIGGER slow AFTER DELETE ON pgmq.%s REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION slow()", table)
	}
	q = b.client("options=-c%20statement_timeout%3D2s").Queue(q.Name())
	for _, purge := range []struct {
		name string
		run  func() (int64, error)
		want int64
	}{
		{"the queue", func() (int64, error) { return q.Purge(t.Context()) }, rows},
		{"what is old", func() (int64, error) { return q.PurgeArchive(t.Context(), 10_000*time.Hour+time.Minute) }, rows - 10_000},
		{"the archive", func() (int64, error) { return q.PurgeArchive(t.Context(), mq.AnyAge) }, 10_000},
	} {
		if n, err := purge.run(); err != nil || n != purge.want {
			t.Errorf("%s: %d purged, want %d: %v", purge.name, n, purge.want, err)
		}
	}
	if n := value[int](b, "SELECT (SELECT count(*) FROM pgmq.q_jobs) + (SELECT count(*) FROM pgmq.a_jobs)"); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

// TestRedriveEnds: a redrive of all that is archived takes each message once,
// though each goes back to the archive at once.
func TestRedriveEnds(t *testing.T) {
	const rows = 5000
	b := newBase(t)
	q := b.queue(b.client(), "jobs")
	b.exec("INSERT INTO pgmq.a_jobs (msg_id, vt, message) SELECT g, now(), '{}' FROM generate_series(1, $1::int) g", rows)
	b.exec(`CREATE FUNCTION dies() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN
		INSERT INTO pgmq.a_jobs (msg_id, vt, message, archived_at) VALUES (NEW.msg_id + 1000000, NEW.vt, NEW.message, clock_timestamp());
		DELETE FROM pgmq.q_jobs WHERE msg_id = NEW.msg_id; RETURN NULL; END';
		CREATE TRIGGER dies AFTER INSERT ON pgmq.q_jobs FOR EACH ROW EXECUTE FUNCTION dies()`)
	n, err := q.Redrive(t.Context(), mq.RedriveOptions{Limit: 1 << 30})
	if err != nil || n != rows {
		t.Errorf("%d redriven, want %d: %v", n, rows, err)
	}
	if n := value[int](b, "SELECT count(*) FROM pgmq.a_jobs"); n != rows {
		t.Errorf("the archive has %d", n)
	}
}

// TestStatsFilled: a queue that has just been filled, and that nobody has
// analysed since, is estimated right.
func TestStatsFilled(t *testing.T) {
	b := newBase(t)
	q := b.queue(b.client(), "jobs")
	b.exec("ALTER TABLE pgmq.q_jobs SET (autovacuum_enabled = off)")
	near := func(what string, got, want int64) {
		t.Helper()
		if got < want*8/10 || got > want*12/10 {
			t.Errorf("%s: %d, want about %d", what, got, want)
		}
	}
	for _, before := range []string{"", "ANALYZE pgmq.q_jobs", "DELETE FROM pgmq.q_jobs; VACUUM ANALYZE pgmq.q_jobs"} {
		b.each(before)
		b.exec("DELETE FROM pgmq.q_jobs")
		b.exec("INSERT INTO pgmq.q_jobs (vt, message, read_ct, last_read_at) SELECT now() + CASE WHEN g % 4 < 2 THEN interval '1 hour' ELSE '0' END, '{}', 1, CASE WHEN g % 4 = 0 THEN now() END FROM generate_series(1, 200000) g")
		s, err := q.Stats(t.Context())
		b.ok(err)
		near("total", s.Total, 200_000)
		near("visible", s.Visible, 100_000)
		near("leased", s.Leased, 50_000)
		if !s.Approximate {
			t.Error("it is not said to be an estimate")
		}
	}
}

// TestBatchDue: the messages of a batch are due after what their sender sent
// before, in one transaction too, and none before its delay is over.
func TestBatchDue(t *testing.T) {
	b := newBase(t)
	q := b.queue(b.client(), "jobs")
	batch := make([]*mq.Message, 1000)
	for i := range batch {
		batch[i] = &mq.Message{Body: []byte("1"), Delay: 500 * time.Microsecond}
	}
	for range 20 {
		start := value[time.Time](b, "SELECT clock_timestamp()")
		b.ok(b.inTx(t.Context(), q, func(x *mq.TxQueue) error {
			if _, err := x.Send(t.Context(), &mq.Message{Body: []byte("0")}); err != nil {
				return err
			}
			_, err := x.SendAll(t.Context(), batch)
			return err
		}))
		if early := value[int](b, "SELECT count(*) FROM pgmq.q_jobs WHERE message = '1' AND vt < $1::timestamptz + interval '500 us'", start); early > 0 {
			t.Errorf("%d messages are due before their delay is over", early)
		}
		if over := value[int](b, "SELECT count(*) FROM pgmq.q_jobs WHERE message = '1' AND vt <= (SELECT vt FROM pgmq.q_jobs WHERE message = '0')"); over > 0 {
			t.Errorf("%d messages overtake the one that was sent before", over)
		}
		b.exec("DELETE FROM pgmq.q_jobs")
	}
}

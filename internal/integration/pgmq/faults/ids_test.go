package faults

import (
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
)

// again makes the ids of queue jobs come again, after three messages.
var again = []struct{ name, statement string }{
	{"truncated, as by a crash of an unlogged queue", "TRUNCATE pgmq.q_jobs RESTART IDENTITY"},
	{"made again beside its archive", "DROP TABLE pgmq.q_jobs; CREATE TABLE pgmq.q_jobs (LIKE pgmq.a_jobs INCLUDING DEFAULTS); ALTER TABLE pgmq.q_jobs DROP archived_at, ADD PRIMARY KEY (msg_id), ALTER msg_id ADD GENERATED ALWAYS AS IDENTITY"},
	{"the sequence set back", "SELECT setval(pg_get_serial_sequence('pgmq.q_jobs', 'msg_id'), 1, false)"},
}

// archives fills the archive of a queue.
func (b *base) archives(q *mq.Queue, n int) {
	b.Helper()
	b.post(q, n)
	for _, d := range b.take(q, n) {
		b.ok(d.Archive(b.Context(), "old"))
	}
}

// TestIDsAgain: the archive keeps both messages of an id, and neighbours in one
// Settle or in one transaction are settled as well.
func TestIDsAgain(t *testing.T) {
	for _, how := range again {
		t.Run(how.name, func(t *testing.T) {
			b := newBase(t)
			c := b.client()
			q := b.queue(c, "jobs")
			b.archives(q, 3)
			b.exec(how.statement)
			b.post(q, 3)
			ds := b.take(q, 3)
			b.ok(q.Settle(t.Context(),
				mq.Settlement{Receipt: ds[0].Receipt, Op: mq.OpArchive, Reason: "new"},
				mq.Settlement{Receipt: ds[1].Receipt, Op: mq.OpAck},
				mq.Settlement{Receipt: ds[2].Receipt, Op: mq.OpNack}))
			last := b.one(q)
			b.ok(b.inTx(t.Context(), q, func(x *mq.TxQueue) error {
				return x.Archive(t.Context(), last, "new")
			}))
			rs, err := q.Archived(t.Context(), mq.BrowseOptions{Limit: 10})
			b.ok(err)
			reasons := map[string]int{}
			for _, r := range rs {
				reasons[r.Reason()]++
			}
			if reasons["old"] != 3 || reasons["new"] != 2 || value[int](b, "SELECT count(*) FROM pgmq.q_jobs") != 0 {
				t.Errorf("the archive has %v", reasons)
			}
			n, err := q.Redrive(t.Context(), mq.RedriveOptions{IDs: []string{rs[4].ID}})
			if b.ok(err); n != 1 {
				t.Errorf("%d redriven by the new id %s", n, rs[4].ID)
			}
		})
	}
}

// TestIDsRaised: EnsureQueue makes ids begin above those of the archive and of
// the queue, where the role owns them.
func TestIDsRaised(t *testing.T) {
	for _, how := range append(again, struct{ name, statement string }{"the queue dropped", "DROP TABLE pgmq.q_jobs"}) {
		t.Run(how.name, func(t *testing.T) {
			b := newBase(t)
			c := b.client()
			q := b.queue(c, "jobs")
			b.archives(q, 3)
			b.exec(how.statement)
			b.queue(b.client(), "jobs")
			if ids := b.post(b.client().Queue("jobs"), 1); ids[0] != "4" {
				t.Errorf("the next id is %s, want 4", ids[0])
			}
		})
	}
}

// TestUnfencedExtend: with a bare id a message is extended whether it is leased
// or not, as by pgmq.set_vt.
func TestUnfencedExtend(t *testing.T) {
	b := newBase(t)
	q := b.queue(b.client(), "jobs")
	id := b.post(q, 1)[0]
	b.ok(q.Extend(t.Context(), time.Hour, pgmq.Unfenced("jobs", id)))
	if value[bool](b, "SELECT vt < now() + interval '50 minutes' FROM pgmq.q_jobs") {
		t.Error("it is still visible")
	}
}

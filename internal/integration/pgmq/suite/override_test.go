package suite_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/pgmq"
	"github.com/portmq/mq/internal/integration/server"
)

func (p *provided) override(s driver.Settlement, ids ...string) int64 {
	p.Helper()
	return must(p.Override(p.Context(), jobs, ids, s))(p)
}

// stale checks that a lease is over, and its message not the holder's any more.
func (p *provided) stale(d *driver.Delivery) {
	p.Helper()
	for _, op := range []driver.Op{driver.OpAck, driver.OpNack, driver.OpArchive} {
		wantError(p, one(p.Settle(p.Context(), jobs, []driver.Settlement{{Receipt: d.Receipt, Op: op}})), driver.ErrStaleReceipt)
	}
	wantError(p, one(p.Extend(p.Context(), jobs, []driver.Receipt{d.Receipt}, time.Minute)), driver.ErrStaleReceipt)
}

// one returns the error of the one item of a batch.
func one(err error) error {
	if batch, ok := err.(*driver.BatchError); ok {
		return batch.Errs[0]
	}
	return err
}

// TestOverride: an operator takes messages from those who hold them, or acts on those that
// nobody holds. Ids that repeat, are none or not there make no difference.
func TestOverride(t *testing.T) {
	eachProvider(t, func(p *provided) {
		ok(p, p.EnsureQueue(p.Context(), "other", driver.QueueOptions{}))
		for _, tt := range []struct {
			s     driver.Settlement
			check func(d *driver.Delivery)
		}{
			{driver.Settlement{Op: driver.OpAck}, func(*driver.Delivery) {}},
			{driver.Settlement{Op: driver.OpArchive, Reason: "why"}, func(d *driver.Delivery) {
				r := p.browse(driver.BrowseRequest{Archive: true, IDs: []string{d.ID}})[0]
				p.want("archived", []any{r.Reason(), r.EnqueuedAt, r.ReadCount}, []any{"why", d.EnqueuedAt, 1})
			}},
			{driver.Settlement{Op: driver.OpMove, To: "other", Reason: "why"}, func(d *driver.Delivery) {
				ds := must(p.Receive(p.Context(), "other", driver.ReceiveRequest{Max: 10, Visibility: time.Hour}))(p)
				if len(ds) != 3 || ds[0].Headers[driver.HeaderReason] != "why" || ds[0].Headers[driver.HeaderOrigin] != "jobs/"+d.ID {
					p.Errorf("moved are %+v", ds)
				}
			}},
			{driver.Settlement{Op: driver.OpNack, Delay: time.Hour}, func(d *driver.Delivery) {
				for _, r := range p.browse(driver.BrowseRequest{}) {
					p.want("state", r.State, driver.StateDelayed)
				}
			}},
			{driver.Settlement{Op: driver.OpNack}, func(d *driver.Delivery) {
				again := p.lease(3)[0]
				p.want("read count, attempt, unanswered", []int{again.ReadCount, again.Attempt, again.Unanswered}, []int{2, 2, 1})
				if again.ID != d.ID || again.EnqueuedAt.Sub(d.EnqueuedAt).Abs() > time.Microsecond {
					p.Errorf("%+v comes again as %+v", d, again)
				}
				if last := must(p.Receive(p.Context(), jobs, driver.ReceiveRequest{Max: 1, Visibility: time.Hour}))(p); len(last) > 0 {
					p.Errorf("received %+v as well", last)
				}
			}},
		} {
			must(p.PurgeQueue(p.Context(), jobs))(p)
			leased, visible := p.post(bodies("1")...)[0], ""
			d := p.lease(1)[0]
			visible = p.post(bodies("2")...)[0]
			delayed := p.post(driver.Message{Body: []byte("3"), Delay: time.Hour})[0]
			if n := p.override(tt.s, leased, visible, delayed, leased, "x", "", "4611686018427387904"); n != 3 {
				p.Errorf("%v: it finds %d messages, want 3", tt.s.Op, n)
			}
			p.stale(&d)
			tt.check(&d)
			p.stale(&d)
		}
		p.want("none", p.override(driver.Settlement{Op: driver.OpAck}, "x"), int64(0))
		_, err := p.Override(p.Context(), "missing", []string{"1"}, driver.Settlement{Op: driver.OpAck})
		wantError(p, err, driver.ErrQueueNotFound)
		_, err = p.Override(p.Context(), jobs, []string{"1"}, driver.Settlement{Op: driver.OpMove, To: "missing"})
		wantError(p, err, driver.ErrQueueNotFound)
	})
}

// TestOverrideWakes: a receiver that waits gets what an override has made visible.
func TestOverrideWakes(t *testing.T) {
	eachProvider(t, func(p *provided) {
		p.post(bodies("1")...)
		d := p.lease(1)[0]
		got := make(chan []driver.Delivery, 1)
		go func() {
			var ds []driver.Delivery
			for end := time.Now().Add(time.Minute); len(ds) == 0 && time.Now().Before(end) && p.Context().Err() == nil; {
				ds, _ = p.Receive(p.Context(), jobs, driver.ReceiveRequest{Max: 1, Visibility: time.Hour, Wait: time.Minute})
			}
			got <- ds
		}()
		p.want("found", p.override(driver.Settlement{Op: driver.OpNack}, d.ID), int64(1))
		if ds := <-got; len(ds) != 1 {
			p.Errorf("received %v", ds)
		}
	})
}

// TestOverrideLocked: a message that another transaction has locked is not overridden, nor
// waited for. It does not keep the others from it.
func TestOverrideLocked(t *testing.T) {
	eachProvider(t, func(p *provided) {
		all := p.post(bodies("1", "2")...)
		tx := must(p.db.Begin())(p)
		defer func() { _ = tx.Rollback() }()
		must(tx.Exec("SELECT FROM pgmq.q_jobs WHERE msg_id = 1 FOR UPDATE"))(p)
		n, err := p.Override(p.Context(), jobs, all, driver.Settlement{Op: driver.OpAck})
		wantError(p, err, driver.ErrUnavailable)
		p.want("found", n, int64(1))
		_, err = p.Override(p.Context(), jobs, all, driver.Settlement{Op: driver.OpAck})
		wantError(p, err, driver.ErrBadConn)
	})
}

// TestOverrideKeys: an override frees the key of a message that held it while it was queued.
func TestOverrideKeys(t *testing.T) {
	eachProvider(t, func(p *provided) {
		once := func() driver.Sent {
			m := driver.Message{Body: []byte("1"), DedupKey: "k", DedupFor: driver.WhileQueued}
			return must(p.SendUnique(p.Context(), jobs, []driver.Message{m}))(p)[0]
		}
		first := once()
		p.want("held", once(), driver.Sent{ID: first.ID, Duplicate: true})
		p.override(driver.Settlement{Op: driver.OpArchive}, first.ID)
		p.want("free", once().Duplicate, false)
	})
}

// TestRemoveArchived deletes from the archive only.
func TestRemoveArchived(t *testing.T) {
	eachProvider(t, func(p *provided) {
		all := p.post(bodies("1", "2", "3")...)
		p.override(driver.Settlement{Op: driver.OpArchive}, all[0], all[1])
		n := must(p.RemoveArchived(p.Context(), jobs, []string{all[0], all[0], all[2], "x"}))(p)
		p.want("removed", n, int64(1))
		p.want("left", ids(p.browse(driver.BrowseRequest{Archive: true})), all[1:2])
		p.want("in the queue", ids(p.browse(driver.BrowseRequest{})), all[2:])
		_, err := p.RemoveArchived(p.Context(), "missing", all)
		wantError(p, err, driver.ErrQueueNotFound)
	})
}

// operates is all that operators do, once.
func (p *provided) operates(reason string) {
	p.Helper()
	p.post(bodies("1", "2", "3", "4")...)
	all := p.browse(driver.BrowseRequest{Newest: true, CutBody: 1})
	p.want("found", ids(p.search(driver.SearchRequest{Match: driver.Match{Text: "2", State: driver.StateVisible}}).Records), []string{all[2].ID})
	p.want("by headers", ids(p.search(driver.SearchRequest{Match: driver.Match{Header: "k", Value: "v", Group: "g", Reason: "r"}}).Records), []string(nil))
	d := p.lease(1)[0]
	p.want("nacked", p.override(driver.Settlement{Op: driver.OpNack, Delay: time.Hour}, d.ID), int64(1))
	p.stale(&d)
	p.want("archived", p.override(driver.Settlement{Op: driver.OpArchive, Reason: "why"}, d.ID, all[0].ID), int64(2))
	p.want("acked", p.override(driver.Settlement{Op: driver.OpAck}, all[1].ID), int64(1))
	counts, looked, err := p.CountReasons(p.Context(), jobs, 10)
	ok(p, err)
	if looked != 2 || len(counts) != 1 || counts[0].Reason != reason || counts[0].Count != 2 {
		p.Errorf("it counts %v of %d", counts, looked)
	}
	p.want("removed", must(p.RemoveArchived(p.Context(), jobs, []string{d.ID}))(p), int64(1))
	ok(p, p.SetPaused(p.Context(), jobs, true, "me"))
	p.want("paused", p.pauses(), []string{"jobs by me"})
	ok(p, p.AwaitPause(p.Context(), time.Millisecond))
	ok(p, p.Report(p.Context(), report("1", jobs, "a"), time.Hour))
	p.want("reports", len(must(p.Consumers(p.Context(), jobs))(p)), 1)
}

// TestOperateOld: a queue of PGMQ 1.4 has no headers, and so no reasons.
func TestOperateOld(t *testing.T) {
	eachProvider(t, func(p *provided) {
		p.exec("ALTER TABLE pgmq.q_jobs DROP COLUMN headers, DROP COLUMN last_read_at; ALTER TABLE pgmq.a_jobs DROP COLUMN headers, DROP COLUMN last_read_at")
		p.operates("")
	})
}

// TestOperatePooled does it through a pooler of transactions, where notifications do not come.
func TestOperatePooled(t *testing.T) {
	t.Parallel()
	cluster := server.Postgres(t)
	b := server.PgBouncer(t, cluster, "transaction", ignore)
	dsn := b.DSN(cluster.Database(t))
	listen := must(pgx.ParseConfig(dsn))(t)
	listen.DefaultQueryExecMode = pgx.QueryExecModeExec
	provide(t, "pgx", and(dsn, "default_query_exec_mode=exec"), pgmq.Config{Listen: listen}).operates("why")
}

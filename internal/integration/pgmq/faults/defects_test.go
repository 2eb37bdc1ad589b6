package faults

// Defects of the systems that came before, and what keeps each of them from
// coming back here: a case of drivertest, which this driver passes, or a test. What
// is missing concerns another backend.
//
//	a stale holder's ack deletes what another works on     stale/*, receipt/*; TestTwoLeases
//	groups overlap when ids are committed out of order     group/late-commit, group/workers
//	a drain takes what others hold, or what is delayed     drain/holding, drain/concurrent, drain/delayed
//	messages without a group are stuck, or all in one      group/no-key, group/path-missing; TestForeignRows
//	names, ids and paths get into the SQL                  names/any, group/path-keys; TestInjection
//	a call that fails keeps its connection                 TestPoolOfOne, TestKilled
//	group reads cost what the queue is long                package plans
//	leased messages in front are walked through            package plans
//	batches come back in the order of the heap             receive/sorted, drain/in-order
//	a lease counts from before the waiting                 TestLeaseAfterWaiting
//	a delayed or poisonous head blocks its group           group/freed-by-archive, outcome/max-attempts, outcome/retry
//	settling what is gone breaks the client                settle/ack-twice; TestForeignRows
//	a plain read breaks groups                             group/plain-lease (plain receives ignore groups: documented)
//	a path of one key with a comma reads another           group/path-keys
//	ids above 2^53 are rounded                             TestLargeIDs, TestForeignRows
//	a negative visibility hands one message to all         lease/extend-range, receive/options
//	an empty payload becomes NULL                          body/empty
//	names that differ in case collide                      names/folding
//	no heartbeat                                           consumer/long-job, messages/keeps-leases
//	a drain without bounds                                 receive/max, drain/in-order
//	"give up" deletes                                      archive/keeps-all, outcome/reject
//	a pushed message goes to everybody                     wait/one-of-many, receive/each-once; TestNotifications
//	a delayed message is pushed at once                    delay/send; TestNotifications
//	long or many payloads break the notification           body/sizes; TestNotifications
//	receipts without a queue                               receipt/other-queue
//	a receive that must not wait does, with a connection   receive/no-wait, wait/*; TestPoolOfOne
//	a batch is not atomic                                  send/atomic
//	the name of the channel is not what is notified        TestSpelling, TestPlainInsert
//	what does not decode fails the whole receive           outcome/undecodable, typed/undecodable, body/*; TestForeignRows
//	durations are cut to seconds, or wrap                  lease/short, lease/longest, delay/longest
//	an extension counts from the old end                   lease/extend-from-now, lease/extend-late
//	a subscriber's failure to connect is final             TestListenNowhere, TestListenKilled
//	a gap after a reconnect                                TestListenKilled, wait/*
//	what is not found counts as an outage                  TestMissing, TestConnect
//	two notifications for each message                     TestNotifications
//	errors are told by their text                          TestMissing (in another language)
//	a missing database is taken for a missing queue        TestConnect
//	health without a reason                                open/ping, open/down; TestConnect
//	archives that grow for ever                            archive/purge-by-age
//	no order within groups                                 group/in-order, group/consumer
//	retry means to wait for the timeout                    nack/now, nack/delay, nack/at-timeout
//	tests that share a queue                               a database for each test

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
)

// TestTwoLeases settles an old lease and the live one of a message at once.
func TestTwoLeases(t *testing.T) {
	b := newBase(t)
	c := b.client()
	b.queue(c, "other")
	for op, run := range map[string]func(q *mq.Queue, rs ...mq.Receipt) error{
		"ack":     settling(mq.Settlement{Op: mq.OpAck}),
		"nack":    settling(mq.Settlement{Op: mq.OpNack}),
		"archive": settling(mq.Settlement{Op: mq.OpArchive}),
		"move":    settling(mq.Settlement{Op: mq.OpMove, To: "other"}),
		"extend":  func(q *mq.Queue, rs ...mq.Receipt) error { return q.Extend(context.Background(), time.Hour, rs...) },
	} {
		t.Run(op, func(t *testing.T) {
			b := b.of(t)
			q := b.queue(c, op)
			b.post(q, 1)
			old := b.one(q)
			b.exec("UPDATE pgmq.q_" + op + " SET vt = now()")
			live := b.one(q)
			batch := b.partly(run(q, live.Receipt, old.Receipt, live.Receipt))
			if batch.Errs[0] != nil && batch.Errs[2] != nil || batch.Errs[1] == nil {
				t.Errorf("%v", batch.Errs)
			}
			b.is(batch.Errs[1], mq.ErrStaleReceipt, "the old lease")
			b.once(op)
		})
	}
}

// once checks that the message of a queue is in one place at most.
func (b *base) once(queue string) {
	b.Helper()
	if n := value[int](b, fmt.Sprintf(`SELECT (SELECT count(*) FROM pgmq.q_%[1]s) + (SELECT count(*) FROM pgmq.a_%[1]s)
		+ (SELECT count(*) FROM pgmq.q_other WHERE headers->>'mq-origin' LIKE '%[1]s/%%')`, queue)); n > 1 {
		b.Errorf("there are %d of the message", n)
	}
}

// settling settles all as s says.
func settling(s mq.Settlement) func(q *mq.Queue, rs ...mq.Receipt) error {
	return func(q *mq.Queue, rs ...mq.Receipt) error {
		var all []mq.Settlement
		for _, r := range rs {
			s.Receipt = r
			all = append(all, s)
		}
		return q.Settle(context.Background(), all...)
	}
}

// hostile are names that would do harm if they were not quoted. PGMQ makes no
// such queues, but somebody may.
var hostile = []string{
	`x"; DROP TABLE pgmq.canary; --`,
	`x'; DROP TABLE pgmq.canary; --`,
	`x\'; drop table pgmq.canary; --`,
	`$1`, `%s`, `x y.z`, `"`, `日本`,
}

// TestInjection: names, groups, paths and ids do nothing but name.
func TestInjection(t *testing.T) {
	b := newBase(t)
	b.queue(b.client(), "jobs")
	b.exec("CREATE TABLE pgmq.canary ()")
	eachLibrary(t, func(t *testing.T, library string) {
		c := b.of(t).client("driver="+library, "options=-c%20standard_conforming_strings=off")
		for _, name := range hostile {
			t.Run(name, func(t *testing.T) {
				b := b.of(t)
				q := b.made(c, name)
				for _, op := range operations {
					b.ok(stale(op.run(t.Context(), b, q)))
				}
				_, err := q.ReceiveHeads(t.Context(), &mq.GroupBy{Path: []string{name, `\`, `'`}}, mq.ReceiveOptions{})
				b.ok(err)
				_, err = q.ReceiveGroup(t.Context(), mq.ByGroup(), name, mq.GroupOptions{})
				b.ok(err)
				_, err = q.Peek(t.Context(), mq.BrowseOptions{After: name})
				b.is(err, mq.ErrInvalid, "an id that is none")
				b.is(settle(t.Context(), q, mq.OpAck, name), mq.ErrInvalidReceipt, "a receipt that is none")
				b.ok(c.DropQueue(t.Context(), name))
				b.exec("SELECT FROM pgmq.canary")
			})
		}
	})
}

// made returns a queue of any name, made like queue jobs.
func (b *base) made(c *mq.Client, name string) *mq.Queue {
	b.Helper()
	q := c.Queue(name)
	for _, kind := range []string{"q_", "a_"} {
		b.execf("CREATE TABLE pgmq.%s (LIKE pgmq.%sjobs INCLUDING ALL)", pgx.Identifier{kind + q.Name()}.Sanitize(), kind)
	}
	return q
}

// TestLeaseAfterWaiting: a receiver that had to wait for a lock has the whole
// lease, and a nack in a transaction that is old the whole delay.
func TestLeaseAfterWaiting(t *testing.T) {
	b := newBase(t)
	q := b.queue(b.client(), "jobs")
	b.post(q, 1)
	tx := b.block(blocked{block: "SELECT pg_advisory_xact_lock('pgmq.q_%s'::regclass::oid::int, hashtext('" + canary + "'))"}, "jobs")
	received := make(chan []*mq.Delivery, 1)
	go func() {
		ds, err := q.ReceiveGroup(t.Context(), mq.ByGroup(), canary, mq.GroupOptions{ReceiveOptions: mq.ReceiveOptions{Visibility: time.Minute}})
		if err != nil {
			t.Error(err)
		}
		received <- ds
	}()
	b.waits("true")
	free := value[time.Time](b, "SELECT clock_timestamp()")
	b.ok(tx.Rollback())
	ds := <-received
	if len(ds) != 1 {
		t.Fatalf("received %d messages", len(ds))
	}
	if held := ds[0].VisibleAt.Sub(free); held < time.Minute {
		t.Errorf("the lease ends %v after the lock was free, want %v at least", held, time.Minute)
	}
	var begun time.Time
	b.ok(b.inTx(t.Context(), q, func(x *mq.TxQueue) error {
		begun = value[time.Time](b, "SELECT clock_timestamp()")
		return x.Nack(t.Context(), ds[0], time.Hour)
	}))
	if delay := value[time.Time](b, "SELECT vt FROM pgmq.q_jobs").Sub(begun); delay < time.Hour {
		t.Errorf("the delay ends %v after the nack, want %v at least", delay, time.Hour)
	}
}

// TestLargeIDs: a sequence may be anywhere.
func TestLargeIDs(t *testing.T) {
	b := newBase(t)
	eachLibrary(t, func(t *testing.T, library string) {
		b := b.of(t)
		q := b.queue(b.client("driver="+library), library)
		for _, from := range []int64{1<<53 + 1, 1<<62 + 1} {
			b.execf("ALTER TABLE pgmq.q_%s ALTER msg_id RESTART WITH %d", library, from)
			ids := b.post(q, 2)
			for i, d := range b.take(q, 2) {
				if d.ID != ids[i] || d.ID != strconv.FormatInt(from+int64(i), 10) {
					t.Errorf("sent %s, received %s", ids[i], d.ID)
				}
				b.ok(d.Archive(t.Context(), ""))
			}
			n, err := q.Redrive(t.Context(), mq.RedriveOptions{IDs: ids})
			if b.ok(err); n != 2 {
				t.Errorf("%d redriven", n)
			}
			b.pop(q)
			b.pop(q)
		}
	})
}

// TestNotifications carry nothing, and are few.
func TestNotifications(t *testing.T) {
	b := newBase(t)
	conn, err := pgx.Connect(t.Context(), b.dsn)
	b.ok(err)
	defer func() { _ = conn.Close(context.Background()) }()
	_, err = conn.Exec(t.Context(), `LISTEN "pgmq.q_jobs.INSERT"`)
	b.ok(err)
	c := b.client()
	q := b.queue(c, "jobs")
	start := time.Now()
	const sends = 100
	for range sends {
		b.post(q, 10)
	}
	took := time.Since(start)
	_, err = q.Send(t.Context(), &mq.Message{Body: fmt.Appendf(nil, "%06000d", 1), Delay: time.Hour})
	b.ok(err)
	b.ok(c.Close()) // after the last notification
	b.exec(`NOTIFY "pgmq.q_jobs.INSERT", 'the end'`)
	n := 0
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for ; ; n++ {
		note, err := conn.WaitForNotification(ctx)
		if b.ok(err); note.Payload == "the end" {
			break
		}
		if note.Payload != "" {
			t.Errorf("a notification carries %q", note.Payload)
		}
	}
	if most := int(took/(5*time.Millisecond)) + 3; n == 0 || n > most {
		t.Errorf("%d notifications of %d messages in %v, want %d at most", n, 10*sends, took, most)
	}
}

// TestSpelling: PGMQ 1.13.1 notifies a channel that is named as the queue was
// spelled when its trigger was made.
func TestSpelling(t *testing.T) {
	b := newBase(t)
	functions(b)
	b.exec("SELECT pgmq.create('CamelQ')")
	b.exec("SELECT pgmq.enable_notify_insert('CamelQ')")
	b.exec(`CREATE OR REPLACE FUNCTION pgmq.notify_queue_listeners() RETURNS trigger LANGUAGE plpgsql AS
		$$BEGIN PERFORM pg_notify('pgmq.q_CamelQ.INSERT', ''); RETURN NEW; END$$`)
	got := b.waiting(b.client().Queue("camelQ"))
	b.listens(1)
	b.promptly(func() time.Duration {
		b.calm()
		b.exec("INSERT INTO pgmq.q_camelq (vt, message) VALUES (clock_timestamp(), '1')")
		return arrives(b, got)
	})
}

// TestListenNowhere: if nothing can be heard, receivers look. The server that
// is to be heard refuses, or does not answer.
func TestListenNowhere(t *testing.T) {
	b := newBase(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	b.ok(err)
	t.Cleanup(func() { _ = silent.Close() })
	for name, at := range map[string]string{"refuses": "127.0.0.1:1", "is silent": silent.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			b := b.of(t)
			dsn := "postgres://postgres:" + canary + "@" + at + "/x?connect_timeout=3600"
			got := b.waiting(b.queue(b.borrowed(b.db, pgmq.Config{Listen: b.listenBy(dsn)}), "jobs"))
			b.promptly(func() time.Duration {
				time.Sleep(time.Second) // the receiver waits
				b.exec(insertPlain)
				return arrives(b, got)
			})
		})
	}
}

// TestTxOfEndedContext: a settlement that its context cut off leaves no
// transaction behind that can be committed in part.
func TestTxOfEndedContext(t *testing.T) {
	b := newBase(t)
	b.stage(b.client(), "jobs")
	eachLibrary(t, func(t *testing.T, library string) {
		b := b.of(t)
		db := b.pool(library, b.dsn)
		q := b.borrowed(db, pgmq.Config{}).Queue("jobs")
		tx := b.block(blocks[0], "jobs")
		defer func() { _ = tx.Rollback() }()
		mine, err := db.Begin()
		b.ok(err)
		inside := q.Tx(mine)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		sent := make(chan error, 1)
		go func() {
			_, err := inside.Send(ctx, message())
			sent <- err
		}()
		b.waits("true")
		cancel()
		select {
		case err := <-sent:
			if err == nil {
				t.Error("it was sent")
			}
		case <-time.After(patience):
			t.Fatal("it does not end")
		}
		if mine.Commit() == nil {
			t.Error("the transaction could be committed")
		}
	})
}

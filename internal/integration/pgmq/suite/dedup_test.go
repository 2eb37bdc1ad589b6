package suite_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
	"github.com/portmq/mq/internal/integration/pgmq/layouts"
	"github.com/portmq/mq/internal/integration/server"
)

// TestSameKeys: many clients send the same keys at the same time, some of them in
// transactions that are rolled back. Each key makes one message, and everybody learns its
// id.
func TestSameKeys(t *testing.T) {
	t.Parallel()
	const clients, senders, keys = 10, 10, 30
	dsn := server.Postgres(t).Database(t)
	db := pool(t, dsn)
	var queues []*mq.Queue
	for i := range clients {
		c := with(fmt.Sprint("driver=", []string{"pgx", "pq"}[i%2]))(t, dsn)
		t.Cleanup(func() { ok(t, c.Close()) })
		queues = append(queues, must(c.EnsureQueue(t.Context(), layouts.Queue, mq.QueueOptions{}))(t))
	}
	var mu sync.Mutex
	ids := make(map[string]map[string]bool) // by key
	firsts := make(map[string]int)
	send := func(q *mq.Queue, key string) {
		m := &mq.Message{Body: []byte(key), DedupKey: key, DedupFor: time.Hour}
		if rand.N(4) == 0 { // somebody who takes the key, and does not keep it
			tx, err := db.BeginTx(t.Context(), nil)
			if err == nil {
				_, _, err = q.Tx(tx).SendOnce(t.Context(), m)
				_ = tx.Rollback()
			}
			if err != nil {
				t.Error(err)
			}
		}
		id, first, err := q.SendOnce(t.Context(), m)
		if err != nil {
			t.Error(err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if ids[key] == nil {
			ids[key] = make(map[string]bool)
		}
		ids[key][id] = true
		if first {
			firsts[key]++
		}
	}
	var all sync.WaitGroup
	for _, q := range queues {
		for range senders {
			all.Go(func() {
				for i := range keys {
					send(q, fmt.Sprint("key ", i))
				}
			})
		}
	}
	all.Wait()
	for key, found := range ids {
		if len(found) != 1 || firsts[key] != 1 {
			t.Errorf("%s: %d ids, and %d of %d senders were told that they were the first", key, len(found), firsts[key], clients*senders)
		}
	}
	if s := must(queues[0].Stats(t.Context()))(t); s.Total != keys {
		t.Errorf("%d messages, want %d", s.Total, keys)
	}
}

// TestKeysOutlive: keys are not tied to what the driver knows. A queue that another
// client drops and creates again holds none, and a message that another client deletes
// frees the key that it held while it was queued.
func TestKeysOutlive(t *testing.T) {
	r := newRig(t, nil, "driver=pgx")
	once := func(d time.Duration) bool {
		r.Helper()
		_, first, err := r.SendOnce(r.Context(), &mq.Message{DedupKey: "k", DedupFor: d})
		ok(r, err)
		return first
	}
	if !once(mq.WhileQueued) || once(mq.WhileQueued) {
		r.Error("the key is not held while its message is queued")
	}
	r.ask("DELETE FROM pgmq.q_jobs")
	if !once(time.Hour) || once(time.Hour) {
		r.Error("the key is not held for an hour after its message was deleted by hand")
	}
	r.ask("DROP TABLE pgmq.q_jobs, pgmq.a_jobs")
	ok(r, func() error {
		_, err := r.Client().EnsureQueue(r.Context(), layouts.Queue, mq.QueueOptions{})
		return err
	}())
	if !once(time.Hour) {
		r.Error("a queue that was created again holds a key")
	}
}

// TestKeysLeastPrivilege: a role with the documented rights can send messages with keys,
// and one that may not create the table of keys is told who can.
func TestKeysLeastPrivilege(t *testing.T) {
	t.Parallel()
	cluster := server.Postgres(t)
	role := cluster.Role(t)
	dsn := cluster.Database(t)
	db := pool(t, dsn)
	owner := with("driver=pgx")(t, dsn)
	must(owner.EnsureQueue(t.Context(), layouts.Queue, mq.QueueOptions{}))(t)
	ok(t, owner.Close())
	grant := func(text string) { t.Helper(); must(db.Exec(text + " TO " + role.Username()))(t) }
	grant("GRANT USAGE ON SCHEMA pgmq")
	grant("GRANT SELECT, INSERT ON pgmq.q_jobs")
	must(db.Exec("DROP TABLE pgmq.mq_keys"))(t)
	u := must(url.Parse(dsn))(t)
	u.User = role
	c := with("driver=pgx")(t, u.String())
	t.Cleanup(func() { ok(t, c.Close()) })
	worker := c.Queue(layouts.Queue)
	_, err := worker.Send(t.Context(), &mq.Message{DedupKey: "k"})
	wantError(t, err, mq.ErrNotSupported)
	ok(t, pgmq.Install(t.Context(), db))
	grant("GRANT SELECT, INSERT, UPDATE, DELETE ON pgmq.mq_keys")
	grant("GRANT USAGE ON SEQUENCE pgmq.q_jobs_msg_id_seq")
	for range 100 { // now and then keys are forgotten
		must(worker.Send(t.Context(), &mq.Message{DedupKey: fmt.Sprint(rand.Int()), DedupFor: time.Microsecond}))(t)
	}
}

package groups

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
	"github.com/portmq/mq/internal/integration/checks"
	"github.com/portmq/mq/internal/integration/server"
)

var deliveries = flag.Int("deliveries", 12_000, "how many messages the stress test delivers")

// This is the setting in which protocols that look right fail: few groups,
// little backlog, ids that are committed long after higher ones, and claims that
// take a while. With more groups, or more messages waiting, late ids have no effect.
const (
	groupCount = 8
	backlog    = 24
	senders    = 24
	consumers  = 16
)

// slowly makes claims take a while, in front of the locks and after the update.
var slowly = []string{
	`CREATE FUNCTION slow_lock(int, int) RETURNS boolean LANGUAGE plpgsql AS
	 'BEGIN PERFORM pg_sleep(0.001 * random()); RETURN pg_try_advisory_xact_lock($1, $2); END'`,
	`CREATE FUNCTION no_lock(int, int) RETURNS boolean LANGUAGE plpgsql AS
	 'BEGIN PERFORM pg_sleep(0.001 * random()); RETURN true; END'`,
	`CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS
	 'BEGIN PERFORM pg_sleep(0.004 * random()); RETURN NULL; END'`,
	`CREATE TRIGGER linger AFTER UPDATE ON pgmq.q_stress FOR EACH STATEMENT EXECUTE FUNCTION linger()`,
}

// stress is a queue with senders and consumers.
type stress struct {
	*ledger
	by      mq.GroupBy
	total   int
	db      *sql.DB
	queues  []*mq.Queue   // of different clients
	room    chan struct{} // for what is sent and not acked
	enough  func() bool
	stop    context.CancelFunc
	errs    chan error
	workers sync.WaitGroup
}

// silent returns the options of a queue without a trigger, with these indexes.
func silent(by ...mq.GroupBy) mq.QueueOptions {
	o := pgmq.QueueOptions{GroupIndexes: by, NotifyInterval: pgmq.NoNotify}
	return mq.QueueOptions{Drivers: []mq.DriverOptions{o}}
}

func newStress(t testing.TB, dsn string, by mq.GroupBy, indexed bool, total int, clients ...func() *mq.Client) *stress {
	t.Helper()
	s := &stress{ledger: newLedger(), by: by, total: total, db: pool(t, dsn), room: make(chan struct{}, backlog), errs: make(chan error, senders+consumers)}
	s.enough = func() bool { return s.done() >= total }
	o := silent()
	if indexed {
		o = silent(by)
	}
	for _, client := range clients {
		q, err := client().EnsureQueue(t.Context(), "stress", o)
		if err != nil {
			t.Fatal(err)
		}
		s.queues = append(s.queues, q)
	}
	exec(t, s.db, slowly...)
	return s
}

// run returns when all is acked, or enough.
func (s *stress) run(t testing.TB) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Minute)
	defer stop()
	s.stop = stop
	start := time.Now()
	for i := range senders {
		s.start(func() error { return s.send(ctx, i) })
	}
	for i := range consumers {
		s.start(func() error { return s.consume(ctx, i) })
	}
	s.workers.Wait()
	if len(s.errs) > 0 {
		t.Fatal(<-s.errs)
	}
	t.Logf("%d messages, %d late, %d double leases, %d inversions, %.0f/s",
		s.done(), s.late, len(s.doubles), len(s.inversions), float64(s.done())/time.Since(start).Seconds())
}

func (s *stress) start(f func() error) {
	s.workers.Go(func() {
		if err := f(); err != nil && !s.enough() {
			s.errs <- err
			s.stop()
		}
	})
}

// send sends its share, one message in each transaction.
func (s *stress) send(ctx context.Context, i int) error {
	for n := i; n < s.total; n += senders {
		select {
		case s.room <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		key := ""
		if k := rand.N(groupCount + 1); k < groupCount {
			key = "k" + strconv.Itoa(k)
		}
		if err := s.sendOne(ctx, s.queues[i%len(s.queues)], key); err != nil {
			return fmt.Errorf("sending: %w", err)
		}
	}
	return nil
}

func (s *stress) sendOne(ctx context.Context, q *mq.Queue, key string) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	out := q.Tx(tx)
	m := &mq.Message{Body: []byte(`{}`)}
	switch {
	case s.by.Path == nil:
		m.Group = key
	case key != "":
		m.Body = []byte(`{"key":"` + key + `"}`)
	}
	id, err := out.Send(ctx, m)
	if err != nil {
		return err
	}
	if rand.N(2) == 0 {
		s.linger()
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	n := number(id)
	s.committed(groupOf(key, n), n)
	return nil
}

// linger waits until others have been faster: for a while, which is too short on a slow
// machine, and then for some commits, as far as they come.
func (s *stress) linger() {
	time.Sleep(rand.N(40 * time.Millisecond))
	until, commits := time.Now().Add(time.Second), s.committedSoFar()+rand.N(6)
	for s.committedSoFar() < commits && time.Now().Before(until) {
		time.Sleep(time.Millisecond)
	}
}

// groupOf makes a group of each message without a key.
func groupOf(key string, id int64) string { return cmp.Or(key, fmt.Sprintf("message %d", id)) }

func number(id string) int64 {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// consumer is one of them. Nobody else has its number.
type consumer struct {
	*stress
	ctx context.Context
	n   int
	q   *mq.Queue
}

// short is a lease that may run out.
const short, long = 40 * time.Millisecond, 10 * time.Minute

func (s *stress) consume(ctx context.Context, n int) error {
	c := consumer{s, ctx, n, s.queues[n%len(s.queues)]}
	defer s.stop() // the senders
	for !s.enough() && ctx.Err() == nil {
		visibility := long
		if rand.N(25) == 0 {
			visibility = short
		}
		began := s.begin()
		ds, err := c.q.ReceiveHeads(ctx, &s.by, mq.ReceiveOptions{Max: 1 + rand.N(3), Visibility: visibility})
		if err != nil {
			return fmt.Errorf("receiving groups: %w", err)
		}
		ls := c.note(began, ds, visibility, false)
		for i, d := range ds {
			if err := c.work(d, ls[i], visibility); err != nil {
				return err
			}
		}
		if len(ds) == 0 {
			time.Sleep(rand.N(4 * time.Millisecond))
		}
	}
	return nil
}

func (c *consumer) note(began claim, ds []*mq.Delivery, visibility time.Duration, drain bool) (ls []*lease) {
	for _, d := range ds {
		id := number(d.ID)
		ls = append(ls, c.took(began, c.n, groupOf(d.GroupKey, id), id, visibility, drain))
	}
	return ls
}

// work does with a head one of the things that may be done.
func (c *consumer) work(d *mq.Delivery, l *lease, visibility time.Duration) error {
	time.Sleep(rand.N(2 * time.Millisecond))
	switch n := rand.N(10); {
	case visibility == short:
		return c.overrun(d, l)
	case n == 0:
		c.release(l, false)
		return lost(d.Nack(c.ctx, time.Duration(rand.N(3))*time.Millisecond))
	case n <= 2 && d.GroupKey != "":
		return c.drain(d, l)
	default:
		return c.ack(d, l)
	}
}

// overrun works for about as long as the lease, and sometimes extends it.
func (c *consumer) overrun(d *mq.Delivery, l *lease) error {
	time.Sleep(time.Until(l.until) - 5*time.Millisecond + rand.N(10*time.Millisecond))
	if l.over || rand.N(2) == 0 {
		return c.ack(d, l)
	}
	until := time.Now().Add(long)
	err := d.Extend(c.ctx, long)
	if err == nil {
		c.extended(l, until)
	}
	return errors.Join(lost(err), c.ack(d, l))
}

// drain takes some of the rest of a group, and acks it all in order.
func (c *consumer) drain(d *mq.Delivery, l *lease) error {
	began := c.begin()
	o := mq.GroupOptions{ReceiveOptions: mq.ReceiveOptions{Max: 1 + rand.N(3), Visibility: long}, Holding: []mq.Receipt{d.Receipt}}
	ds, err := c.q.ReceiveGroup(c.ctx, &c.by, d.GroupKey, o)
	if err != nil {
		return fmt.Errorf("draining: %w", err)
	}
	ls := append([]*lease{l}, c.note(began, ds, long, true)...)
	for i, d := range append([]*mq.Delivery{d}, ds...) {
		if err := c.ack(d, ls[i]); err != nil {
			return err
		}
	}
	return nil
}

func (c *consumer) ack(d *mq.Delivery, l *lease) error {
	c.release(l, true)
	err := d.Ack(c.ctx)
	c.settled(l, err == nil)
	if err == nil {
		<-c.room
	}
	return lost(err)
}

// lost passes over a lease that has ended.
func lost(err error) error {
	if errors.Is(err, mq.ErrStaleReceipt) {
		return nil
	}
	return err
}

// variants of the two statements of a claim. slow is the right one.
func slow(text string) string {
	return strings.ReplaceAll(text, "pg_catalog.pg_try_advisory_xact_lock(E'", "slow_lock(E'")
}

func unlocked(text string) string {
	if chooses(text) {
		return strings.ReplaceAll(text, "pg_catalog.pg_try_advisory_xact_lock(E'", "no_lock(E'")
	}
	return strings.ReplaceAll(text, "pg_catalog.pg_advisory_xact_lock(E'", "no_lock(E'")
}

func unchecked(text string) string {
	if claims(text) {
		return strings.ReplaceAll(text, "x.read_ct > 0", "x.read_ct > 1000000000")
	}
	return slow(text)
}

func youngest(text string) string {
	return strings.ReplaceAll(slow(text), "h.msg_id LIMIT 1", "h.msg_id DESC LIMIT 1")
}

// TestStress finds nothing in many times the messages in which
// TestStressFindsFaults finds every fault, which is a few hundred.
func TestStress(t *testing.T) {
	c := server.Postgres(t)
	total := *deliveries / 4
	if testing.Short() {
		total /= 4
	}
	for name, test := range map[string]struct {
		by      mq.GroupBy
		indexed bool
	}{
		"group":               {mq.GroupBy{}, true},
		"group without index": {mq.GroupBy{}, false},
		"path":                {mq.GroupBy{Path: []string{"key"}}, true},
		"path without index":  {mq.GroupBy{Path: []string{"key"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := c.Database(t)
			s := newStress(t, dsn, test.by, test.indexed, total,
				func() *mq.Client { return open(t, dsn, "driver=pgx") },
				func() *mq.Client { return open(t, dsn, "driver=pq") },
				func() *mq.Client { return borrow(t, checks.Rewriting(t, dsn, slow)) })
			s.run(t)
			for _, fault := range s.faults() {
				t.Error(fault)
			}
			if s.late < s.total/200 {
				t.Errorf("%d of %d ids were late: too few to prove anything", s.late, s.total)
			}
			var left int
			if err := s.db.QueryRow("SELECT count(*) FROM pgmq.q_stress").Scan(&left); err != nil || left > 0 || s.done() != s.total {
				t.Errorf("%d of %d messages were acked, %d are left, %v", s.done(), s.total, left, err)
			}
		})
	}
}

// skipProof skips, under -short, a test that proves another test can fail.
func skipProof(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("the full matrix: that the test can fail")
	}
}

// Protocols that are not right fail the same test.
func TestStressFindsFaults(t *testing.T) {
	skipProof(t)
	c := server.Postgres(t)
	for name, test := range map[string]struct {
		rewrite func(string) string
		found   func(*stress) int
	}{
		"no lock":         {unlocked, func(s *stress) int { return len(s.doubles) }},
		"no second check": {unchecked, func(s *stress) int { return len(s.doubles) }},
		"youngest first":  {youngest, func(s *stress) int { return len(s.inversions) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := c.Database(t)
			s := newStress(t, dsn, mq.GroupBy{}, true, *deliveries, func() *mq.Client { return borrow(t, checks.Rewriting(t, dsn, test.rewrite)) })
			s.enough = func() bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				return s.acked >= s.total || test.found(s) > 0
			}
			s.run(t)
			if test.found(s) == 0 {
				t.Error("found no fault")
			}
		})
	}
}

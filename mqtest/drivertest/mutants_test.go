package drivertest

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
)

// mutation breaks one rule of package driver in the reference provider. A
// suite that does not notice has lost a case.
type mutation struct {
	name   string
	rule   string // what it breaks, with the number of the rule if it has one
	mutate func(*mutant)
	cases  string // those that must notice, by their names or prefixes
}

var mutations = slices.Concat(
	receiptMutations, lateMutations, receiveMutations, countMutations, survivalMutations,
	archiveMutations, redriveMutations, errorMutations, bodyMutations, sendMutations, settleMutations,
	groupMutations, freeMutations, groupLimitMutations, manageMutations, lookMutations, txMutations, capsMutations, closeMutations, unchangedMutations, attemptMutations, reasonMutations, dedupMutations, topicMutations, operateMutations,
)

// mutant is the reference provider with some of its methods replaced. It
// remembers what it has leased.
type mutant struct {
	*mem.Provider
	dsn string

	caps         func(driver.Caps) driver.Caps
	ensure       func(ctx context.Context, queue string, o driver.QueueOptions) error
	send         func(ctx context.Context, queue string, msgs []driver.Message) ([]string, error)
	unique       func(ctx context.Context, queue string, msgs []driver.Message) ([]driver.Sent, error)
	receive      func(ctx context.Context, queue string, r driver.ReceiveRequest) ([]driver.Delivery, error)
	bind         func(ctx context.Context, queue, pattern string) error
	unbind       func(ctx context.Context, queue, pattern string) error
	bindings     func(ctx context.Context, queue string) ([]driver.Binding, error)
	publish      func(ctx context.Context, topic string, msgs []driver.Message) ([]driver.Published, error)
	settle       func(ctx context.Context, queue string, s []driver.Settlement) error
	extend       func(ctx context.Context, queue string, rs []driver.Receipt, d time.Duration) error
	stats        func(ctx context.Context, queue string) (driver.Stats, error)
	close        func() error
	drop         func(ctx context.Context, queue string) error
	list         func(ctx context.Context) ([]string, error)
	purge        func(ctx context.Context, queue string) (int64, error)
	pop          func(ctx context.Context, queue string, limit int) ([]driver.Delivery, error)
	browse       func(ctx context.Context, queue string, r driver.BrowseRequest) ([]driver.Record, error)
	redrive      func(ctx context.Context, queue string, ids []string, limit int) (int64, error)
	purgeArchive func(ctx context.Context, queue string, olderThan time.Duration) (int64, error)
	groups       func(ctx context.Context, queue string, r driver.GroupRequest) ([]driver.Delivery, error)
	group        func(ctx context.Context, queue string, r driver.GroupDrainRequest) ([]driver.Delivery, error)
	tx           func(tx driver.SQLTx) (driver.TxProvider, error)
	operating

	mu     sync.Mutex
	leases map[driver.Receipt]*mutantLease
	last   map[string]driver.Receipt // of each message, by queue/id
}

type mutantLease struct {
	queue, id string
	ends      time.Time
}

// openMutant opens a store that all clients of the DSN share.
func openMutant(tb testing.TB, dsn string, mutate func(*mutant)) *mq.Client {
	tb.Helper()
	c, err := mq.Open(dsn)
	if err != nil {
		tb.Fatal(err)
	}
	m := newMutant(c.Provider().(*mem.Provider), dsn)
	if mutate != nil {
		mutate(m)
	}
	return mq.New(m, quiet())
}

func newMutant(p *mem.Provider, dsn string) *mutant {
	return &mutant{
		Provider: p, dsn: dsn,
		caps:   func(c driver.Caps) driver.Caps { return c },
		ensure: p.EnsureQueue, send: p.Send, unique: p.SendUnique, receive: p.Receive, settle: p.Settle, extend: p.Extend,
		bind: p.Bind, unbind: p.Unbind, bindings: p.Bindings, publish: p.Publish,
		stats: p.Stats, close: p.Close, drop: p.DropQueue, list: p.ListQueues, purge: p.PurgeQueue,
		pop: p.Pop, browse: p.Browse, redrive: p.Redrive, purgeArchive: p.PurgeArchive,
		groups: p.ReceiveHeads, group: p.ReceiveGroup, tx: p.Tx,
		operating: operating{
			reasons: p.CountReasons, override: p.Override, removeArchived: p.RemoveArchived,
			setPaused: p.SetPaused, paused: p.Paused, awaitPause: p.AwaitPause, report: p.Report, consumers: p.Consumers,
		},
		leases: make(map[driver.Receipt]*mutantLease),
		last:   make(map[string]driver.Receipt),
	}
}

func (m *mutant) Caps() driver.Caps { return m.caps(m.Provider.Caps()) }
func (m *mutant) Close() error      { return m.close() }

func (m *mutant) EnsureQueue(ctx context.Context, queue string, o driver.QueueOptions) error {
	return m.ensure(ctx, queue, o)
}

func (m *mutant) Send(ctx context.Context, queue string, msgs []driver.Message) ([]string, error) {
	return m.send(ctx, queue, msgs)
}

func (m *mutant) SendUnique(ctx context.Context, queue string, msgs []driver.Message) ([]driver.Sent, error) {
	return m.unique(ctx, queue, msgs)
}

func (m *mutant) Bind(ctx context.Context, queue, pattern string) error {
	return m.bind(ctx, queue, pattern)
}

func (m *mutant) Unbind(ctx context.Context, queue, pattern string) error {
	return m.unbind(ctx, queue, pattern)
}

func (m *mutant) Bindings(ctx context.Context, queue string) ([]driver.Binding, error) {
	return m.bindings(ctx, queue)
}

func (m *mutant) Publish(ctx context.Context, topic string, msgs []driver.Message) ([]driver.Published, error) {
	return m.publish(ctx, topic, msgs)
}

func (m *mutant) Receive(ctx context.Context, queue string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
	ds, err := m.receive(ctx, queue, r)
	m.remember(queue, ds)
	return ds, err
}

func (m *mutant) Settle(ctx context.Context, queue string, s []driver.Settlement) error {
	return m.settle(ctx, queue, s)
}

func (m *mutant) Extend(ctx context.Context, queue string, rs []driver.Receipt, d time.Duration) error {
	err := m.extend(ctx, queue, rs, d)
	for i, r := range rs {
		if itemOf(err, i) == nil {
			m.prolong(r, d)
		}
	}
	return err
}

func (m *mutant) Stats(ctx context.Context, queue string) (driver.Stats, error) {
	return m.stats(ctx, queue)
}

func (m *mutant) DropQueue(ctx context.Context, queue string) error { return m.drop(ctx, queue) }
func (m *mutant) ListQueues(ctx context.Context) ([]string, error)  { return m.list(ctx) }
func (m *mutant) PurgeQueue(ctx context.Context, queue string) (int64, error) {
	return m.purge(ctx, queue)
}

func (m *mutant) Pop(ctx context.Context, queue string, limit int) ([]driver.Delivery, error) {
	return m.pop(ctx, queue, limit)
}

func (m *mutant) Browse(ctx context.Context, queue string, r driver.BrowseRequest) ([]driver.Record, error) {
	return m.browse(ctx, queue, r)
}

func (m *mutant) Redrive(ctx context.Context, queue string, ids []string, limit int) (int64, error) {
	return m.redrive(ctx, queue, ids, limit)
}

func (m *mutant) PurgeArchive(ctx context.Context, queue string, olderThan time.Duration) (int64, error) {
	return m.purgeArchive(ctx, queue, olderThan)
}

func (m *mutant) ReceiveHeads(ctx context.Context, queue string, r driver.GroupRequest) ([]driver.Delivery, error) {
	ds, err := m.groups(ctx, queue, r)
	m.remember(queue, ds)
	return ds, err
}

func (m *mutant) ReceiveGroup(ctx context.Context, queue string, r driver.GroupDrainRequest) ([]driver.Delivery, error) {
	ds, err := m.group(ctx, queue, r)
	m.remember(queue, ds)
	return ds, err
}

func (m *mutant) Tx(tx driver.SQLTx) (driver.TxProvider, error) { return m.tx(tx) }

func (m *mutant) remember(queue string, ds []driver.Delivery) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range ds {
		m.leases[d.Receipt] = &mutantLease{queue, d.ID, d.VisibleAt}
		m.last[queue+"/"+d.ID] = d.Receipt
	}
}

func (m *mutant) prolong(r driver.Receipt, d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l := m.leases[r]; l != nil {
		l.ends = time.Now().Add(d)
	}
}

// lease returns what is remembered of r, and the last receipt of its message.
func (m *mutant) lease(r driver.Receipt) (l mutantLease, last driver.Receipt) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known := m.leases[r]; known != nil {
		l = *known
	}
	return l, m.last[l.queue+"/"+l.id]
}

// itemOf returns the error of one item of a batch.
func itemOf(err error, i int) error {
	if batch := (*driver.BatchError)(nil); errors.As(err, &batch) {
		return batch.Errs[i]
	}
	return err
}

func mutantHarness(mutate func(*mutant)) Harness {
	return Harness{
		Open: func(tb testing.TB) *mq.Client {
			return openMutant(tb, "mem://"+strings.ToLower(rand.Text()), mutate)
		},
		Again: func(tb testing.TB, c *mq.Client) *mq.Client {
			return openMutant(tb, c.Provider().(*mutant).dsn, mutate)
		},
		Begin: func(_ testing.TB, c *mq.Client) Tx { return TxOf(c.Provider().(*mutant).Begin()) },
	}
}

// casesOf returns the cases that a mutation names.
func casesOf(t *testing.T, names string) (found []testCase) {
	t.Helper()
	for name := range strings.FieldsSeq(names) {
		before := len(found)
		for _, c := range cases {
			if c.name == name || strings.HasSuffix(name, "/") && strings.HasPrefix(c.name, name) {
				found = append(found, c)
			}
		}
		if len(found) == before {
			t.Errorf("there is no case %q", name)
		}
	}
	return found
}

// runMutant runs a case in a bubble, where a case that waits for what a mutant
// never does takes no time. It is strict about times, as in a bubble, or patient
// and tries again, as on real time.
func runMutant(t *testing.T, mutate func(*mutant), c testCase, strict bool) (failures []string) {
	t.Helper()
	h := mutantHarness(mutate)
	h.Bubble = strict
	synctest.Test(t, func(t *testing.T) { failures = runCaseOn(t.Context(), h, c) })
	return failures
}

func TestMutants(t *testing.T) { killMutants(t, true) }

// tooFineForRealTime are mutants that are late by less than a busy machine is.
var tooFineForRealTime = []string{"whole seconds"}

// TestMutantsOnRealTime shows that patience does not let a mutant live.
func TestMutantsOnRealTime(t *testing.T) { killMutants(t, false) }

func killMutants(t *testing.T, strict bool) {
	for _, m := range mutations {
		t.Run(strings.ReplaceAll(m.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			survived := true
			for _, c := range casesOf(t, m.cases) {
				for _, failure := range runMutant(t, m.mutate, c, strict) {
					survived = false
					t.Logf("%s: %s", c.name, failure)
				}
			}
			if survived && (strict || !slices.Contains(tooFineForRealTime, m.name)) {
				t.Errorf("it survives %s, and breaks: %s", m.cases, m.rule)
			}
		})
	}
}

// TestMutantsNeedAMutation runs every case of TestMutants on the provider that
// the mutants are made of.
func TestMutantsNeedAMutation(t *testing.T) {
	var names []string
	for _, m := range mutations {
		names = append(names, strings.Fields(m.cases)...)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		for _, c := range casesOf(t, name) {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				for _, failure := range runMutant(t, nil, c, true) {
					t.Error(failure)
				}
			})
		}
	}
}

package rabbitmq_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/rabbitstub"
	"github.com/portmq/mq/internal/integration/server"
)

// TestStubBehaves does the same at random to a queue of the broker and to one
// of its stub. What is answered must be the same.
func TestStubBehaves(t *testing.T) {
	cs := &clients{Broker: server.RabbitMQ(t)}
	for n := range 6 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			inTime(t, 150*time.Millisecond, func(moment time.Duration) error {
				w := newTwins(t, cs)
				w.moment = moment
				return w.play(40)
			})
		})
	}
}

// play does things at random, unless the machine is too slow for them.
func (w *twins) play(n int) error {
	for range n {
		op := twinOps[w.rand.IntN(len(twinOps))]
		w.log = append(w.log, op.name)
		op.run(w)
		if w.slow {
			return fmt.Errorf("a lease was over before all messages were received, after %q", w.log)
		}
		if w.Failed() {
			w.Fatalf("after %q", w.log)
		}
	}
	return nil
}

// twins are two queues with the same messages. Of each pair the broker's is the
// first.
type twins struct {
	*testing.T
	rand   *rand.Rand
	moment time.Duration // is soon over, and pass lets it pass
	slow   bool          // the machine is, so that the two have seen different things
	log    []string
	c      [2]*mq.Client
	q      [2]*mq.Queue
	cut    func()
	sent   int
	leases [][2]mq.Receipt // all there ever were
}

var twinOps = []struct {
	name string
	run  func(*twins)
}{
	{"send", func(w *twins) { w.send(0) }},
	{"send", func(w *twins) { w.send(0) }},
	{"send delayed", func(w *twins) { w.send(w.moment); w.pass() }},
	{"send for later", func(w *twins) { w.send(time.Hour) }},
	{"receive", func(w *twins) { w.receive(long) }},
	{"receive", func(w *twins) { w.receive(long) }},
	{"receive, and leave to the timeout", func(w *twins) { w.receive(w.moment); w.pass() }},
	{"ack", func(w *twins) { w.settle(mq.Settlement{Op: mq.OpAck}) }},
	{"ack", func(w *twins) { w.settle(mq.Settlement{Op: mq.OpAck}) }},
	{"nack", func(w *twins) { w.settle(mq.Settlement{Op: mq.OpNack}) }},
	{"nack uncounted", func(w *twins) { w.settle(mq.Settlement{Op: mq.OpNack, Uncounted: true}) }},
	{"nack with a reason", func(w *twins) { w.settle(mq.Settlement{Op: mq.OpNack, Reason: "EOF"}) }},
	{"nack uncounted and delayed", func(w *twins) {
		w.settle(mq.Settlement{Op: mq.OpNack, Delay: w.moment, Uncounted: true, Reason: "later"})
		w.pass()
	}},
	{"nack delayed", func(w *twins) { w.settle(mq.Settlement{Op: mq.OpNack, Delay: w.moment}); w.pass() }},
	{"nack at timeout", func(w *twins) { w.settle(mq.Settlement{Op: mq.OpNack, Delay: mq.AtTimeout}) }},
	{"archive", func(w *twins) { w.settle(mq.Settlement{Op: mq.OpArchive, Reason: "why"}) }},
	{"receive the archive", func(w *twins) { w.receiveArchive() }},
	{"archive what is archived", func(w *twins) { w.archiveArchived() }},
	{"purge the archive", func(w *twins) { w.purge(archive) }},
	{"stats of the archive", func(w *twins) { w.stats(archive) }},
	{"ensure the archive", func(w *twins) { w.ensureArchive() }},
	{"extend", func(w *twins) { w.extend(long) }},
	{"extend, and leave to the timeout", func(w *twins) { w.extend(w.moment); w.pass() }},
	{"wrong receipt", (*twins).wrongReceipt},
	{"stats", func(w *twins) { w.stats("twin") }},
	{"purge", func(w *twins) { w.purge("twin") }},
	{"break", (*twins).disconnect},
	{"drop", (*twins).drop},
	{"publish", (*twins).publish},
	{"publish", (*twins).publish},
}

func newTwins(t *testing.T, cs *clients) *twins {
	w := &twins{T: t, rand: rand.New(rand.NewPCG(rand.Uint64(), 0))}
	stub := rabbitstub.New()
	w.c = [2]*mq.Client{cs.client(t, cs.Vhost(t)), mq.New(stub, quiet)}
	w.cut = func() {
		cs.of(w.c[0]).Cut()
		stub.Broker().Disconnect()
	}
	for i, c := range w.c {
		t.Cleanup(func() { ok(t, c.Close()) })
		w.q[i] = must(c.EnsureQueue(t.Context(), "twin", mq.QueueOptions{}))(t)
	}
	return w
}

// long is longer than the test.
const long = 20 * time.Minute

func (w *twins) pass() {
	time.Sleep(4 * w.moment)
	w.catchUp()
}

// catchUp waits for a busy broker: the stub takes no time for what it does.
func (w *twins) catchUp() {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var s [2]mq.Stats
		var errs [2]error
		for i, q := range w.q {
			s[i], errs[i] = q.Stats(w.Context())
		}
		if errs[1] != nil || errs[0] == nil && s[0].Visible == s[1].Visible {
			return
		}
	}
}

// same fails the test unless both have the same error.
func (w *twins) same(what string, errs [2]error) {
	w.Helper()
	for _, is := range []error{mq.ErrStaleReceipt, mq.ErrInvalidReceipt, mq.ErrQueueNotFound, mq.ErrNotSupported, mq.ErrInvalid} {
		if errors.Is(errs[0], is) != errors.Is(errs[1], is) {
			w.Errorf("%s: the broker says %v, the stub %v", what, errs[0], errs[1])
		}
	}
	if (errs[0] == nil) != (errs[1] == nil) {
		w.Errorf("%s: the broker says %v, the stub %v", what, errs[0], errs[1])
	}
}

func (w *twins) send(delay time.Duration) {
	for range 1 + w.rand.IntN(3) {
		w.sent++
		m := mq.Message{Body: fmt.Append(nil, w.sent), Delay: delay}
		if w.sent%2 == 0 {
			m.Headers = mq.Headers{"n": fmt.Sprint(w.sent), "x-death": "mine"}
		}
		var errs [2]error
		for i, q := range w.q {
			_, errs[i] = q.Send(w.Context(), &m)
		}
		w.same("send", errs)
	}
}

// receive takes all there is, since there is no order.
func (w *twins) receive(visibility time.Duration) {
	w.catchUp()
	begin := time.Now()
	got := w.takeBoth("twin", visibility)
	if w.slow = time.Since(begin) > visibility; w.slow {
		return
	}
	for _, body := range w.sameMessages(got) {
		w.leases = append(w.leases, [2]mq.Receipt{got[0][body].Receipt, got[1][body].Receipt})
	}
}

func (w *twins) takeBoth(name string, visibility time.Duration) (got [2]map[string]*mq.Delivery) {
	for i, c := range w.c {
		got[i] = w.takeAll(c.Queue(name), visibility)
	}
	return got
}

// sameMessages returns the bodies of messages that must be the same.
func (w *twins) sameMessages(got [2]map[string]*mq.Delivery) []string {
	bodies := slices.Sorted(maps.Keys(got[0]))
	if others := slices.Sorted(maps.Keys(got[1])); !slices.Equal(bodies, others) {
		w.Fatalf("received %q from the broker, %q from the stub", bodies, others)
	}
	for _, body := range bodies {
		r, s := got[0][body], got[1][body]
		if !maps.Equal(r.Headers, s.Headers) || counts(r) != counts(s) {
			w.Errorf("message %s: headers %q and %q, read counts, attempts and unanswered ones %v and %v", body, r.Headers, s.Headers, counts(r), counts(s))
		}
	}
	return bodies
}

func counts(d *mq.Delivery) [3]int { return [3]int{d.ReadCount, d.Attempt, d.Unanswered} }

// archive is the queue of what was archived.
const archive = "twin.archive"

// receiveArchive redrives what is archived, as the documentation says.
func (w *twins) receiveArchive() {
	got := w.takeBoth(archive, long)
	for _, body := range w.sameMessages(got) {
		for i, q := range w.q {
			must(q.Send(w.Context(), &mq.Message{Body: []byte(body), Headers: got[i][body].Headers}))(w)
			ok(w, got[i][body].Ack(w.Context()))
		}
	}
}

// archiveArchived tries to archive the archive.
func (w *twins) archiveArchived() {
	got := w.takeBoth(archive, long)
	for _, body := range w.sameMessages(got) {
		var errs [2]error
		for i := range got {
			errs[i] = got[i][body].Archive(w.Context(), "again")
			ok(w, got[i][body].Ack(w.Context()))
		}
		w.same("archive what is archived", errs)
	}
}

func (w *twins) ensureArchive() {
	var errs [2]error
	for i, c := range w.c {
		_, errs[i] = c.EnsureQueue(w.Context(), archive, mq.QueueOptions{AnyName: true})
	}
	w.same("ensure the archive", errs)
}

// takeAll stops before it takes a message twice.
func (w *twins) takeAll(q *mq.Queue, visibility time.Duration) map[string]*mq.Delivery {
	got := make(map[string]*mq.Delivery)
	for begin := time.Now(); time.Since(begin) < min(visibility, patience); {
		ds := must(q.Receive(w.Context(), mq.ReceiveOptions{Max: 10, Visibility: visibility}))(w)
		if len(ds) == 0 && must(q.Stats(w.Context()))(w).Visible == 0 {
			break
		}
		for _, d := range ds {
			got[string(d.Body)] = d
		}
	}
	return got
}

// lease picks one, a late one more often.
func (w *twins) lease() (pair [2]mq.Receipt, ok bool) {
	n := len(w.leases)
	if n == 0 {
		return pair, false
	}
	if w.rand.IntN(4) > 0 {
		n = min(n, 5)
	}
	return w.leases[len(w.leases)-1-w.rand.IntN(n)], true
}

func (w *twins) settle(s mq.Settlement) {
	pair, ok := w.lease()
	if !ok {
		return
	}
	var errs [2]error
	for i, q := range w.q {
		s.Receipt = pair[i]
		errs[i] = q.Settle(w.Context(), s)
	}
	if s.Delay == mq.AtTimeout && errors.Is(errs[0], mq.ErrStaleReceipt) {
		return // of a lease that is over: the driver replaces a channel that has none
	}
	w.same(s.Op.String(), errs)
}

func (w *twins) extend(d time.Duration) {
	pair, ok := w.lease()
	if !ok {
		return
	}
	var errs [2]error
	for i, q := range w.q {
		errs[i] = q.Extend(w.Context(), d, pair[i])
	}
	w.same("extend", errs)
}

func (w *twins) wrongReceipt() {
	pair, ok := w.lease()
	for i := range pair {
		if !ok {
			pair[i] = "garbage"
		}
	}
	var errs [2]error
	for i, c := range w.c {
		errs[i] = c.Queue("another").Settle(w.Context(), mq.Settlement{Receipt: pair[i], Op: mq.OpAck})
	}
	w.same("a wrong receipt", errs)
}

func (w *twins) stats(name string) {
	var all [2]mq.Stats
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) { // a broker counts a little later
		for i, c := range w.c {
			q := c.Queue(name)
			all[i] = must(q.Stats(w.Context()))(w)
			all[i].ScrapedAt = time.Time{}
		}
		if all[0] == all[1] {
			return
		}
	}
	w.Errorf("Stats are %+v and %+v", all[0], all[1])
}

func (w *twins) purge(name string) {
	w.catchUp()
	var n [2]int64
	for i, c := range w.c {
		q := c.Queue(name)
		n[i] = must(q.Purge(w.Context()))(w)
	}
	if n[0] != n[1] {
		w.Errorf("purged %d from the broker, %d from the stub", n[0], n[1])
	}
}

func (w *twins) disconnect() {
	w.cut()
	eventually(w, "the client is connected again", func() bool { return w.c[0].Ping(w.Context()) == nil })
	w.catchUp() // until the broker has noticed
}

func (w *twins) drop() {
	for i, c := range w.c {
		ok(w, c.DropQueue(w.Context(), "twin"))
		_, err := w.q[i].Send(w.Context(), &mq.Message{})
		wantError(w, err, mq.ErrQueueNotFound)
		must(c.EnsureQueue(w.Context(), "twin", mq.QueueOptions{}))(w)
	}
}

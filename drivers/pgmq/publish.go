package pgmq

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portmq/mq/driver"
)

// Publish stores msgs in all queues that are bound to the topic, with one statement. It
// is made for the queues that were bound last, and stores nothing if these are others by
// now: then there is another one, for them.
func (p *Provider) Publish(ctx context.Context, topic string, msgs []driver.Message) ([]driver.Published, error) {
	if err := p.check(ctx); err != nil {
		return nil, err
	}
	x := publication{p: p, at: p.pool, topic: topic, msgs: msgs, notifies: make(map[*hub]bool)}
	out, err := x.publish(ctx)
	x.wake()
	return out, err
}

// Publish is the same inside a transaction.
func (t txProvider) Publish(ctx context.Context, topic string, msgs []driver.Message) ([]driver.Published, error) {
	if err := t.p.check(ctx); err != nil {
		return nil, t.abort(ctx, err)
	}
	x := publication{p: t.p, at: t.tx, inTx: true, topic: topic, msgs: msgs, notifies: make(map[*hub]bool)}
	out, err := x.publish(ctx)
	if err != nil {
		return nil, t.abort(ctx, isolated(err))
	}
	return out, nil
}

// publication is a batch on its way to the queues of a topic.
type publication struct {
	p        *Provider
	at       querier
	inTx     bool // at is a transaction of the caller's
	topic    string
	msgs     []driver.Message
	notifies map[*hub]bool // whether the statement notifies a queue, once that is decided
	reached  []*queue      // that have got the batch
}

// publishTries is how often the bindings may change meanwhile.
const publishTries = 5

var errRebound = &dbError{
	text: "the bindings of the topic change all the time (try again)",
	is:   driver.ErrBadConn, cause: errors.New("bindings changed"),
}

// publish tries the queues that were bound last, and then those that are.
func (x *publication) publish(ctx context.Context) (out []driver.Published, err error) {
	if err := x.p.ensureBindings(ctx, x.at); err != nil {
		return nil, err
	}
	names := x.p.routes.names(x.topic)
	if names == nil {
		names, err = x.bound(ctx)
	}
	for range publishTries {
		if err != nil || len(names) == 0 {
			return nil, err
		}
		tried := names
		if out, names, err = x.try(ctx, tried); len(out) > 0 {
			return out, nil
		}
		if wrong := err; errors.Is(err, driver.ErrQueueNotFound) || errors.Is(err, driver.ErrNotSupported) {
			if names, err = x.bound(ctx); slices.Equal(names, tried) { // else it is about a queue of the last time
				return nil, wrong
			}
		}
	}
	return nil, errRebound
}

// bound returns the queues that are bound to the topic, sorted.
func (x *publication) bound(ctx context.Context) (names []string, err error) {
	short, cancel := bounded(ctx, probeLimit)
	defer cancel()
	err = query(short, x.at, statement("bound", nil), []any{x.topic}, func(rows row) error {
		var name string
		err := rows.Scan(&name)
		names = append(names, name)
		return err
	})
	x.p.forgetBindings(err)
	slices.Sort(names)
	return names, readErrorOf(ctx, err)
}

// try stores the batch in some queues, or returns which it is for instead.
func (x *publication) try(ctx context.Context, names []string) (out []driver.Published, bound []string, err error) {
	r, err := x.route(ctx, names)
	if err != nil {
		return nil, nil, err
	}
	args, err := x.args(r)
	if err != nil {
		return nil, nil, err
	}
	out = make([]driver.Published, len(r.queues))
	err = x.run(ctx, r, args, func(rows row) error {
		var place int
		var id sql.NullInt64
		var name sql.NullString
		if err := rows.Scan(&place, &id, &name); err != nil {
			return err
		}
		if place < 0 {
			bound = append(bound, name.String)
		} else {
			out[place].IDs = append(out[place].IDs, strconv.FormatInt(id.Int64, 10))
		}
		return nil
	})
	if err != nil || len(out[0].IDs) == 0 {
		slices.Sort(bound)
		return nil, bound, err
	}
	for i, q := range r.queues {
		out[i].Queue = q.name
	}
	x.reached = r.queues
	return out, nil, nil
}

// args returns the arguments of the statement, if all queues can take the batch.
func (x *publication) args(r *route) ([]any, error) {
	var channels array
	for _, q := range r.queues {
		if err := x.p.checkInsertion(q, x.msgs); err != nil {
			return nil, err
		}
	}
	for _, q := range r.queues {
		if x.takesNotify(q.hub, publishPause(len(r.queues))) {
			channels.text(channel(q.name))
		}
	}
	var i insertion
	i.batch(x.msgs, x.p.cfg.ExactBodies)
	return []any{x.topic, i.delay, i.body, i.headers, channels.String()}, nil
}

// publishPause returns the minimum time between two notifications of a queue. It grows
// with the number of queues that are notified together, from 5 to 25 ms.
func publishPause(queues int) time.Duration {
	return min(max(notifyEvery, time.Duration(queues)*notifyEvery/10), 5*notifyEvery)
}

// takesNotify decides once for each queue.
func (x *publication) takesNotify(h *hub, pause time.Duration) bool {
	notifies, decided := x.notifies[h]
	switch {
	case decided:
	case x.inTx:
		notifies = h.takeTxNotify(x.p)
	default:
		notifies = h.takeNotifyEvery(pause)
	}
	x.notifies[h] = notifies
	return notifies
}

// wake wakes the receivers of the queues that have got the batch. A notification that was
// taken and did not leave still does: it was for earlier inserts, too.
func (x *publication) wake() {
	for _, q := range x.reached {
		q.hub.inserted(x.p, x.notifies[q.hub])
		delete(x.notifies, q.hub)
	}
	for h, notifies := range x.notifies {
		if notifies {
			h.notifySoon(x.p)
		}
	}
}

// run runs the statement of a route.
func (x *publication) run(ctx context.Context, r *route, args []any, scan func(row) error) error {
	answered := false
	seen := func(rows row) error {
		answered = true
		return scan(rows)
	}
	var err error
	if x.inTx {
		err = query(ctx, x.at, r.text, args, seen)
	} else {
		err = x.p.withinAt(ctx, x.at, callLimit, r.names, r.text, args, seen)
	}
	for _, name := range r.names {
		x.p.detach(name, err)
	}
	switch x.p.forgetBindings(err); {
	case sqlState(err) == "42P01" && x.inTx: // which is over, and finds other queues when it is repeated
		x.p.routes.forget(x.topic)
		return &dbError{text: "a queue that was bound to the topic has been dropped", code: "42P01", is: driver.ErrBadConn, cause: err}
	case cutOff(err) && !answered:
		return notApplied(err)
	}
	return mapError(err)
}

// route returns the route to some queues: that of the last time, if all is as it was.
func (x *publication) route(ctx context.Context, names []string) (*route, error) {
	r := &route{names: names}
	for _, name := range names {
		q, err := x.p.attach(ctx, x.at, name)
		if err != nil {
			return nil, fmt.Errorf("queue %q, which is bound to the topic: %w", name, err)
		}
		r.queues = append(r.queues, q)
	}
	return x.p.routes.use(x.topic, r), nil
}

// route is the way to the queues of a topic.
type route struct {
	names  []string // sorted
	queues []*queue
	text   string // of the statement
}

// statement returns the statement that stores a batch in the queues.
func (r *route) statement() string {
	type target struct {
		tableNames
		Name string
	}
	targets := make([]target, len(r.queues))
	for i, q := range r.queues {
		targets[i] = target{q.names, literal(q.name)}
	}
	return statement("publish", targets)
}

// routes are those that topics had last.
type routes struct {
	bindings atomic.Bool // the table of bindings is there

	mu      sync.Mutex
	byTopic map[string]*route
}

// maxRoutes bounds what is kept. A topic that comes again costs one look at the bindings.
const maxRoutes = 256

func (rs *routes) names(topic string) []string {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if r := rs.byTopic[topic]; r != nil {
		return r.names
	}
	return nil
}

// use returns the route that is kept for the topic, if r is the same, and else keeps r.
func (rs *routes) use(topic string, r *route) *route {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if last := rs.byTopic[topic]; last != nil && slices.Equal(last.queues, r.queues) {
		return last
	}
	r.text = r.statement()
	if rs.byTopic == nil || len(rs.byTopic) >= maxRoutes {
		rs.byTopic = make(map[string]*route)
	}
	rs.byTopic[topic] = r
	return r
}

func (rs *routes) forget(topic string) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	delete(rs.byTopic, topic)
}

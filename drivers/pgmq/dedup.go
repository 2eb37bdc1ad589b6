package pgmq

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/portmq/mq/driver"
)

// SendUnique stores the messages whose keys are free, in one statement. A key that a
// transaction of another session is taking is tried again for a while, by itself.
func (p *Provider) SendUnique(ctx context.Context, name string, msgs []driver.Message) ([]driver.Sent, error) {
	q, err := p.attach(ctx, p.pool, name)
	if err == nil {
		err = p.ensureKeys(ctx, p.pool)
	}
	if err != nil {
		return nil, err
	}
	notifies := q.hub.takeNotify()
	u := uniques{msgs: msgs, sent: make([]driver.Sent, len(msgs)), notifies: notifies}
	err = u.send(ctx, p, q, lockedFor, func(text string, args []any, scan func(row) error) error {
		return p.run(ctx, q, text, args, scan)
	})
	if !u.stored && err != nil {
		p.forgetKeysTable(err)
		if notifies { // it was for earlier inserts, too
			q.hub.notifySoon(p)
		}
		return nil, err
	}
	q.hub.inserted(p, notifies)
	if rand.IntN(forgetEvery) == 0 {
		p.forgetKeys(ctx, q, 2*forgetEvery*len(msgs))
	}
	return u.sent, u.failed(err)
}

// SendUnique takes keys at once, and waits for transactions that have taken them.
func (t txProvider) SendUnique(ctx context.Context, name string, msgs []driver.Message) ([]driver.Sent, error) {
	q, err := t.attach(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := t.p.ensureKeys(ctx, t.tx); err != nil {
		return nil, t.abort(ctx, err)
	}
	u := uniques{msgs: msgs, sent: make([]driver.Sent, len(msgs)), notifies: q.hub.takeTxNotify(t.p), waits: true}
	err = u.send(ctx, t.p, q, lockedFor, func(text string, args []any, scan func(row) error) error {
		if err := query(ctx, t.tx, text, args, scan); err != nil {
			return t.fail(ctx, name, err)
		}
		return nil
	})
	switch {
	case errors.Is(err, errKeyTaken):
		return nil, t.abort(ctx, err)
	case err != nil:
		t.p.forgetKeysTable(err)
		return nil, err
	}
	return u.sent, nil
}

// uniques are messages of which some have keys, on their way.
type uniques struct {
	msgs            []driver.Message
	sent            []driver.Sent  // with "" as the id of those whose keys are being taken
	stored          bool           // one statement at least has come through
	first           map[string]int // by key
	waits, notifies bool
}

// errKeyTaken is the error of a message whose key stayed taken.
var errKeyTaken error = &dbError{
	text: "an open transaction has sent a message with the same DedupKey",
	code: "55P03", is: driver.ErrBadConn, cause: errors.New("key taken"),
}

// send runs the statement, and for some time again for what it has left.
func (u *uniques) send(ctx context.Context, p *Provider, q *queue, limit time.Duration, run func(text string, args []any, scan func(row) error) error) error {
	if end, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(end)/2)
	}
	left := u.firsts()
	defer u.copyFirsts()
	again := time.Millisecond
	for end := time.Now().Add(limit); ; {
		text, args, err := u.statement(p, q, left)
		if err != nil {
			return err
		}
		var undecided []int
		err = run(text, args, func(rows row) error {
			var place int
			var id sql.NullInt64
			var duplicate bool
			if err := rows.Scan(&place, &id, &duplicate); err != nil {
				return err
			}
			if i := left[place-1]; id.Valid {
				u.sent[i] = driver.Sent{ID: strconv.FormatInt(id.Int64, 10), Duplicate: duplicate}
			} else {
				undecided = append(undecided, i)
			}
			return nil
		})
		if err != nil {
			return err
		}
		u.stored = true
		if len(undecided) == 0 {
			return nil
		}
		left = undecided
		if time.Now().After(end) || p.closed() || !pause(ctx, again/2+rand.N(again)) {
			return errKeyTaken
		}
		again = min(2*again, 50*time.Millisecond)
	}
}

// firsts returns the messages without a key, and the first one of each key.
func (u *uniques) firsts() (all []int) {
	u.first = make(map[string]int, len(u.msgs))
	for i := range u.msgs {
		key := u.msgs[i].DedupKey
		if _, again := u.first[key]; again && key != "" {
			continue
		}
		u.first[key] = i
		all = append(all, i)
	}
	return all
}

// copyFirsts lets the others have the ids of the first ones.
func (u *uniques) copyFirsts() {
	for i := range u.msgs {
		if first := u.first[u.msgs[i].DedupKey]; u.msgs[i].DedupKey != "" && first != i {
			u.sent[i] = driver.Sent{ID: u.sent[first].ID, Duplicate: u.sent[first].ID != ""}
		}
	}
}

// failed returns the errors of the messages that were not decided, whose last one was
// err.
func (u *uniques) failed(err error) error {
	if err == nil {
		return nil
	}
	errs := make([]error, len(u.sent))
	for i := range errs {
		if u.sent[i].ID == "" {
			errs[i] = err
		}
	}
	return driver.Batch(errs)
}

// maxKeyLocks is how many keys of one statement may have a lock each.
const maxKeyLocks = 48

// statement returns the statement and its arguments for some of the messages.
func (u *uniques) statement(p *Provider, q *queue, of []int) (text string, args []any, err error) {
	msgs := make([]driver.Message, len(of))
	var keys, fors array
	for n, i := range of {
		msgs[n] = u.msgs[i]
		switch m := &msgs[n]; {
		case m.DedupKey == "":
			keys.null()
			fors.null()
			continue
		case m.DedupFor == driver.WhileQueued:
			fors.int(-1)
		default:
			fors.int(micros(m.DedupFor))
		}
		keys.text(msgs[n].DedupKey)
	}
	if err := p.checkInsertion(q, msgs); err != nil {
		return "", nil, err
	}
	var i insertion
	i.batch(msgs, p.cfg.ExactBodies)
	_, args = i.statement(q, true)
	return u.text(q, len(of)), append(args, keys.String(), fors.String()), nil
}

// text returns the statement for so many messages.
func (u *uniques) text(q *queue, n int) string {
	switch {
	case u.waits || n > maxKeyLocks:
		names := q.names
		names.Waits, names.Notifies, names.ManyKeys = u.waits, u.notifies, n > maxKeyLocks
		return statement("insert unique", names)
	case u.notifies:
		return q.texts.insertUniqueNotifying
	}
	return q.texts.insertUnique
}

// ensureKeys makes the table of keys, if it is missing.
func (p *Provider) ensureKeys(ctx context.Context, at querier) error {
	return p.ensureTable(ctx, at, &p.keys)
}

// forgetKeysTable looks for the table of keys again if err says that it is missing.
func (p *Provider) forgetKeysTable(err error) {
	if errors.Is(err, driver.ErrQueueNotFound) || sqlState(err) == "42P01" {
		p.keys.there.Store(false)
	}
}

// forgetEvery is how many sends there are for one that looks for keys to forget.
const forgetEvery = 32

// forgetKeys removes some rows of keys that are free: a few more than come, so that they
// do not pile up. What fails is tried by a later send.
func (p *Provider) forgetKeys(ctx context.Context, q *queue, n int) {
	text, args := statement("forget keys", q.names), []any{n, string(rune('0' + rand.IntN(75)))}
	first := !p.forgot.Swap(true)
	if first {
		text, args = statement("forget dropped keys", nil), nil
	}
	err := p.within(ctx, callLimit, text, args, ignore)
	switch {
	case first && sqlState(err) == "42501":
		p.log.Warn("pgmq: keys whose time is over pile up: the role may not delete them (GRANT DELETE ON pgmq.mq_keys)")
	case err != nil:
		p.log.Debug("pgmq: keys that are free could not be forgotten", "queue", q.name, "error", readError(err))
	}
}

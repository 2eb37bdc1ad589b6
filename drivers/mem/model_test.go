package mem

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/portmq/mq/driver"
)

// model is a store that is slow and obviously right: each question is answered
// by looking at all messages. Its fields are those of the contract.
type model map[string]*modelQueue

type modelQueue struct {
	name     string
	lastID   int
	lastTurn int
	sent     int64
	msgs     []*modelMessage // by id
	archive  []*modelMessage // by id
}

type modelMessage struct {
	driver.Message
	id         int
	reads      int
	uncounted  int // leases that ended with an uncounted nack
	unanswered int // leases since the last nack, the one that runs included
	enqueued   time.Time
	due        time.Time // when it becomes visible
	turn       int       // 0 if it waited for due, else its turn among those visible at once
	leased     bool      // hidden by a lease, not by a delay, until due
	receipt    driver.Receipt
	archived   time.Time
}

func (m *modelMessage) visible() bool { return !m.due.After(time.Now()) }

func (m *modelMessage) held() bool { return m.leased && !m.visible() }

func (m *modelMessage) stateNow() driver.State {
	switch {
	case !m.archived.IsZero():
		return driver.StateArchived
	case m.visible():
		return driver.StateVisible
	case m.leased:
		return driver.StateLeased
	}
	return driver.StateDelayed
}

// show makes m visible at once, behind those that are visible already.
func (q *modelQueue) show(m *modelMessage) {
	q.lastTurn++
	m.due, m.turn, m.leased, m.receipt = time.Now(), q.lastTurn, false, ""
}

// hide hides m for d.
func (m *modelMessage) hide(d time.Duration, lease driver.Receipt) {
	m.due, m.turn, m.leased, m.receipt = time.Now().Add(d), 0, lease != "", lease
}

// reserve makes a message with the next id, and insert adds it, with the
// delay that it still has.
func (q *modelQueue) reserve(msg driver.Message) *modelMessage {
	q.lastID++
	m := &modelMessage{Message: msg, id: q.lastID, enqueued: time.Now()}
	m.Headers = maps.Clone(msg.Headers)
	return m
}

func (q *modelQueue) insert(m *modelMessage) {
	if q.show(m); m.Delay > 0 {
		m.hide(m.Delay, "")
	}
	m.Delay = 0
	q.sent++
	q.msgs = append(q.msgs, m)
	slices.SortFunc(q.msgs, func(a, b *modelMessage) int { return cmp.Compare(a.id, b.id) })
}

func (q *modelQueue) add(msg driver.Message) *modelMessage {
	m := q.reserve(msg)
	q.insert(m)
	return m
}

func (q *modelQueue) remove(m *modelMessage) {
	q.msgs = slices.DeleteFunc(q.msgs, func(o *modelMessage) bool { return o == m })
}

func (q *modelQueue) byReceipt(r driver.Receipt) *modelMessage {
	i := slices.IndexFunc(q.msgs, func(m *modelMessage) bool { return m.receipt == r })
	if i < 0 {
		return nil
	}
	return q.msgs[i]
}

// choose returns what Receive chooses.
func (q *modelQueue) choose(limit int) []*modelMessage {
	vis := slices.DeleteFunc(slices.Clone(q.msgs), func(m *modelMessage) bool { return !m.visible() })
	slices.SortFunc(vis, func(a, b *modelMessage) int {
		return cmp.Or(a.due.Compare(b.due), cmp.Compare(a.turn, b.turn), cmp.Compare(a.id, b.id))
	})
	vis = vis[:min(limit, len(vis))]
	slices.SortFunc(vis, func(a, b *modelMessage) int { return cmp.Compare(a.id, b.id) })
	return vis
}

// key returns the group by Message.Group, or by the body, which is a number.
func (m *modelMessage) key(path bool) string {
	if path {
		return string(m.Body)
	}
	return m.Group
}

func (q *modelQueue) group(path bool, key string) []*modelMessage {
	return slices.DeleteFunc(slices.Clone(q.msgs), func(m *modelMessage) bool { return m.key(path) != key })
}

// heads returns what ReceiveHeads chooses.
func (q *modelQueue) heads(path bool, limit int) []*modelMessage {
	var heads []*modelMessage
	for _, m := range q.msgs {
		group := []*modelMessage{m}
		if key := m.key(path); key != "" {
			group = q.group(path, key)
		}
		free := !slices.ContainsFunc(group, (*modelMessage).held) && group[0].visible()
		if free && group[0] == m && len(heads) < limit {
			heads = append(heads, m)
		}
	}
	return heads
}

// rest returns what ReceiveGroup chooses.
func (q *modelQueue) rest(path bool, key string, holding []driver.Receipt, delayed bool, limit int) []*modelMessage {
	var rest []*modelMessage
	if key == "" {
		return nil
	}
	group := q.group(path, key)
	for _, m := range group {
		if m.held() && !slices.Contains(holding, m.receipt) {
			return nil
		}
	}
	for _, m := range group {
		if len(rest) == limit || !m.visible() && !m.leased && !delayed {
			break
		}
		if !m.held() {
			rest = append(rest, m)
		}
	}
	return rest
}

// settle settles and returns what Settle must answer.
func (md model) settle(q *modelQueue, s driver.Settlement, known map[driver.Receipt]int) error {
	m, err := q.resolve(s.Receipt, known)
	if err != nil || s.Op == driver.OpNack && s.Delay == driver.AtTimeout {
		return err
	}
	if s.Op == driver.OpMove && md[s.To] == nil {
		return driver.ErrQueueNotFound
	}
	switch s.Op {
	case driver.OpNack:
		m.set(driver.HeaderError, s.Reason)
		if s.Uncounted {
			m.uncounted++
			m.unanswered-- // it is as if this lease had not been
		} else {
			m.unanswered = 0
		}
		if q.show(m); s.Delay > 0 {
			m.hide(s.Delay, "")
		}
		return nil
	case driver.OpArchive:
		a := *m
		a.archived = time.Now()
		a.set(driver.HeaderReason, s.Reason)
		q.archive = append(q.archive, &a)
		slices.SortFunc(q.archive, func(a, b *modelMessage) int { return cmp.Compare(a.id, b.id) })
	case driver.OpMove:
		moved := md[s.To].add(m.Message)
		delete(moved.Headers, driver.HeaderReason)
		delete(moved.Headers, driver.HeaderError)
		moved.set(driver.HeaderReason, s.Reason)
		moved.set(driver.HeaderOrigin, q.name+"/"+strconv.Itoa(m.id))
	}
	q.remove(m)
	return nil
}

func (m *modelMessage) set(key, value string) {
	if value == "" {
		return
	}
	if m.Headers = maps.Clone(m.Headers); m.Headers == nil {
		m.Headers = driver.Headers{}
	}
	m.Headers[key] = value
}

// resolve returns the message of a receipt, or what is wrong with it.
func (q *modelQueue) resolve(r driver.Receipt, known map[driver.Receipt]int) (*modelMessage, error) {
	id, ok := known[r]
	if !ok {
		return nil, driver.ErrInvalidReceipt
	}
	if m := q.byReceipt(r); m != nil {
		return m, nil
	}
	if slices.ContainsFunc(q.msgs, func(m *modelMessage) bool { return m.id == id }) {
		return nil, driver.ErrStaleReceipt
	}
	return nil, driver.ErrMessageNotFound
}

func (q *modelQueue) extend(r driver.Receipt, d time.Duration, known map[driver.Receipt]int) error {
	m, err := q.resolve(r, known)
	if err == nil && !m.held() {
		return driver.ErrStaleReceipt
	}
	if err == nil {
		m.hide(d, r)
	}
	return err
}

func (q *modelQueue) redrive(ids []string, limit int) (n int64) {
	if len(ids) == 0 {
		for _, a := range q.archive {
			ids = append(ids, strconv.Itoa(a.id))
		}
	}
	for _, id := range ids {
		i := slices.IndexFunc(q.archive, func(a *modelMessage) bool { return strconv.Itoa(a.id) == id })
		if i < 0 || n == int64(limit) {
			continue
		}
		a := q.archive[i]
		q.archive = slices.Delete(q.archive, i, i+1)
		m := q.add(a.Message)
		delete(m.Headers, driver.HeaderReason)
		delete(m.Headers, driver.HeaderError)
		m.set(driver.HeaderOrigin, q.name+"/"+id)
		n++
	}
	return n
}

func (q *modelQueue) purgeArchive(olderThan time.Duration) int64 {
	before := len(q.archive)
	q.archive = slices.DeleteFunc(q.archive, func(a *modelMessage) bool { return time.Since(a.archived) >= olderThan })
	return int64(before - len(q.archive))
}

func (q *modelQueue) stats() driver.Stats {
	s := driver.Stats{
		Total: int64(len(q.msgs)), Archived: int64(len(q.archive)), TotalSent: q.sent, OldestAge: -1, NewestAge: -1,
	}
	for _, m := range q.msgs {
		switch {
		case m.visible() && slices.ContainsFunc(q.msgs, func(o *modelMessage) bool {
			return m.Group != "" && o.Group == m.Group && o.id < m.id && !o.visible()
		}):
			s.Blocked++
		case m.visible():
			s.Visible++
			s.Lag = max(s.Lag, time.Since(m.due))
		case m.leased:
			s.Leased++
		default:
			s.Delayed++
		}
	}
	if n := len(q.msgs); n > 0 {
		s.OldestAge, s.NewestAge = time.Since(q.msgs[0].enqueued), time.Since(q.msgs[n-1].enqueued)
	}
	return s
}

// sameError reports whether err is want, and nothing narrower.
func sameError(err, want error) bool {
	if want == driver.ErrStaleReceipt && errors.Is(err, driver.ErrMessageNotFound) {
		return false
	}
	return errors.Is(err, want) && (err == nil) == (want == nil)
}

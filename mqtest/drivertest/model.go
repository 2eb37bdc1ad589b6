package drivertest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

// model says what a queue must do in the simplest way: with a list of messages
// that is walked through for everything. Its methods get what was asked and
// what was answered, return what was wrong with the answer, and follow.
type model struct {
	caps  driver.Caps
	name  string // of the queue
	exact bool   // times can be told exactly

	messages []*modelMessage // in the order in which they came
	archive  []*modelMessage // likewise, whenever they were archived
	leases   map[mq.Receipt]*modelMessage
	ids      map[string]bool // ever given
	came     int             // messages that ever came
	keys     map[string]modelKey
}

// modelMessage is gone if it is not among the model's messages.
type modelMessage struct {
	mq.Record            // ID is "" until it has been seen
	nth       int        // in the order in which they came
	copied    bool       // by a redrive, which may have kept the reason
	receipt   mq.Receipt // that may act, "" if there is none
	nacked    bool       // it may act, or not: there is no Caps.NackFences
	leasedAt  time.Time
	uncounted int // leases that ended with an uncounted nack
	answered  int // the read count when it was last nacked
}

func newModel(name string, caps driver.Caps, exact bool) *model {
	return &model{
		name: name, caps: caps, exact: exact,
		leases: make(map[mq.Receipt]*modelMessage),
		ids:    make(map[string]bool),
		keys:   make(map[string]modelKey),
	}
}

func (m *model) add(msg mq.Message, now time.Time) *modelMessage {
	m.came++
	x := &modelMessage{nth: m.came}
	x.Message, x.EnqueuedAt, x.VisibleAt = msg, now, now.Add(msg.Delay-msg.HeadStart)
	x.Delay, x.HeadStart = 0, 0
	m.messages = append(m.messages, x)
	return x
}

func (m *model) remove(x *modelMessage) {
	m.messages = slices.DeleteFunc(m.messages, func(o *modelMessage) bool { return o == x })
}

func (m *model) send(msgs []*mq.Message, ids []string, now time.Time) error {
	if len(ids) != len(msgs) {
		return fmt.Errorf("%d ids for %d messages", len(ids), len(msgs))
	}
	for i, msg := range msgs {
		if err := m.identify(m.add(*msg, now), ids[i]); err != nil {
			return err
		}
	}
	return nil
}

// identify checks an id, or learns it.
func (m *model) identify(x *modelMessage, id string) error {
	switch {
	case x.ID == "" && (id == "" || m.ids[id]):
		return fmt.Errorf("id %q of a new message is empty or taken", id)
	case x.ID == "":
		x.ID, m.ids[id] = id, true
	case x.ID != id:
		return fmt.Errorf("id of message %s has become %q", x.ID, id)
	}
	return nil
}

// visible returns the messages that can be received.
func (m *model) visible(now time.Time) (all []*modelMessage) {
	for _, x := range m.messages {
		if !x.VisibleAt.After(now) {
			all = append(all, x)
		}
	}
	return all
}

func (m *model) receive(limit int, visibility time.Duration, ds []*mq.Delivery, now time.Time) error {
	taken, err := m.take(limit, ds, now)
	if err != nil {
		return err
	}
	for i, x := range taken {
		d := ds[i]
		if d.Receipt == "" || m.leases[d.Receipt] != nil {
			return fmt.Errorf("receipt %q is empty or was there before", d.Receipt)
		}
		m.leases[d.Receipt] = x
		x.receipt, x.nacked = d.Receipt, false
		x.leasedAt, x.VisibleAt = now, now.Add(visibility)
		if m.exact && !d.VisibleAt.Equal(x.VisibleAt) {
			return fmt.Errorf("the lease of %s ends %v too late", x.ID, d.VisibleAt.Sub(x.VisibleAt))
		}
	}
	return nil
}

func (m *model) pop(limit int, ds []*mq.Delivery, now time.Time) error {
	taken, err := m.take(limit, ds, now)
	for i, x := range taken {
		m.remove(x)
		if ds[i].Receipt != "" || !ds[i].VisibleAt.IsZero() {
			err = fmt.Errorf("message %s was popped as if it were leased", x.ID)
		}
	}
	return err
}

// take returns the messages that were received, read once more.
func (m *model) take(limit int, ds []*mq.Delivery, now time.Time) (taken []*modelMessage, err error) {
	left := m.visible(now)
	if len(ds) > limit || len(ds) == 0 && len(left) > 0 {
		return nil, fmt.Errorf("%d messages, want up to %d of %d", len(ds), limit, len(left))
	}
	for _, d := range ds {
		i := slices.IndexFunc(left, func(x *modelMessage) bool { return m.sameBody(x.Body, d.Body) })
		if i < 0 {
			return nil, fmt.Errorf("message %s, %q, is not visible", d.ID, d.Body)
		}
		taken = append(taken, left[i])
		left = slices.Delete(left, i, i+1)
	}
	if err := m.ordered(taken, left); err != nil {
		return nil, err
	}
	for i, d := range ds {
		taken[i].ReadCount++
		err = errors.Join(err, m.shown(taken[i], &mq.Record{
			Message: d.Message, ID: d.ID, ReadCount: d.ReadCount, Attempt: d.Attempt, EnqueuedAt: d.EnqueuedAt,
		}))
		if wrong := wrongAttempts(m.caps, d, taken[i].ReadCount, taken[i].uncounted, taken[i].answered); wrong != "" {
			err = errors.Join(err, errors.New(wrong))
		}
	}
	return taken, err
}

// ordered checks that taken is sorted by age, and that no message was left
// that should have come earlier. Caps.Order promises the latter only while
// nothing is redelivered.
func (m *model) ordered(taken, left []*modelMessage) error {
	if m.caps.Order == driver.Unordered {
		return nil
	}
	if !slices.IsSortedFunc(taken, func(a, b *modelMessage) int { return a.nth - b.nth }) {
		return errors.New("the messages are not sorted by age")
	}
	for _, t := range taken {
		for _, l := range left {
			if t.ReadCount == 0 && l.ReadCount == 0 && m.before(l, t) {
				return fmt.Errorf("message %s was received before %s", t.ID, l.ID)
			}
		}
	}
	return nil
}

func (m *model) before(a, b *modelMessage) bool {
	if m.caps.Order == driver.OrderDue && !a.VisibleAt.Equal(b.VisibleAt) {
		return a.VisibleAt.Before(b.VisibleAt)
	}
	return a.nth < b.nth
}

// shown checks what is shown of a message.
func (m *model) shown(x *modelMessage, r *mq.Record) error {
	if err := m.identify(x, r.ID); err != nil {
		return err
	}
	headers := maps.Clone(r.Headers)
	if x.copied {
		delete(headers, driver.HeaderReason)
	}
	switch {
	case !m.sameBody(x.Body, r.Body):
		return fmt.Errorf("the body of %s is %q, want %q", x.ID, r.Body, x.Body)
	case len(x.Headers)+len(headers) > 0 && !maps.Equal(x.Headers, headers):
		return fmt.Errorf("the headers of %s are %q, want %q", x.ID, headers, x.Headers)
	case r.ReadCount < 0 || m.caps.ExactReadCount && r.ReadCount != x.ReadCount:
		return fmt.Errorf("the read count of %s is %d, want %d", x.ID, r.ReadCount, x.ReadCount)
	case m.caps.Attempts && m.caps.ExactReadCount && r.Attempt != x.ReadCount-x.uncounted:
		return fmt.Errorf("attempt of %s is %d, want %d", x.ID, r.Attempt, x.ReadCount-x.uncounted)
	case m.exact && !r.EnqueuedAt.Equal(x.EnqueuedAt):
		return fmt.Errorf("EnqueuedAt of %s is %v too late", x.ID, r.EnqueuedAt.Sub(x.EnqueuedAt))
	}
	return nil
}

func (m *model) sameBody(a, b []byte) bool {
	return string(a) == string(b) || !m.caps.ExactBodies && sameJSON(a, b)
}

// browse checks a whole queue, or a whole archive.
func (m *model) browse(rs []mq.Record, archive bool) error {
	want := m.messages
	if archive {
		want = m.archive
	}
	if len(rs) != len(want) {
		return fmt.Errorf("%d records, want %d", len(rs), len(want))
	}
	for i, x := range want {
		if err := m.shown(x, &rs[i]); err != nil {
			return err
		}
		switch at := rs[i].ArchivedAt; {
		case at.IsZero() == archive, m.exact && !at.Equal(x.ArchivedAt):
			return fmt.Errorf("ArchivedAt of %s is %v, want %v", x.ID, at, x.ArchivedAt)
		case m.exact && !archive && !rs[i].VisibleAt.Equal(x.VisibleAt):
			return fmt.Errorf("VisibleAt of %s is %v too late", x.ID, rs[i].VisibleAt.Sub(x.VisibleAt))
		}
	}
	return nil
}

// holder returns the message whose last lease r names.
func (m *model) holder(r mq.Receipt) (*modelMessage, error) {
	switch x := m.leases[r]; {
	case x == nil:
		return nil, mq.ErrInvalidReceipt
	case !slices.Contains(m.messages, x), x.receipt != r:
		return nil, mq.ErrStaleReceipt
	default:
		return x, nil
	}
}

// settle returns what s must answer. A nack with AtTimeout of a receipt that
// is stale may also be nil.
func (m *model) settle(s mq.Settlement, now time.Time) error {
	x, err := m.holder(s.Receipt)
	switch {
	case err != nil:
		return err
	case s.Op == mq.OpNack && s.Delay == mq.AtTimeout:
		return nil
	case !x.VisibleAt.After(now) && !m.caps.LateSettle:
		return mq.ErrStaleReceipt
	}
	switch s.Op {
	case mq.OpNack:
		m.giveBack(x, s, now)
		return nil
	case mq.OpArchive:
		m.setAside(x, s.Reason, now)
	}
	m.remove(x)
	return nil
}

func (m *model) giveBack(x *modelMessage, s mq.Settlement, now time.Time) {
	x.VisibleAt = now.Add(s.Delay)
	if x.nacked = true; m.caps.NackFences {
		x.receipt = ""
	}
	if s.Uncounted {
		x.uncounted++
		x.answered++ // what nobody has answered stays so
	} else {
		x.answered = x.ReadCount
	}
	if s.Reason != "" && m.caps.NackReasons {
		x.Headers = headersWith(x.Headers, driver.HeaderError, s.Reason)
	}
}

func (m *model) setAside(x *modelMessage, reason string, now time.Time) {
	x.ArchivedAt, x.copied = now, false
	if m.caps.Headers {
		x.Headers = headersWith(x.Headers, driver.HeaderReason, reason)
	}
	m.archive = append(m.archive, x)
	slices.SortFunc(m.archive, func(a, b *modelMessage) int { return a.nth - b.nth })
}

func headersWith(h mq.Headers, key, value string) mq.Headers {
	h = maps.Clone(h)
	if h == nil {
		h = make(mq.Headers)
	}
	h[key] = value
	return h
}

// extend returns what extending the lease r must answer.
func (m *model) extend(r mq.Receipt, d time.Duration, now time.Time) error {
	x, err := m.holder(r)
	switch {
	case err != nil:
		return err
	case x.nacked, !x.VisibleAt.After(now):
		return mq.ErrStaleReceipt
	}
	x.VisibleAt = now.Add(d)
	return nil
}

func (m *model) purge() (n int64) {
	n = int64(len(m.messages))
	m.messages = nil
	return n
}

// redrive returns how many of the archived messages with the given ids become
// new ones; nil means those that came first.
func (m *model) redrive(ids []string, limit int, now time.Time) (n int64) {
	var left []*modelMessage
	for _, x := range m.archive {
		if n == int64(limit) || ids != nil && !slices.Contains(ids, x.ID) {
			left = append(left, x)
			continue
		}
		n++
		msg := x.Message
		if m.caps.Headers {
			msg.Headers = headersWith(msg.Headers, driver.HeaderOrigin, m.name+"/"+x.ID)
			delete(msg.Headers, driver.HeaderReason)
			delete(msg.Headers, driver.HeaderError)
		}
		m.add(msg, now).copied = true
	}
	m.archive = left
	return n
}

func (m *model) purgeArchive(olderThan time.Duration, now time.Time) (n int64) {
	before := len(m.archive)
	m.archive = slices.DeleteFunc(m.archive, func(x *modelMessage) bool { return now.Sub(x.ArchivedAt) >= olderThan })
	return int64(before - len(m.archive))
}

// blocks reports whether an earlier message of the group of x is not visible.
func (m *model) blocks(x *modelMessage, now time.Time) bool {
	return x.Group != "" && slices.ContainsFunc(m.messages, func(o *modelMessage) bool {
		return o.Group == x.Group && o.nth < x.nth && o.VisibleAt.After(now)
	})
}

// stats checks figures that are promised to be exact.
func (m *model) stats(s mq.Stats, now time.Time) error {
	want := mq.Stats{
		Total: int64(len(m.messages)), Archived: int64(len(m.archive)), TotalSent: int64(m.came),
		OldestAge: -1, NewestAge: -1, ScrapedAt: s.ScrapedAt,
	}
	for _, x := range m.messages {
		switch {
		case !x.VisibleAt.After(now) && m.blocks(x, now):
			want.Blocked++
		case !x.VisibleAt.After(now):
			want.Visible++
			want.Lag = max(want.Lag, now.Sub(x.VisibleAt))
		case x.receipt != "" && !x.nacked:
			want.Leased++
		default:
			want.Delayed++
		}
	}
	if n := len(m.messages); n > 0 && m.exact {
		want.OldestAge, want.NewestAge = now.Sub(m.messages[0].EnqueuedAt), now.Sub(m.messages[n-1].EnqueuedAt)
	}
	if !m.exact {
		s.OldestAge, s.NewestAge, s.Lag, want.Lag = -1, -1, 0, 0
	}
	if s != want {
		return fmt.Errorf("got %+v, want %+v", s, want)
	}
	return nil
}

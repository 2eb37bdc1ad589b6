package mqcron

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"time"

	"github.com/portmq/mq"
)

// entry is a control message: a definition, and its next occurrence.
type entry struct {
	Name    string        `json:"name"`
	Spec    string        `json:"spec"`
	Zone    string        `json:"zone"`
	Queue   string        `json:"queue"`
	Body    []byte        `json:"body,omitempty"` // in base64, since some backends change JSON
	Headers mq.Headers    `json:"headers,omitempty"`
	Group   string        `json:"group,omitempty"`
	Expires time.Duration `json:"expires,omitempty"` // nanoseconds
	CatchUp CatchUp       `json:"catch_up"`

	Version int64     `json:"version"` // of the definition, 1 for the first
	Set     time.Time `json:"set"`     // when the definition was set
	Due     time.Time `json:"due"`
	Removed bool      `json:"removed,omitempty"` // a tombstone, due when it may go
}

// entryOf returns the definition in s.
func entryOf(s Schedule) entry {
	return entry{
		Name: s.Name, Spec: s.Spec, Zone: s.Zone, Queue: s.Queue, CatchUp: s.CatchUp,
		Body: s.Message.Body, Headers: s.Message.Headers, Group: s.Message.Group, Expires: s.Message.Expires,
	}
}

// schedule is the reverse of entryOf.
func (e entry) schedule() Schedule {
	return Schedule{
		Name: e.Name, Spec: e.Spec, Zone: e.Zone, Queue: e.Queue, CatchUp: e.CatchUp,
		Message: mq.Message{Body: e.Body, Headers: e.Headers, Group: e.Group, Expires: e.Expires},
	}
}

// same reports whether e and o are the same definition.
func (e entry) same(o entry) bool {
	return e.Removed == o.Removed && reflect.DeepEqual(normal(e), normal(o))
}

// normal returns a definition without what an encoding does not tell apart.
func normal(e entry) entry {
	n := entryOf(e.schedule())
	if len(n.Body) == 0 {
		n.Body = nil
	}
	if len(n.Headers) == 0 {
		n.Headers = nil
	}
	return n
}

// before reports whether o is of a newer definition, or a later occurrence of the same.
func (e entry) before(o entry) bool {
	return e.Version < o.Version || e.Version == o.Version && e.Due.Before(o.Due)
}

func decode(body []byte) (e entry, err error) {
	if err = json.Unmarshal(body, &e); err == nil && (!isName(e.Name) || e.Version < 1) {
		err = fmt.Errorf("not a schedule")
	}
	return e, err
}

// controlHold is how long the key of a control message is held. Without it a process
// that resumes after a long time would send an occurrence again that others have done, which
// the next look discovers.
const controlHold = 24 * time.Hour

// control returns the message for e, the one that follows the occurrence after; the
// zero time for the first of a definition.
func (e entry) control(caps mq.Caps, after time.Time) (*mq.Message, error) {
	body, err := json.Marshal(e)
	if err == nil && caps.MaxBody > 0 && len(body) > caps.MaxBody {
		err = fmt.Errorf("mqcron: schedule %q: %w: its control message has %d bytes, the limit is %d", e.Name, mq.ErrTooLarge, len(body), caps.MaxBody)
	}
	key := fmt.Sprintf("mqcron/%s/%d/%s", e.Name, e.Version, stamp(after))
	return &mq.Message{Body: body, Delay: until(caps, e.Due), DedupKey: key, DedupFor: controlHold}, err
}

// until returns the delay until t, or Caps.MaxDelay if that is shorter.
func until(caps mq.Caps, t time.Time) time.Duration {
	d := max(0, time.Until(t))
	if caps.MaxDelay > 0 {
		return min(d, caps.MaxDelay)
	}
	return d
}

// fireHold is how long the key of an occurrence is held.
const fireHold = 7 * 24 * time.Hour

// occurrence returns the message that an occurrence sends.
func (e entry) occurrence(caps mq.Caps) *mq.Message {
	m := e.message(caps)
	m.DedupKey, m.DedupFor = "mqcron/"+e.Name+"/"+stamp(e.Due), fireHold
	if caps.Headers {
		m.Headers[HeaderDue] = stamp(e.Due)
	}
	return m
}

// message returns the message of the schedule.
func (e entry) message(caps mq.Caps) *mq.Message {
	m := e.schedule().Message
	if caps.Headers {
		m.Headers = maps.Clone(m.Headers)
		if m.Headers == nil {
			m.Headers = make(mq.Headers)
		}
		m.Headers[HeaderName] = e.Name
	}
	return &m
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

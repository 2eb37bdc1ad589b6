package mqcron

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/portmq/mq"
)

// The headers of the messages that schedules send, if the provider has headers.
const (
	// HeaderName is the name of the schedule.
	HeaderName = "mqcron-name"
	// HeaderDue is when the occurrence was due, in RFC 3339 and UTC. RunNow sets none.
	HeaderDue = "mqcron-due"
)

// Schedule says when to send which message to which queue. Every returns one.
type Schedule struct {
	// Name identifies the schedule in its control queue: 1 to 128 ASCII letters, digits,
	// dots, hyphens and underscores.
	Name string
	// Spec is the cron text; see the package documentation.
	Spec string
	// Zone is the IANA name of the time zone in which Spec is read. Defaults to UTC.
	Zone string
	// Queue is the target queue.
	Queue string
	// Message is what is sent, without Delay, HeadStart, DedupKey and DedupFor.
	Message mq.Message
	// CatchUp says what becomes of missed occurrences. Defaults to CatchUpOne.
	CatchUp CatchUp

	err error // what was wrong with the arguments of Every
}

// CatchUp says what becomes of occurrences that are more than a minute late. It is also an
// Option of Every.
type CatchUp string

const (
	// CatchUpOne sends one message for all that were missed. Its HeaderDue is the first.
	CatchUpOne CatchUp = "one"
	// CatchUpAll sends a message for each, in order.
	CatchUpAll CatchUp = "all"
	// CatchUpNone sends none.
	CatchUpNone CatchUp = "none"
)

// grace is how late an occurrence may be and not be missed.
const grace = time.Minute

// Option is an option of Every.
type Option interface{ apply(*Schedule) }

func (c CatchUp) apply(s *Schedule) { s.CatchUp = c }

type sending []mq.SendOption

func (o sending) apply(s *Schedule) {
	for _, set := range o {
		set(&s.Message)
	}
}

// Sending sets fields of the messages: their group, headers and Expires.
func Sending(opts ...mq.SendOption) Option { return sending(opts) }

// Every returns a schedule that sends payload to q whenever spec says so in the time zone
// loc; nil is UTC. A zone needs an IANA name, which time.Local does not have. What is wrong
// with the arguments, the payload included, is an error of Run and Set.
func Every[T any](name, spec string, loc *time.Location, q mq.TypedQueue[T], payload T, opts ...Option) Schedule {
	if loc == nil {
		loc = time.UTC
	}
	s := Schedule{Name: name, Spec: spec, Zone: loc.String(), Queue: q.Queue().Name()}
	if s.err = checkLocation(loc); s.err != nil {
		return s
	}
	m, err := q.Encode(payload)
	if err != nil {
		s.err = err
		return s
	}
	s.Message = *m
	for _, o := range opts {
		o.apply(&s)
	}
	return s
}

// checkLocation refuses a location whose name stands for another one: that of
// time.FixedZone, as time.Parse returns it, is what the program likes.
func checkLocation(loc *time.Location) error {
	named, err := location(loc.String())
	if err != nil {
		return err
	}
	for at, months := time.Now(), 0; months < 12; months++ {
		_, want := at.AddDate(0, months, 0).In(loc).Zone()
		if _, got := at.AddDate(0, months, 0).In(named).Zone(); loc.String() == "" || got != want {
			return fmt.Errorf("%w: the location %q is not the time zone of that name (use time.LoadLocation)", mq.ErrInvalid, loc)
		}
	}
	return nil
}

var isName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,128}$`).MatchString

// check returns what is wrong with s, without I/O, and s with its defaults.
func (s Schedule) check(c *mq.Client) (Schedule, timetable, error) {
	s.Zone, s.CatchUp = cmp.Or(s.Zone, "UTC"), cmp.Or(s.CatchUp, CatchUpOne)
	switch {
	case !isName(s.Name):
		return s, nil, invalid(s.Name, "a name has 1 to 128 letters, digits, dots, hyphens and underscores")
	case s.err != nil:
		return s, nil, fmt.Errorf("mqcron: schedule %q: %w", s.Name, s.err)
	case !slices.Contains([]CatchUp{CatchUpOne, CatchUpAll, CatchUpNone}, s.CatchUp):
		return s, nil, invalid(s.Name, "CatchUp %.20q is not one, all or none", string(s.CatchUp))
	}
	q := c.Queue(s.Queue)
	if err := cmp.Or(checkQueue(q), checkMessage(c.Caps(), s.Message)); err != nil {
		return s, nil, fmt.Errorf("mqcron: schedule %q: %w", s.Name, err)
	}
	s.Queue = q.Name()
	t, err := parse(s.Spec, s.Zone)
	if err == nil && t.next(time.Now()).IsZero() {
		err = fmt.Errorf("%w: spec %q never comes", mq.ErrInvalid, s.Spec)
	}
	if err != nil {
		return s, nil, fmt.Errorf("mqcron: schedule %q: %w", s.Name, err)
	}
	return s, t, nil
}

// checkMessage refuses, when a schedule is set, what mq would refuse each time it is sent.
func checkMessage(caps mq.Caps, m mq.Message) error {
	texts := append(slices.Collect(maps.Keys(m.Headers)), m.Group)
	texts = append(texts, slices.Collect(maps.Values(m.Headers))...)
	switch {
	case m.Delay != 0 || m.HeadStart != 0 || m.DedupKey != "" || m.DedupFor != 0:
		return fmt.Errorf("%w: the message of a schedule has no Delay, HeadStart, DedupKey and DedupFor", mq.ErrInvalid)
	case m.Expires < 0 || m.Expires > 0 && m.Expires < time.Millisecond:
		return fmt.Errorf("%w: Expires %v is below a millisecond", mq.ErrInvalid, m.Expires)
	case (len(m.Headers) > 0 || m.Expires > 0) && !caps.Headers:
		return fmt.Errorf("%w: Message.Headers", mq.ErrNotSupported)
	case m.Group != "" && !caps.Groups:
		return fmt.Errorf("%w: Message.Group", mq.ErrNotSupported)
	case slices.ContainsFunc(texts, func(s string) bool { return !utf8.ValidString(s) || strings.Contains(s, "\x00") }):
		return fmt.Errorf("%w: a header or the group has a NUL or is not UTF-8", mq.ErrInvalid)
	}
	return nil
}

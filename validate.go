package mq

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/portmq/mq/driver"
)

// portable names exist on every provider: PGMQ folds them into table names of
// at most 63 bytes with a prefix.
var portable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,46}$`).MatchString

// canonical checks a queue name and folds it as the provider wants it.
func (c *Client) canonical(name string) (string, error) {
	switch {
	case name == "":
		return "", invalid("queue name is empty")
	case len(name) > 255:
		return "", invalid("queue name has %d bytes, the limit is 255", len(name))
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return "", invalid("queue name %q has control characters or is not UTF-8", name)
	}
	n, err := optional[driver.Namer](c.provider)
	if err == nil {
		var folded string
		if folded, err = n.QueueName(name); err == nil {
			return folded, nil
		}
	}
	if errors.Is(err, ErrNotSupported) {
		return name, nil
	}
	return "", err
}

// checkDriverOptions rejects nil options and two options for the same driver,
// since the provider could not tell which apply.
func checkDriverOptions(all []DriverOptions) error {
	for i, o := range all {
		if o == nil {
			return invalid("QueueOptions.Drivers holds nil")
		}
		for _, other := range all[:i] {
			if other.DriverName() == o.DriverName() {
				return invalid("QueueOptions.Drivers has options for %s twice", o.DriverName())
			}
		}
	}
	return nil
}

// checkMessages validates msgs against caps and copies them, shallowly.
func checkMessages(caps driver.Caps, msgs []*Message) ([]driver.Message, error) {
	out := make([]driver.Message, len(msgs))
	for i, m := range msgs {
		if err := checkMessage(caps, m); err != nil {
			return nil, ofSeveral("message", i, len(msgs), err)
		}
		out[i] = m.out()
	}
	return out, nil
}

// ofSeveral says which of n items err is about, unless there is only one.
func ofSeveral(what string, i, n int, err error) error {
	if n > 1 {
		return fmt.Errorf("%s %d: %w", what, i, err)
	}
	return err
}

func checkMessage(caps driver.Caps, m *Message) error {
	switch {
	case m == nil:
		return invalid("the message is nil")
	case caps.MaxBody > 0 && len(m.Body) > caps.MaxBody:
		return fmt.Errorf("%w: body has %d bytes, the limit is %d", ErrTooLarge, len(m.Body), caps.MaxBody)
	case len(m.Headers) > 0 && !caps.Headers:
		return unsupported("Message.Headers")
	case m.Group != "" && !caps.Groups:
		return unsupported("Message.Group")
	case !isText(m.Group):
		return invalid("group has a NUL or is not UTF-8")
	}
	if err := cmp.Or(checkTimes(caps, m), checkDedup(m)); err != nil {
		return err
	}
	for k, v := range m.Headers {
		if !isText(k) || !isText(v) {
			return invalid("header %.64q has a NUL or is not UTF-8", k)
		}
	}
	return checkDelay(caps, m.Delay)
}

// maxHeadStart is the longest head start. No message waits in a queue for longer.
const maxHeadStart = 366 * 24 * time.Hour

// checkTimes checks what may come beside a delay.
func checkTimes(caps driver.Caps, m *Message) error {
	switch {
	case m.HeadStart < 0 || m.HeadStart > maxHeadStart:
		return invalid("HeadStart %v is not between 0 and %v", m.HeadStart, maxHeadStart)
	case m.HeadStart > 0 && !caps.HeadStart:
		return unsupported("Message.HeadStart")
	case m.HeadStart > 0 && m.Delay > 0:
		return invalid("a message has a Delay or a HeadStart, not both")
	case m.Expires < 0 || m.Expires > 0 && m.Expires < time.Millisecond:
		return invalid("Expires %v is below a millisecond", m.Expires)
	case m.Expires > 0 && !caps.Headers:
		return unsupported("Message.Expires, which needs headers")
	}
	return nil
}

// isText reports whether every backend can store s as text.
func isText(s string) bool {
	return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
}

func checkDelay(caps driver.Caps, d time.Duration) error {
	switch {
	case d < 0:
		return invalid("delay %v is negative", d)
	case d > 0 && !caps.Delay:
		return unsupported("a delay")
	case caps.MaxDelay > 0 && d > caps.MaxDelay:
		return invalid("delay %v is above the limit of %v", d, caps.MaxDelay)
	}
	return nil
}

func checkVisibility(caps driver.Caps, d time.Duration) error {
	switch limit := visibilityLimit(caps); {
	case d <= 0:
		return invalid("visibility %v is not positive", d)
	case d > limit:
		return invalid("visibility %v is above the limit of %v", d, limit)
	}
	return nil
}

func visibilityLimit(caps driver.Caps) time.Duration {
	limit := time.Duration(math.MaxInt64)
	for _, l := range []time.Duration{caps.MaxVisibility, caps.MaxHold} {
		if l > 0 {
			limit = min(limit, l)
		}
	}
	return limit
}

// defaultVisibility is a compromise: a crashed worker's messages come back
// soon, and heartbeats are rare.
func defaultVisibility(caps driver.Caps) time.Duration {
	return min(30*time.Second, visibilityLimit(caps))
}

// checkLimit defaults n to def and checks it against the batch limit.
func checkLimit(caps driver.Caps, what string, n, def int) (int, error) {
	switch {
	case n == 0:
		return def, nil
	case n < 0:
		return 0, invalid("%s %d is negative", what, n)
	case n > caps.BatchLimit():
		return 0, invalid("%s %d is above the limit of %d", what, n, caps.BatchLimit())
	}
	return n, nil
}

func checkSettlement(caps driver.Caps, s Settlement) error {
	switch {
	case s.Op < OpAck || s.Op > OpMove:
		return invalid("settlement has no operation: %v", s.Op)
	case s.Op != OpAck && !isText(s.Reason):
		return invalid("reason has a NUL or is not UTF-8")
	case s.Op == OpMove && !caps.AtomicMove:
		return unsupported("moving in one step (see Config.AllowDuplicateMoves)")
	case s.Uncounted && s.Op != OpNack:
		return invalid("only a nack can be uncounted, not %v", s.Op)
	case s.Uncounted && !caps.Attempts:
		return unsupported("a nack that does not count as an attempt")
	case s.Op == OpNack && s.Delay != AtTimeout:
		return checkDelay(caps, s.Delay)
	}
	return nil
}

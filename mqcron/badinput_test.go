package mqcron_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/drivers/rabbitstub"
	"github.com/portmq/mq/mqcron"
	"github.com/portmq/mq/mqtest"
)

// TestBadInput requires errors before any I/O.
func TestBadInput(t *testing.T) {
	p := mqtest.Faulty(openStore(t, "mem://").Provider())
	c := mq.New(p, quiet)
	defer c.Close()
	good := schedule("s", "@hourly", "", "")
	bad := func(change func(*mqcron.Schedule)) mqcron.Schedule {
		s := good
		change(&s)
		return s
	}
	unencoded := mqcron.Every("s", "@hourly", nil, mq.Of[func()](c.Queue("out")), nil)
	for _, tt := range []struct {
		want string
		s    []mqcron.Schedule
	}{
		{"a name has", []mqcron.Schedule{bad(func(s *mqcron.Schedule) { s.Name = "" })}},
		{"a name has", []mqcron.Schedule{bad(func(s *mqcron.Schedule) { s.Name = "a b" })}},
		{"a name has", []mqcron.Schedule{bad(func(s *mqcron.Schedule) { s.Name = strings.Repeat("x", 129) })}},
		{"never comes", []mqcron.Schedule{bad(func(s *mqcron.Schedule) { s.Spec = "0 0 30 2 *" })}},
		{"5 fields", []mqcron.Schedule{good, bad(func(s *mqcron.Schedule) { s.Name, s.Spec = "t", "* *" })}},
		{"IANA", []mqcron.Schedule{bad(func(s *mqcron.Schedule) { s.Zone = "Local" })}},
		{"queue name is empty", []mqcron.Schedule{bad(func(s *mqcron.Schedule) { s.Queue = "" })}},
		{"control queue", []mqcron.Schedule{bad(func(s *mqcron.Schedule) { s.Queue = "MQ_cron" })}},
		{"CatchUp", []mqcron.Schedule{bad(func(s *mqcron.Schedule) { s.CatchUp = "two" })}},
		{"no Delay", []mqcron.Schedule{bad(func(s *mqcron.Schedule) { s.Message.Delay = 1 })}},
		{"no Delay", []mqcron.Schedule{bad(func(s *mqcron.Schedule) { s.Message.DedupKey = "x" })}},
		{"Expires", []mqcron.Schedule{bad(func(s *mqcron.Schedule) { s.Message.Expires = 1 })}},
		{"NUL", []mqcron.Schedule{bad(func(s *mqcron.Schedule) { s.Message.Group = "\x00" })}},
		{"NUL", []mqcron.Schedule{bad(func(s *mqcron.Schedule) { s.Message.Headers = mq.Headers{"a": "\xff"} })}},
		{"limit is", []mqcron.Schedule{bad(func(s *mqcron.Schedule) { s.Message.Body = make([]byte, 13<<20) })}},
		{"twice", []mqcron.Schedule{good, good}},
		{"does not encode", []mqcron.Schedule{unencoded}},
	} {
		err := mqcron.Run(t.Context(), c, mqcron.Config{}, tt.s...)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !errors.Is(err, mq.ErrInvalid) && tt.want != "does not encode" {
			t.Errorf("Run: %v, want %q", err, tt.want)
		}
	}
	_, err := mqcron.RunNow(t.Context(), c, mqcron.Config{}, "a b")
	for _, err := range []error{
		err, mqcron.Remove(t.Context(), c, mqcron.Config{}, ""),
		mqcron.Set(t.Context(), c, mqcron.Config{Queue: "\x00"}, good),
	} {
		if !errors.Is(err, mq.ErrInvalid) {
			t.Errorf("%v, want ErrInvalid", err)
		}
	}
	for _, op := range ops {
		if n := p.Calls(op); n > 0 {
			t.Errorf("%d calls of %s", n, op)
		}
	}
}

// lacking is a provider that has almost everything.
type lacking struct {
	*mem.Provider
	without func(*driver.Caps)
}

func (p lacking) Caps() driver.Caps {
	caps := p.Provider.Caps()
	p.without(&caps)
	return caps
}

// TestLacking lets single features be missing, which is found out before any I/O.
func TestLacking(t *testing.T) {
	grouped := schedule("s", "@hourly", "", "")
	grouped.Message = mq.Message{Group: "g"}
	expiring := grouped
	expiring.Message = mq.Message{Expires: time.Hour}
	for _, tt := range []struct {
		without func(*driver.Caps)
		s       mqcron.Schedule
	}{
		{func(c *driver.Caps) { c.Delay = false }, schedule("s", "@hourly", "", "")},
		{func(c *driver.Caps) { c.Groups = false }, grouped},
		{func(c *driver.Caps) { c.Headers = false }, expiring},
	} {
		c := mq.New(lacking{mem.New(), tt.without}, quiet)
		defer c.Close()
		err := mqcron.Set(t.Context(), c, mqcron.Config{}, tt.s)
		if !errors.Is(err, mq.ErrNotSupported) || !strings.HasPrefix(err.Error(), "mqcron: ") {
			t.Errorf("%+v: %v, want ErrNotSupported", tt.s.Message, err)
		}
	}
}

// TestShortDelays has a provider without headers and with delays of ten minutes at most.
func TestShortDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := mq.New(lacking{mem.New(), func(c *driver.Caps) { c.Headers, c.MaxDelay = false, 10*time.Minute }}, quiet)
		defer c.Close()
		ensure(t, c, "out")
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Hour+time.Second)
		defer cancel()
		if err := mqcron.Run(ctx, c, mqcron.Config{}, schedule("s", "@hourly", "x", "")); err != nil {
			t.Error(err)
		}
		if n := len(sent(t, c, "out")); n != 3 {
			t.Errorf("%d were fired in three hours", n)
		}
	})
}

// TestNotSupported requires the same of a provider that lacks something.
func TestNotSupported(t *testing.T) {
	c := mq.New(rabbitstub.New(), quiet)
	defer c.Close()
	_, err := mqcron.List(t.Context(), c, mqcron.Config{})
	for _, err := range []error{
		err, mqcron.Run(t.Context(), c, mqcron.Config{}),
		mqcron.Set(t.Context(), c, mqcron.Config{}, schedule("s", "@hourly", "", "")),
		mqcron.Remove(t.Context(), c, mqcron.Config{}, "s"),
	} {
		if !errors.Is(err, mq.ErrNotSupported) || !strings.Contains(err.Error(), "use mem, sqlite or pgmq") {
			t.Errorf("%v, want ErrNotSupported", err)
		}
	}
}

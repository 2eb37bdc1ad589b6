package mqcron

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/portmq/mq"
)

// timetable tells when a schedule comes.
type timetable interface {
	// next returns the first occurrence after t, or the zero time.
	next(t time.Time) time.Time
}

const maxSpec = 255 // bytes

var parser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

// parse returns the timetable of a cron text in a time zone.
func parse(spec, zone string) (timetable, error) {
	switch {
	case len(spec) > maxSpec:
		return nil, fmt.Errorf("%w: spec has %d bytes, the limit is %d", mq.ErrInvalid, len(spec), maxSpec)
	case strings.Contains(spec, "TZ="): // which the parser would accept
		return nil, fmt.Errorf("%w: spec %q names a time zone (set Zone)", mq.ErrInvalid, spec)
	}
	loc, err := location(zone)
	if err != nil {
		return nil, err
	}
	if text, ok := strings.CutPrefix(spec, "@every "); ok {
		return parseInterval(text)
	}
	s, err := parser.Parse(spec)
	if err != nil {
		return nil, fmt.Errorf("%w: spec %q: %w (as in \"0 6 * * MON-FRI\", @daily, \"@every 90s\")", mq.ErrInvalid, spec, err)
	}
	fields, ok := s.(*cron.SpecSchedule)
	if !ok {
		return nil, fmt.Errorf("%w: spec %q", mq.ErrInvalid, spec)
	}
	if everyHour(fields) {
		return elapsed{fields, loc}, nil
	}
	return timesOfDay{fields, loc}, nil
}

// location returns a time zone that is the same in all processes.
func location(zone string) (*time.Location, error) {
	if zone == "Local" {
		return nil, fmt.Errorf("%w: zone Local is not the same everywhere (give an IANA name such as Europe/Berlin)", mq.ErrInvalid)
	}
	if len(zone) > maxSpec {
		return nil, fmt.Errorf("%w: zone has %d bytes, the limit is %d", mq.ErrInvalid, len(zone), maxSpec)
	}
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return nil, fmt.Errorf("%w: zone %q: %w (give an IANA name such as Europe/Berlin, and install or import time/tzdata)", mq.ErrInvalid, zone, err)
	}
	return loc, nil
}

func parseInterval(text string) (timetable, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second {
		return nil, fmt.Errorf("%w: \"@every %s\" is not a second or more (as in \"@every 90s\")", mq.ErrInvalid, text)
	}
	return interval(d), nil
}

// interval is the timetable of "@every".
type interval time.Duration

func (i interval) next(t time.Time) time.Time {
	d := time.Duration(i)
	return t.UTC().Truncate(d).Add(d)
}

// everyHour reports whether the hour field allows each of the 24.
func everyHour(s *cron.SpecSchedule) bool {
	const hours = 1<<24 - 1
	return s.Hour&hours == hours
}

// elapsed is the timetable of a text that goes on when the clocks change.
type elapsed struct {
	fields *cron.SpecSchedule
	loc    *time.Location
}

func (e elapsed) next(t time.Time) time.Time { return utc(e.fields.Next(t.In(e.loc))) }

func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}

// timesOfDay is the timetable of a text with times of day. It is computed on clocks
// without a zone, which are written as times in UTC, since the parser's own rule leaves out
// the hour that does not exist and repeats the one that comes twice.
type timesOfDay struct {
	fields *cron.SpecSchedule
	loc    *time.Location
}

// maxMove is more than clocks are moved by.
const maxMove = 3 * time.Hour

// next goes back a little, as the clocks may just have passed over a time of day whose
// occurrence is still to come, and goes on until nothing earlier can follow: in
// the hour that does not exist a later time of day may come sooner.
func (s timesOfDay) next(t time.Time) (best time.Time) {
	clock := s.clock(t).Add(-maxMove)
	for {
		clock = s.fields.Next(clock)
		if clock.IsZero() {
			return best
		}
		if at := s.instant(clock); at.After(t) && (best.IsZero() || at.Before(best)) {
			best = at
		}
		if !best.IsZero() && !clock.Before(s.clock(best)) {
			return best
		}
	}
}

// clock returns what clocks show at t.
func (s timesOfDay) clock(t time.Time) time.Time { return t.UTC().Add(s.offset(t)) }

func (s timesOfDay) offset(t time.Time) time.Duration {
	_, seconds := t.In(s.loc).Zone()
	return time.Duration(seconds) * time.Second
}

// instant returns when clocks first show a time of day, or would have if they had not
// been moved on.
func (s timesOfDay) instant(clock time.Time) time.Time {
	before := clock.Add(-s.offset(clock.Add(-24 * time.Hour)))
	after := clock.Add(-s.offset(clock.Add(24 * time.Hour)))
	if !s.clock(before).Equal(clock) && s.clock(after).Equal(clock) {
		return after
	}
	return before
}

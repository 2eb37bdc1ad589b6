package mqcron

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/portmq/mq"
)

// Set stores schedules, and creates the control queue if it is not there. It changes nothing if
// the same definition is there; another one of the same name is replaced from its next
// occurrence on. What is wrong with any of them is ErrInvalid before any I/O. If an error
// comes later, some may have been set; to set them again does no harm.
func Set(ctx context.Context, c *mq.Client, cfg Config, schedules ...Schedule) error {
	_, err := set(ctx, c, cfg, schedules)
	return err
}

// set is Set, and returns the control queue.
func set(ctx context.Context, c *mq.Client, cfg Config, schedules []Schedule) (*book, error) {
	b, err := open(c, cfg)
	if err != nil {
		return nil, err
	}
	drafts, err := b.drafts(schedules)
	if err != nil {
		return nil, err
	}
	return b, b.set(ctx, drafts)
}

// draft is a definition to be stored.
type draft struct {
	entry
	timetable timetable
}

// drafts checks schedules, without I/O.
func (b *book) drafts(schedules []Schedule) ([]draft, error) {
	out := make([]draft, len(schedules))
	for i, s := range schedules {
		s, t, err := s.check(b.client)
		if err == nil {
			out[i] = draft{entryOf(s), t}
			_, err = out[i].control(b.client.Caps(), time.Time{}) // its size
		}
		switch {
		case err != nil:
			return nil, err
		case s.Queue == b.queue.Name():
			return nil, invalid(s.Name, "its queue is the control queue")
		case slices.ContainsFunc(out[:i], func(d draft) bool { return d.Name == s.Name }):
			return nil, invalid(s.Name, "it is given twice")
		}
	}
	return out, nil
}

func (b *book) set(ctx context.Context, drafts []draft) error {
	if err := b.ensure(ctx); err != nil {
		return err
	}
	current, err := b.current(ctx)
	if err != nil {
		return err
	}
	for _, d := range drafts {
		if err := b.put(ctx, d.entry, current[d.Name], func(e *entry) { e.Due = d.timetable.next(e.Set) }); err != nil {
			return err
		}
	}
	return nil
}

// maxTries is how often put looks again if others change the same schedule.
const maxTries = 100

// put stores a definition unless it is the current one, which is have as far as is known. Its
// version is its key: of several processes that store the same version one succeeds, and the
// others look again. Versions that were taken and cannot be seen were purged, and are passed
// over, twice as many each time. date sets the first occurrence.
func (b *book) put(ctx context.Context, e, have entry, date func(*entry)) error {
	step := int64(1)
	for range maxTries {
		if e.same(have) {
			return nil
		}
		if have.Version < e.Version {
			step = min(2*step, 1<<32)
		}
		e.Version = max(e.Version, have.Version) + step
		e.Set = time.Now().UTC()
		date(&e)
		if stored, err := b.send(ctx, e, time.Time{}); stored || err != nil {
			return err
		}
		current, err := b.current(ctx)
		if err != nil {
			return err
		}
		have = current[e.Name]
	}
	return fmt.Errorf("mqcron: schedule %q: others change it all the time (%d times meanwhile)", e.Name, maxTries)
}

// send stores the control message that follows the occurrence after, and reports whether it
// was the first.
func (b *book) send(ctx context.Context, e entry, after time.Time) (stored bool, err error) {
	m, err := e.control(b.client.Caps(), after)
	if err == nil {
		_, stored, err = b.queue.SendOnce(ctx, m)
	}
	return stored, err
}

// tombstoneHold is how long a tombstone stays: longer than any key is held, so that
// versions may start again afterwards.
const tombstoneHold = fireHold + 24*time.Hour

// Remove removes a schedule. One that is not there is ErrNotFound.
func Remove(ctx context.Context, c *mq.Client, cfg Config, name string) error {
	b, have, err := find(ctx, c, cfg, name)
	if err != nil {
		return err
	}
	return b.put(ctx, entry{Name: name, Removed: true}, have, func(e *entry) { e.Due = e.Set.Add(tombstoneHold) })
}

// RunNow sends the message of a schedule now, whenever it is due, and returns its id. Each
// call sends one, and the schedule is not changed. A schedule that is not there is
// ErrNotFound.
func RunNow(ctx context.Context, c *mq.Client, cfg Config, name string) (id string, err error) {
	_, have, err := find(ctx, c, cfg, name)
	if err != nil {
		return "", err
	}
	return c.Queue(have.Queue).Send(ctx, have.message(c.Caps()))
}

// find returns the current definition of a schedule.
func find(ctx context.Context, c *mq.Client, cfg Config, name string) (*book, entry, error) {
	b, err := open(c, cfg)
	if err == nil && !isName(name) {
		err = invalid(name, "a name has 1 to 128 letters, digits, dots, hyphens and underscores")
	}
	if err != nil {
		return nil, entry{}, err
	}
	current, err := b.current(ctx)
	have, ok := current[name]
	if err == nil && (!ok || have.Removed) || errors.Is(err, mq.ErrQueueNotFound) {
		err = fmt.Errorf("%w: %q", ErrNotFound, name)
	}
	return b, have, err
}

// Status is a schedule as List shows it.
type Status struct {
	Schedule
	// Set is when this definition was set, by the clock of the process that did it.
	Set time.Time
	// Next is the occurrence that is fired next. In the past it is overdue: no
	// process runs, or its target cannot be reached.
	Next time.Time
}

// List returns the schedules, sorted by name. If there is no control queue there are none.
func List(ctx context.Context, c *mq.Client, cfg Config) ([]Status, error) {
	b, err := open(c, cfg)
	if err != nil {
		return nil, err
	}
	current, err := b.current(ctx)
	if errors.Is(err, mq.ErrQueueNotFound) {
		return nil, nil
	}
	var out []Status
	for _, name := range slices.Sorted(maps.Keys(current)) {
		if e := current[name]; !e.Removed {
			out = append(out, Status{e.schedule(), e.Set, e.Due})
		}
	}
	return out, err
}

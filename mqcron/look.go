package mqcron

import (
	"context"
	"time"

	"github.com/portmq/mq"
)

// pageSize is how many control messages are looked at in one call.
const pageSize = 1000

// each calls f for every control message, oldest first, whatever its state. What
// does not decode is left out: it goes to the archive when it is delivered.
//
// A successor is stored before its predecessor is deleted, and has a higher ID. So a look
// that takes several pages misses neither: if the one is gone, the other is on the same
// page or on a later one.
func (b *book) each(ctx context.Context, f func(entry)) error {
	o := mq.BrowseOptions{Limit: min(pageSize, b.client.Caps().BatchLimit())}
	for {
		page, err := b.queue.Peek(ctx, o)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, r := range page {
			if e, err := decode(r.Body); err == nil {
				f(e)
			}
		}
		o.After = page[len(page)-1].ID
	}
}

// current returns the newest control message of each schedule, tombstones included.
func (b *book) current(ctx context.Context) (map[string]entry, error) {
	newest := make(map[string]entry)
	err := b.each(ctx, func(e entry) {
		if have, ok := newest[e.Name]; !ok || have.before(e) {
			newest[e.Name] = e
		}
	})
	return newest, err
}

// view is what the control queue says about one occurrence.
type view struct {
	later    bool      // a later occurrence is there: this one was fired
	newer    bool      // so is a newer definition
	older    bool      // so is an older one
	replaced time.Time // when a newer one took over: this one owns occurrences until then
}

// view looks at the others of e's name.
func (b *book) view(ctx context.Context, e entry) (v view, err error) {
	err = b.each(ctx, func(o entry) {
		if o.Name == e.Name {
			v.add(e, o)
		}
	})
	return v, err
}

func (v *view) add(e, o entry) {
	switch {
	case o.Version < e.Version:
		v.older = true
	case o.Version == e.Version:
		v.later = v.later || o.Due.After(e.Due)
	case o.Removed: // nothing is left to the old definition
		v.newer, v.replaced = true, time.Time{}
	case !v.newer || o.Set.Before(v.replaced):
		v.newer, v.replaced = true, o.Set
	}
}

// owns reports whether an occurrence at t belongs to the definition.
func (v view) owns(t time.Time) bool { return !v.newer || !t.After(v.replaced) }

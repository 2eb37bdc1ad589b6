package mqui

import (
	"context"

	"github.com/portmq/mq"
)

const (
	// maxScan is how many messages one search looks at.
	maxScan = 10_000
	// maxRedactedScan is the same where each must be redacted first, with its body.
	maxRedactedScan = 1000
	// previewBytes is how much of a body a list shows.
	previewBytes = 200
	// maxBody is how much of a body is loaded at all.
	maxBody = 64 << 10
)

// listing is what one page of a list asks for.
type listing struct {
	queue   *mq.Queue
	archive bool
	state   mq.State
	filter  filter
	newest  bool
	after   string
	limit   int
}

// find looks for the messages of a list, within what the viewer may see.
func (u *UI) find(ctx context.Context, v viewer, l listing) (found mq.Found, err error) {
	match, err := u.match(l.filter, l.state)
	if err != nil {
		return found, err
	}
	if !l.filter.Set() && l.state == mq.AnyState {
		found, err = l.page(ctx, u.cutInList())
	} else {
		found, err = u.scan(ctx, v, l, match)
	}
	for i, r := range found.Records {
		found.Records[i] = u.redact(l.queue.Name(), r)
	}
	return found, err
}

// cutInList is how much of a body a list needs. There is no cut of nothing.
func (u *UI) cutInList() int {
	if u.opts.Bodies == ShowAlways && u.opts.Redact == nil {
		return previewBytes
	}
	return 1
}

// page reads one page without a search, which costs least.
func (l listing) page(ctx context.Context, cutBody int) (found mq.Found, err error) {
	o := mq.BrowseOptions{Newest: l.newest, After: l.after, Limit: l.limit, CutBody: cutBody}
	if l.archive {
		found.Records, err = l.queue.Archived(ctx, o)
	} else {
		found.Records, err = l.queue.Peek(ctx, o)
	}
	if n := len(found.Records); n > 0 {
		found.Last = found.Records[n-1].ID
	}
	found.Looked, found.End = len(found.Records), len(found.Records) < l.limit
	return found, err
}

// scan searches, one search a viewer at a time.
func (u *UI) scan(ctx context.Context, v viewer, l listing, match mq.Match) (found mq.Found, err error) {
	if err := u.scans.await(ctx, v.key()); err != nil {
		return found, err
	}
	defer u.scans.leave(v.key())
	if u.opts.Redact != nil && l.filter.content() {
		return u.scanRedacted(ctx, l, match)
	}
	return l.queue.Search(ctx, mq.SearchOptions{
		BrowseOptions: mq.BrowseOptions{Newest: l.newest, After: l.after, Limit: l.limit, CutBody: u.cutInList()},
		Match:         match, Archive: l.archive, Scan: maxScan,
	})
}

// scanRedacted searches in what is left of the messages when they are redacted: a search
// in the messages themselves would find what must not be seen.
func (u *UI) scanRedacted(ctx context.Context, l listing, match mq.Match) (found mq.Found, err error) {
	want := l.limit
	l.limit = min(100, l.queue.Client().Caps().BatchLimit())
	for found.Looked < maxRedactedScan && !found.End {
		page, err := l.page(ctx, maxBody)
		if err != nil {
			return found, err
		}
		for _, r := range page.Records {
			found.Looked++
			found.Last, l.after = r.ID, r.ID
			shown := u.redact(l.queue.Name(), r)
			if !fits(match, &shown) {
				continue
			}
			if found.Records = append(found.Records, r); len(found.Records) == want {
				return found, nil
			}
		}
		found.End = page.End
	}
	return found, nil
}

package main

import (
	"cmp"
	"context"
	"iter"
	"strconv"
	"unicode/utf8"

	"github.com/portmq/mq"
)

// How much is asked for at once: messages, and about how many bytes of them. The
// first page is small, since their size is not known yet.
const (
	maxPage   = 200
	firstPage = 8
	pageBytes = 4 << 20
)

// pager chooses how many messages are asked for next, so that those of one
// answer fit into memory however large they are.
type pager struct{ next int }

// limit returns how many of at most n to ask for.
func (p *pager) limit(n int) int { return max(1, min(n, cmp.Or(p.next, firstPage))) }

// got takes note of n messages that came to a size.
func (p *pager) got(n, size int) {
	if n > 0 {
		p.next = max(1, min(4*cmp.Or(p.next, firstPage), pageBytes/max(size/n, 1)))
	}
}

// weight is about how much memory a message takes.
func weight(body []byte, headers mq.Headers) int {
	n := 200 + len(body)
	for name, value := range headers {
		n += len(name) + len(value) + 50
	}
	return n
}

// browsing is what to show of a queue.
type browsing struct {
	archive bool
	newest  bool // first
	after   string
	cutBody int // bytes that are enough; 0: all
}

// records yields the records of a queue, or of its archive, an error last.
func (b browsing) records(ctx context.Context, q *mq.Queue) iter.Seq2[mq.Record, error] {
	look := q.Peek
	if b.archive {
		look = q.Archived
	}
	return func(yield func(mq.Record, error) bool) {
		var p pager
		for {
			rs, err := look(ctx, mq.BrowseOptions{
				After: b.after, Newest: b.newest, CutBody: b.cutBody, Limit: p.limit(min(maxPage, q.Client().Caps().BatchLimit())),
			})
			if !yieldAll(rs, yield) {
				return
			}
			if err != nil {
				yield(mq.Record{}, err)
			}
			if err != nil || len(rs) == 0 {
				return
			}
			b.after = rs[len(rs)-1].ID
			p.got(len(rs), sizeOf(rs))
		}
	}
}

// yieldAll returns false if no more are wanted.
func yieldAll(rs []mq.Record, yield func(mq.Record, error) bool) bool {
	for _, r := range rs {
		if !yield(r, nil) {
			return false
		}
	}
	return true
}

func sizeOf(rs []mq.Record) (size int) {
	for _, r := range rs {
		size += weight(r.Body, r.Headers)
	}
	return size
}

// cutBody returns how many bytes of a body are shown, 0 for all.
func (a *app) cutBody() int {
	if a.json() {
		return 0
	}
	return (maxCell + 1) * utf8.UTFMax
}

var recordTitles = []string{"ID", "STATE", "READ?", "SENT?", "VISIBLE", "GROUP?", "BODY…"}

func (a *app) recordCells(r mq.Record) []string {
	return []string{
		r.ID, stateCell(r.State), strconv.Itoa(r.ReadCount), a.timeCell(r.EnqueuedAt), a.timeCell(r.VisibleAt),
		orDash(shorten(r.Group)), bodyCell(r.Body),
	}
}

// stateCell shows a state, if the provider tells it.
func stateCell(s mq.State) string {
	if s == mq.AnyState {
		return "-"
	}
	return s.String()
}

package main

import (
	"cmp"
	"context"
	"iter"
	"strconv"

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

// browse yields the records of a queue, or of its archive, after the given id,
// an error last.
func browse(ctx context.Context, q *mq.Queue, archive bool, after string) iter.Seq2[mq.Record, error] {
	look := q.Peek
	if archive {
		look = q.Archived
	}
	return func(yield func(mq.Record, error) bool) {
		var p pager
		for {
			rs, err := look(ctx, mq.BrowseOptions{After: after, Limit: p.limit(min(maxPage, q.Client().Caps().BatchLimit()))})
			size := 0
			for _, r := range rs {
				if !yield(r, nil) {
					return
				}
				after = r.ID
				size += weight(r.Body, r.Headers)
			}
			if err != nil {
				yield(mq.Record{}, err)
			}
			if err != nil || len(rs) == 0 {
				return
			}
			p.got(len(rs), size)
		}
	}
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

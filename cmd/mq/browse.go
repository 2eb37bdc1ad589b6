package main

import (
	"context"
	"iter"
	"strconv"

	"github.com/portmq/mq"
)

// page is how many records are asked for at once: their bodies are held.
const page = 200

// browse yields the records of a queue, or of its archive, after the given id,
// an error last.
func browse(ctx context.Context, q *mq.Queue, archive bool, after string) iter.Seq2[mq.Record, error] {
	look := q.Peek
	if archive {
		look = q.Archived
	}
	o := mq.BrowseOptions{After: after, Limit: min(page, q.Client().Caps().BatchLimit())}
	return func(yield func(mq.Record, error) bool) {
		for {
			rs, err := look(ctx, o)
			for _, r := range rs {
				if !yield(r, nil) {
					return
				}
				o.After = r.ID
			}
			if err != nil {
				yield(mq.Record{}, err)
			}
			if err != nil || len(rs) == 0 {
				return
			}
		}
	}
}

var recordTitles = []string{"ID", "READ", "SENT", "VISIBLE", "GROUP", "BODY"}

func recordCells(r mq.Record) []string {
	return []string{
		r.ID, strconv.Itoa(r.ReadCount), timeCell(r.EnqueuedAt), timeCell(r.VisibleAt),
		orDash(shorten(r.Group)), bodyCell(r.Body),
	}
}

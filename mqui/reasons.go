package mqui

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"github.com/portmq/mq"
)

// maxReasons is how many reasons a page shows.
const maxReasons = 50

// reasons are the dead letters of a queue, counted by why they are dead.
type reasons struct {
	Counts []reasonCount
	More   int // reasons that are left out
	Looked int64
	Err    string
}

type reasonCount struct {
	Reason      string
	Key         string // names the reason in a form
	Count       int64
	First, Last time.Time
	URL         string
}

// reasonKey names a reason. A form would change the ends of its lines.
func reasonKey(reason string) string {
	sum := sha256.Sum256([]byte(reason))
	return hex.EncodeToString(sum[:12])
}

func (u *UI) countReasons(ctx context.Context, s *source, q *mq.Queue) *reasons {
	counts, looked, err := q.Reasons(ctx, maxScan)
	switch {
	case errors.Is(s.can.learn(canReasons, err), mq.ErrNotSupported):
		return nil
	case err != nil:
		return &reasons{Err: describe(err)}
	}
	rs := &reasons{Looked: looked, Counts: u.shownReasons(s, q.Name(), counts)}
	if len(rs.Counts) > maxReasons {
		rs.More = len(rs.Counts) - maxReasons
		rs.Counts = rs.Counts[:maxReasons]
	}
	return rs
}

// shownReasons redacts the reasons, and counts together what then is the same.
func (u *UI) shownReasons(s *source, queue string, counts []mq.ReasonCount) (shown []reasonCount) {
	at := make(map[string]int)
	for _, c := range counts {
		reason := u.redactReason(queue, c.Reason)
		i, ok := at[reason]
		if !ok {
			at[reason] = len(shown)
			shown = append(shown, reasonCount{
				Reason: reason, Key: reasonKey(reason), Count: c.Count, First: c.First, Last: c.Last,
				URL: address("queue", "source", s.Name, "queue", queue, "tab", "archive", "reason", reason) + "#messages",
			})
			continue
		}
		shown[i].Count += c.Count
		shown[i].First = earlier(shown[i].First, c.First)
		shown[i].Last = later(shown[i].Last, c.Last)
	}
	slices.SortStableFunc(shown, func(a, b reasonCount) int { return cmp.Compare(b.Count, a.Count) })
	return shown
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

package pgmq

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/portmq/mq/driver"
)

// Another program may have written what PostgreSQL stores and cannot print, or
// not in the client's encoding, or only at a length of gigabytes. A statement
// that returns such a row fails, and with it all its neighbours. Then the rows
// are claimed blindly, and what they hold is read afterwards: all at once, and
// those that this did not get to one by one. So the bad one is found, named and
// set aside, and the others are handed out.

// unprintable reports whether err may be due to what one row holds.
func unprintable(err error) bool {
	switch code := sqlState(err); code {
	case "22P05", "22021", "54000", "53200", "XX000":
		return true
	}
	return false
}

// receiveError is the error of a call that has no argument to blame. A
// receiver goes on after it.
func receiveError(err error) error {
	var e *dbError
	if !errors.As(err, &e) || !errors.Is(e.is, driver.ErrInvalid) {
		return err
	}
	return &dbError{text: "a message cannot be read", code: e.code, cause: e.cause}
}

// intake is what became of a queue's claims.
type intake struct {
	mu     sync.Mutex
	limit  int // messages of one claim after one that was cut off or full; 0 is no limit
	doubts bool
	filled time.Time // when a claim was last full
}

// cutShort is how long a claim that was cut off has been at it, if that was for
// what it had to carry.
const cutShort = 5 * time.Second

// most returns how many of n messages to claim.
func (in *intake) most(n int) int {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.limit > 0 {
		return min(n, in.limit)
	}
	return n
}

func (in *intake) wary() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.doubts
}

// claimed takes note of a claim of up to n messages. One that was cut off comes
// again: half as much may get through, or it was one message, which is to be
// found.
func (in *intake) claimed(n, got int, took time.Duration, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case err != nil && ended(err) != nil && took >= cutShort:
		in.limit, in.doubts = max(1, n/2), true
	case err == nil && in.limit > 0 && got >= in.limit:
		in.limit *= 2
		if in.limit >= driver.DefaultMaxBatch {
			in.limit = 0
		}
	}
}

// full takes note of a claim that filled the room with got messages. The claims
// that follow are measured, and ask for twice as many at most: the server prints all
// that it is asked for.
func (in *intake) full(got int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.limit, in.filled = max(1, 2*got), time.Now()
}

// measureFor is how long claims are measured after one that was full.
const measureFor = time.Minute

func (in *intake) look() look {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.filled.IsZero() && time.Since(in.filled) < measureFor {
		return measured
	}
	return unmeasured
}

func (in *intake) calm() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.doubts = false
}

const (
	// claimBytes is what one claim takes, or one message that is larger. See
	// {{template "fit"}}.
	claimBytes = 8 << 20
	// keptBytes is what is kept of a claim that was not measured. Few messages
	// print several times as large as they are in the table.
	keptBytes = 4 * claimBytes
)

const (
	waryMax   = 100              // messages of a blind claim
	waryLease = time.Minute      // their leases, while they are read
	togetherR = 2 * time.Second  // the limit of reading all
	aloneR    = 10 * time.Second // and of reading one
	asideFor  = 15 * time.Minute // how long a message is set aside that could not be read in time
)

// takeWarily is take with blind claims.
func (p *Provider) takeWarily(ctx context.Context, q *queue, r driver.ReceiveRequest, claim claiming) ([]driver.Delivery, error) {
	lasting := r
	lasting.Visibility = max(r.Visibility, waryLease)
	for {
		start := time.Now()
		lasting.Max = q.hub.intake.most(min(r.Max, waryMax))
		s, err := claim(ctx, lasting, blind)
		if err != nil {
			return nil, receiveError(err)
		}
		if len(s.found) == 0 {
			q.hub.intake.calm()
			return nil, nil
		}
		n := q.names
		n.Key = s.groupKey
		bad, left, err := p.fill(ctx, q, n, s)
		p.setAside(ctx, q, bad)
		if len(left) > 0 {
			q.hub.intake.full(len(s.found))
			p.giveBack(ctx, q, left)
		}
		if err != nil {
			return nil, receiveError(err)
		}
		if len(s.found) > 0 {
			q.hub.intake.calm()
			return p.shortened(ctx, q, s.deliveries(), lasting.Visibility-time.Since(start), r.Visibility), nil
		}
	}
}

// shortened gives leases that end in left the length that was asked for; 0 asks
// for none. What was lost meanwhile is left out.
func (p *Provider) shortened(ctx context.Context, q *queue, ds []driver.Delivery, left, want time.Duration) []driver.Delivery {
	if want == 0 || left == want {
		return ds
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeLimit)
	defer cancel()
	receipts := make([]driver.Receipt, len(ds))
	for i := range ds {
		receipts[i] = ds[i].Receipt
		ds[i].VisibleAt = ds[i].VisibleAt.Add(want - left)
	}
	return without(ds, p.Extend(ctx, q.name, receipts, want))
}

// unread is a message that could not be read.
type unread struct {
	found
	err error
}

// fill reads what messages hold, and returns those that cannot be read, and those
// for which there is no room. They, and those that are gone by now, are taken out
// of s.
func (p *Provider) fill(ctx context.Context, q *queue, n tableNames, s *leases) (bad []unread, left []found, err error) {
	at := make(map[int64]*found, len(s.found))
	all := make([]int64, len(s.found))
	for i := range s.found {
		at[s.found[i].id], all[i] = &s.found[i], s.found[i].id
	}
	slices.Sort(all) // what is left of a group is its end
	bad, more, err := p.contents(ctx, n, all, claimBytes, 0, func(id int64, c contents, key string) {
		if f := at[id]; f != nil {
			f.fill(c.body, c.headers)
			f.GroupKey = key
			delete(at, id)
		}
	})
	for i := range bad {
		bad[i].found = *at[bad[i].id]
	}
	for _, id := range more {
		at[id].left = true
	}
	s.found = slices.DeleteFunc(slices.Clone(s.found), func(f found) bool { return at[f.id] != nil && !f.left })
	return bad, s.split(), err
}

// contents reads what messages hold. It returns those that cannot be read, and those
// that are left once it has read most bytes. What is in neither, and was not got, is
// gone. cut is how much of a body is enough, 0 for all.
func (p *Provider) contents(ctx context.Context, n tableNames, ids []int64, most, cut int, got func(id int64, c contents, key string)) (bad []unread, left []int64, err error) {
	var more []any
	if cut > 0 {
		n.Cut, more = "$2", []any{cut}
	}
	text, seen, bytes := statement("bodies", n.measured()), make(map[int64]bool), 0
	read := func(limit time.Duration, ids ...int64) error {
		ctx, cancel := bounded(ctx, limit)
		defer cancel()
		var a array
		for _, id := range ids {
			a.int(id)
		}
		return query(ctx, p.pool, text, append([]any{a.String()}, more...), func(rows row) error {
			var id int64
			var c contents
			var key []byte
			err := rows.Scan(&id, &c.body, &c.headers, &key, &c.size)
			if err == nil {
				seen[id] = true
				bytes += len(c.body) + len(c.headers)
				got(id, c, string(key))
			}
			return err
		})
	}
	unseen := func() []int64 {
		return slices.DeleteFunc(slices.Clone(ids), func(id int64) bool { return seen[id] })
	}
	// The statement returns as many as fit, and one at least: if none of them comes
	// they are all gone.
	for rest := ids; len(rest) > 0 && bytes < most; rest = unseen() {
		before := len(seen)
		if read(togetherR, rest...) != nil {
			break
		}
		if len(seen) == before {
			return nil, nil, nil
		}
	}
	for _, id := range unseen() {
		if bytes >= most {
			left = append(left, id)
			continue
		}
		err := read(aloneR, id)
		switch {
		case err == nil || seen[id]:
		case ctx.Err() != nil: // what is left comes again
			return bad, left, mapError(err)
		case unprintable(err) || ended(err) != nil:
			bad = append(bad, unread{found: found{id: id}, err: err})
		default:
			return bad, left, readError(err)
		}
	}
	return bad, left, nil
}

// giveBack makes messages visible again for which there was no room.
func (p *Provider) giveBack(ctx context.Context, q *queue, left []found) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callLimit)
	defer cancel()
	nacks := make([]driver.Settlement, len(left))
	for i := range left {
		nacks[i] = driver.Settlement{Receipt: left[i].Receipt, Op: driver.OpNack, Uncounted: true}
	}
	if err := p.Settle(ctx, q.name, nacks); err != nil {
		p.log.Debug("pgmq: messages that there was no room for come back when their leases end", "queue", q.name, "error", err)
	}
}

// setAside takes messages out of the way that cannot be read: into the archive
// if it is known that they cannot, and else for a while.
func (p *Provider) setAside(ctx context.Context, q *queue, bad []unread) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callLimit)
	defer cancel()
	for _, b := range bad {
		why := receiveError(mapError(b.err))
		s := driver.Settlement{Receipt: b.Receipt, Op: driver.OpArchive, Reason: "mq: it cannot be read: " + why.Error()}
		archived := unprintable(b.err) && p.Settle(ctx, q.name, []driver.Settlement{s}) == nil
		if archived {
			p.log.Warn("pgmq: a message that cannot be read is in the archive now", "queue", q.name, "id", b.ID, "error", why)
			continue
		}
		s = driver.Settlement{Receipt: b.Receipt, Op: driver.OpNack, Delay: asideFor, Uncounted: true}
		err := p.Settle(ctx, q.name, []driver.Settlement{s})
		p.log.Warn("pgmq: a message cannot be read: it is passed over", "queue", q.name, "id", b.ID, "error", why, "again in", asideFor, "settle", err)
	}
}

// pageWarily is Browse where a row cannot be read. It is shown without a body.
func (p *Provider) pageWarily(ctx context.Context, q *queue, after int64, r driver.BrowseRequest) ([]driver.Record, error) {
	records, err := p.page(ctx, q, after, r, true)
	if err != nil {
		return nil, err
	}
	n := q.names.pagesOf(r)
	at, ids := make(map[int64]*driver.Record, len(records)), make([]int64, len(records))
	for i := range records {
		ids[i], _ = strconv.ParseInt(records[i].ID, 10, 64)
		at[ids[i]] = &records[i]
	}
	cut := cutAt(r)
	bad, _, err := p.contents(ctx, n, ids, math.MaxInt, cut, func(id int64, c contents, _ string) {
		c.fill(at[id], cut > 0)
	})
	for _, b := range bad {
		p.log.Warn("pgmq: a message cannot be read: it is shown without body and headers", "queue", q.name, "archive", r.Archive, "id", b.id, "error", receiveError(mapError(b.err)))
	}
	if err != nil {
		return nil, receiveError(err)
	}
	return records, nil
}

package pgmq

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strconv"
	"time"

	"github.com/portmq/mq/driver"
)

// Receive claims messages with one statement. While it waits it holds no
// connection.
func (p *Provider) Receive(ctx context.Context, name string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
	q, err := p.attach(ctx, p.pool, name)
	if err != nil {
		return nil, err
	}
	args := []any{r.Max, micros(r.Visibility)}
	return p.receive(ctx, q, r.Wait, false, func(ctx context.Context) ([]driver.Delivery, error) {
		return p.deliveries(ctx, q, q.texts.claim, args)
	})
}

// claimGrace is how long a claim may go on when its caller's ctx has ended,
// since what it has leased would be lost until the timeout. claimLimit is for
// a server that does not answer.
const (
	claimGrace = time.Second
	claimLimit = 30 * time.Second
)

// lingering returns a ctx that outlives ctx by claimGrace.
func lingering(ctx context.Context) (context.Context, func()) {
	c, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimLimit)
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(claimGrace, cancel) })
	return c, func() { stop(); cancel() }
}

// deliveries runs a statement that claims, and returns what it leased, oldest
// first.
func (p *Provider) deliveries(ctx context.Context, q *queue, text string, args []any) ([]driver.Delivery, error) {
	if err := p.check(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := lingering(ctx)
	defer cancel()
	var s leases
	err := p.run(ctx, q, text, args, func(rows row) error { return s.scan(rows, q.name) })
	if err != nil {
		return nil, err
	}
	return s.sorted(), nil
}

// leases reads rows of {{template "delivery"}}.
type leases struct {
	id            int64
	reads         int32
	sent, due     *time.Time // NULL where infinite
	body, headers []byte
	key           sql.NullString
	found         []found
}

type found struct {
	id int64
	driver.Delivery
}

func (s *leases) scan(rows row, queue string, more ...any) error {
	s.sent, s.due, s.body, s.headers = nil, nil, nil, nil
	dest := [...]any{&s.id, &s.reads, &s.sent, &s.due, &s.body, &s.headers, nil}
	n := 6 + copy(dest[6:], more)
	if err := rows.Scan(dest[:n]...); err != nil {
		return err
	}
	d := driver.Delivery{
		ID:         strconv.FormatInt(s.id, 10),
		Receipt:    receiptOf(s.id, s.reads, s.sent).encode(queue),
		ReadCount:  int(s.reads),
		EnqueuedAt: timeOf(s.sent),
		VisibleAt:  timeOf(s.due),
	}
	d.Body = decodeBody(s.body)
	d.Headers, d.Group = decodeHeaders(s.headers)
	s.found = append(s.found, found{s.id, d})
	return nil
}

func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// receiptOf returns the receipt of a lease. Other programs may write times
// that are infinite, or too far away for the arithmetic of the fence.
func receiptOf(id int64, reads int32, sent *time.Time) receipt {
	us := timeOf(sent).UnixMicro()
	if sent == nil || us != int64(float64(us)) {
		return receipt{id: id, fence: byReads, reads: reads}
	}
	return receipt{id: id, reads: reads, sentAt: us}
}

func (s *leases) sorted() []driver.Delivery {
	slices.SortFunc(s.found, func(a, b found) int { return cmp.Compare(a.id, b.id) })
	ds := make([]driver.Delivery, len(s.found))
	for i := range s.found {
		ds[i] = s.found[i].Delivery
	}
	return ds
}

// Pop claims and deletes with one statement.
func (p *Provider) Pop(ctx context.Context, name string, limit int) ([]driver.Delivery, error) {
	q, err := p.attach(ctx, p.pool, name)
	if err != nil {
		return nil, err
	}
	ds, err := p.deliveries(ctx, q, q.texts.pop, []any{limit})
	for i := range ds {
		ds[i].Receipt, ds[i].VisibleAt = "", time.Time{}
		ds[i].ReadCount++
	}
	return ds, err
}

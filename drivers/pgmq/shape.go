package pgmq

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/portmq/mq/driver"
)

// shape is what the tables of a queue look like: they differ between the
// versions of PGMQ, and other programs make theirs by hand.
type shape struct {
	Headers         bool     // since PGMQ 1.5
	LastReadAt      bool     // since 1.10
	ArchivedHeaders bool     // the archive's own
	Kept            []string // the columns that the queue and its archive share
	UniqueArchive   bool     // the archive takes each id once
	indexes         []string
	notifies        bool // there is a trigger that notifies of inserts
	partitioned     bool
	passing         bool // seen by a transaction that may see what is past
}

// archivable are the columns that an archived message keeps.
var archivable = []string{"msg_id", "read_ct", "enqueued_at", "last_read_at", "vt", "message", "headers"}

// columns sets what the catalog says of the two tables.
func (s *shape) columns(queue, archive []string) {
	s.Headers = slices.Contains(queue, "headers")
	s.LastReadAt = slices.Contains(queue, "last_read_at")
	s.ArchivedHeaders = slices.Contains(archive, "headers")
	for _, c := range archivable {
		if slices.Contains(queue, c) && slices.Contains(archive, c) {
			s.Kept = append(s.Kept, c)
		}
	}
}

// querier is a pool, or a caller's transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// readShape looks a queue up. A queue without an archive is not complete.
func readShape(ctx context.Context, q querier, queue string) (s shape, complete bool, err error) {
	found := false
	err = query(ctx, q, sqlShape, []any{"q_" + queue, "a_" + queue}, func(rows row) error {
		var columns, archived, indexes sql.NullString
		var current bool
		if err := rows.Scan(&columns, &archived, &indexes, &s.notifies, &s.UniqueArchive, &s.partitioned, &current); err != nil {
			return err
		}
		found, complete, s.passing = true, archived.Valid, !current
		s.columns(strings.Split(columns.String, ","), strings.Split(archived.String, ","))
		s.indexes = strings.Split(indexes.String, ",")
		return nil
	})
	switch {
	case err != nil:
		return s, false, readError(err)
	case !found:
		return s, false, driver.ErrQueueNotFound
	}
	return s, complete, nil
}

// shapeAge is how long a shape is believed: an index, or a column that came
// with an upgrade, is made use of after that. What is gone shows at once.
const shapeAge = 5 * time.Minute

// queue is what the provider knows of one queue.
type queue struct {
	name   string
	names  tableNames
	texts  texts
	readAt time.Time
	hub    *hub // outlives this

	trigger  sync.Mutex // guards what follows until it is known
	known    bool
	throttle time.Duration // of the trigger that notifies of inserts, 0 if there is none
	channels []string      // that it notifies
}

// attach returns the queue of that name, which it looks up by way of at if
// that was not done lately.
func (p *Provider) attach(ctx context.Context, at querier, name string) (*queue, error) {
	if err := p.check(ctx); err != nil {
		return nil, err
	}
	if v, ok := p.queues.Load(name); ok {
		if q := v.(*queue); time.Since(q.readAt) < shapeAge {
			return q, nil
		}
	}
	short, cancel := bounded(ctx, probeLimit)
	defer cancel()
	start := time.Now()
	s, _, err := readShape(short, at, name)
	p.links.checkSilence(short, start, err)
	if errors.Is(err, driver.ErrQueueNotFound) {
		p.forget(name)
	}
	if err != nil {
		p.queues.Delete(name)
		return nil, readErrorOf(ctx, err)
	}
	p.sweep()
	p.lookAtSettings(ctx)
	n, hub := namesOf(name, s, p.order()), p.hub(name)
	n.Plan = hub.planNow()
	q := &queue{name: name, names: n, texts: textsOf(n), readAt: time.Now(), hub: hub}
	if !s.passing || at == p.pool {
		p.queues.Store(name, q)
	}
	return q, nil
}

// detach forgets what is known of a queue if err says that it was wrong.
func (p *Provider) detach(name string, err error) {
	switch sqlState(err) {
	case "42P01", "42703", "3F000", "0A000":
		p.queues.Delete(name)
	}
}

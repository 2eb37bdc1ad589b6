package pgmq

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/portmq/mq/driver"
)

// groupIndexes returns the names of the two indexes of a grouping: there is no
// room in 63 bytes for the queue and a path. They are not made of groupKey, whose
// text may change.
func groupIndexes(queue string, by driver.GroupBy) (group, lease string) {
	key := `(headers ->> '` + headerGroup + `') COLLATE "C"`
	if by.Path != nil {
		key = `(message #>> ` + literal(groupPath(by)) + `) COLLATE "C"`
	}
	name := func(parts string) string {
		sum := sha256.Sum256([]byte(parts))
		return hex.EncodeToString(sum[:8])
	}
	return "mq_group_" + name(queue+"\x00"+key), "mq_lease_" + name(queue+"\x00"+key+"\x00UTC")
}

// indexPause is how often a program looks whether another has made an index.
const indexPause = 100 * time.Millisecond

// indexGroups makes the two indexes of a grouping without locking out those
// who use the queue. Programs that start together take turns: PostgreSQL ends
// index builds that wait for each other with a deadlock.
//
// Such a build waits for every transaction that began before it, anywhere in
// the database. It says so, and is cancelled with ctx.
func (p *Provider) indexGroups(ctx context.Context, name string, by driver.GroupBy) error {
	if err := p.checkGroupBy(by); err != nil {
		return err
	}
	defer p.queues.Delete(name)
	for {
		missing, err := p.missingIndexes(ctx, name, by)
		if err != nil || len(missing) == 0 {
			return err
		}
		if done, err := p.makeIndexes(ctx, name, by); done || err != nil {
			return err
		}
		select {
		case <-time.After(indexPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// index is an index to be made.
type index struct{ name, statement string }

func (p *Provider) missingIndexes(ctx context.Context, name string, by driver.GroupBy) (missing []index, err error) {
	s, _, err := readShape(ctx, p.pool, name)
	if err != nil {
		return nil, err
	}
	missing, err = indexesOf(name, s, by, "CONCURRENTLY ")
	if len(missing) > 0 && s.partitioned {
		return nil, fmt.Errorf("%w: queue %q is partitioned, and lacks indexes for its groups, %s: EnsureQueue would lock senders out (docs/pgmq.md, Groups, says how to make them)",
			driver.ErrNotSupported, name, namesOfIndexes(missing))
	}
	return missing, err
}

func namesOfIndexes(missing []index) string {
	names := make([]string, len(missing))
	for i := range missing {
		names[i] = missing[i].name
	}
	return strings.Join(names, " and ")
}

// indexesOf returns the indexes of a grouping that a queue lacks.
func indexesOf(name string, s shape, by driver.GroupBy, how string) (missing []index, err error) {
	n := namesOf(name, s, "")
	if by.Path == nil && !n.Headers {
		return nil, noHeaders(&queue{name: name})
	}
	n.Key = groupKey(by)
	group, lease := groupIndexes(name, by)
	data := struct {
		tableNames
		GroupIndex, LeaseIndex, Concurrently string
	}{n, ident(group), ident(lease), how}
	for _, x := range []index{{group, statement("make group index", data)}, {lease, statement("make lease index", data)}} {
		if !slices.Contains(s.indexes, x.name) {
			missing = append(missing, x)
		}
	}
	return missing, nil
}

// makeIndexes makes what is missing, unless another program is about to. The
// turn is a lock of a transaction that does nothing else meanwhile: PostgreSQL
// makes such indexes outside of transactions, and a lock of the session would
// outlast a pooler's.
func (p *Provider) makeIndexes(ctx context.Context, name string, by driver.GroupBy) (done bool, err error) {
	select {
	case p.indexing <- struct{}{}: // or those who hold a lock could use up the pool
		defer func() { <-p.indexing }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if p.db.Stats().MaxOpenConnections == 1 { // no second connection for the lock
		return true, p.buildMissing(ctx, name, by)
	}
	err = p.inTx(ctx, func(tx *sql.Tx) error {
		err := query(ctx, tx, statement("try lock indexes", nil), []any{name}, func(rows row) error { return rows.Scan(&done) })
		if err == nil && done {
			err = exec(ctx, tx, statement("drop snapshot", nil))
		}
		if err != nil || !done {
			return err
		}
		return p.buildMissing(ctx, name, by)
	})
	return done, err
}

// buildMissing makes an index that an earlier attempt left invalid again.
func (p *Provider) buildMissing(ctx context.Context, name string, by driver.GroupBy) error {
	missing, err := p.missingIndexes(ctx, name, by)
	for _, x := range missing {
		if err == nil {
			err = p.build(ctx, name, statement("drop index", ident(x.name)))
		}
		if err == nil {
			err = p.build(ctx, name, x.statement)
		}
	}
	return err
}

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
// text may change. The second one covers leases, or all messages by due time if the
// limit is above 1.
func groupIndexes(queue string, by driver.GroupBy) (group, lease string) {
	key := `(headers ->> ` + groupHeader(by) + `) COLLATE "C"`
	if by.Path != nil {
		key = `(message #>> ` + literal(groupPath(by)) + `) COLLATE "C"`
	}
	name := func(parts string) string {
		sum := sha256.Sum256([]byte(parts))
		return hex.EncodeToString(sum[:8])
	}
	group = "mq_group_" + name(queue+"\x00"+key)
	if by.MaxLeases() > 1 {
		return group, "mq_due_" + name(queue+"\x00"+key)
	}
	return group, "mq_lease_" + name(queue+"\x00"+key+"\x00UTC")
}

// The pauses while another session makes an index.
const minIndexPause, maxIndexPause = 100 * time.Millisecond, time.Second

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
	var rival *session
	var err error
	begun, logged, again := time.Now(), false, minIndexPause
	for {
		rival, err = p.makeIndexes(ctx, name, by, rival)
		switch {
		case rival != nil && ctx.Err() != nil:
			return &waitError{*rival, ctx.Err()}
		case rival == nil || err != nil:
			return err
		}
		if !logged && time.Since(begun) >= tellAfter {
			ddl{p.db, p.log, name}.tell(*rival)
			logged = true
		}
		if !pause(ctx, again) {
			return &waitError{*rival, ctx.Err()}
		}
		again = min(2*again, maxIndexPause)
	}
}

// index is an index to be made.
type index struct{ name, statement string }

func (p *Provider) missingIndexes(ctx context.Context, name string, by driver.GroupBy) (missing []index, err error) {
	short, cancel := bounded(ctx, probeLimit)
	defer cancel()
	s, _, err := readShape(short, p.pool, name)
	if err != nil {
		return nil, readErrorOf(ctx, err)
	}
	missing, err = indexesOf(name, s, by, true)
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
func indexesOf(name string, s shape, by driver.GroupBy, concurrently bool) (missing []index, err error) {
	n := namesOf(name, s, "")
	if by.Path == nil && !n.Headers {
		return nil, noHeaders(&queue{name: name})
	}
	n.Key, n.Limited = groupKey(by), by.MaxLeases() > 1
	group, lease := groupIndexes(name, by)
	data := struct {
		tableNames
		GroupIndex, LeaseIndex string
		Concurrently           bool
	}{n, ident(group), ident(lease), concurrently}
	for _, x := range []index{{group, statement("make group index", data)}, {lease, statement("make lease index", data)}} {
		if !slices.Contains(s.indexes, x.name) {
			missing = append(missing, x)
		}
	}
	return missing, nil
}

// makeIndexes makes what is missing. If it is another session's turn it makes
// nothing and returns that session. With an error it returns before, the session
// whose turn it was when last seen, unless that is over for all that is known.
//
// Two things show whose turn it is. One is a lock of a transaction that does
// nothing else, and lasts as long as the build: PostgreSQL makes such indexes
// outside of transactions, and a lock of the session would outlast the use of a
// pooler's session. The other is the build itself, since that transaction may end
// earlier, with its connection or by a timeout of the server, and a build may go
// on without its client.
func (p *Provider) makeIndexes(ctx context.Context, name string, by driver.GroupBy, before *session) (rival *session, err error) {
	if err := p.check(ctx); err != nil {
		return before, err
	}
	missing, err := p.missingIndexes(ctx, name, by)
	switch {
	case err != nil:
		return before, err
	case len(missing) == 0:
		return nil, nil
	}
	begun := time.Now()
	select {
	case p.indexing <- struct{}{}: // or those who hold a lock could use up the pool
		defer func() { <-p.indexing }()
	case <-ctx.Done():
		if time.Since(begun) > callLimit { // longer than a look at whose turn it is takes: we build another index
			before = nil
		}
		return before, ctx.Err()
	case <-p.ctx.Done():
		return nil, driver.ErrClosed
	}
	rival, end, err := p.takeTurn(ctx, name)
	switch {
	case err != nil:
		return before, p.rightNode(readErrorOf(ctx, err))
	case rival != nil:
		return rival, nil
	}
	defer end()
	return nil, p.rightNode(p.buildMissing(ctx, name, by))
}

// takeTurn returns the session whose turn it is, or, if it is ours, a function that
// ends it. That does not wait for a server that is silent.
func (p *Provider) takeTurn(ctx context.Context, name string) (rival *session, end func(), err error) {
	held, cancel := context.WithCancel(ctx)
	limit := time.AfterFunc(callLimit, cancel)
	defer limit.Stop()
	if p.db.Stats().MaxOpenConnections == 1 { // no second connection for the lock
		if rival, err = indexer(held, p.db, name); err != nil || rival != nil {
			cancel()
		}
		return rival, cancel, err
	}
	tx, err := p.db.BeginTx(held, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		cancel()
		return nil, nil, noneFree(held, err, p.db)
	}
	end = func() { // how the transaction ends does not matter
		defer cancel()
		defer time.AfterFunc(probeLimit, cancel).Stop()
		_ = tx.Rollback()
	}
	locked := false
	err = query(held, tx, statement("try lock indexes", nil), []any{name}, func(rows row) error { return rows.Scan(&locked) })
	if err == nil {
		rival, err = indexer(held, tx, name)
	}
	if err == nil && !locked && rival == nil {
		rival = new(session)
	}
	if err == nil && rival == nil {
		err = exec(held, tx, statement("drop snapshot", nil))
	}
	if err != nil || rival != nil {
		end()
	}
	return rival, end, err
}

// indexer returns the session that is building an index of the queue, or whose turn
// it is to build one, or nil.
func indexer(ctx context.Context, at querier, name string) (who *session, err error) {
	err = query(ctx, at, statement("indexer", nil), []any{name}, func(rows row) error {
		s, err := scanSession(rows)
		who = &s
		return err
	})
	return who, err
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

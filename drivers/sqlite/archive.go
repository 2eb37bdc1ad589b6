package sqlite

import (
	"context"
	"database/sql"
	"time"
)

// Redrive makes new messages of archived ones, in the order of ids, or of their ages
// without ids. It needs several transactions for many.
func (p *Provider) Redrive(ctx context.Context, name string, ids []string, limit int) (total int64, err error) {
	numbers := parseIDs(ids)
	all := len(ids) == 0
	for first := true; ; first = false {
		n := min(limit-int(total), chunk)
		part := numbers
		if !all {
			n = min(n, len(numbers))
			part, numbers = numbers[:n], numbers[n:]
		}
		if n <= 0 && !first {
			return total, nil
		}
		var done int64
		err := p.write(ctx, func(t *txn) (err error) {
			done, err = t.redrive(name, part, all, n)
			return err
		})
		if err != nil {
			return total, err
		}
		if total += done; all && done < int64(n) {
			return total, nil
		}
	}
}

// archived is a row of the archive that is to leave it.
type archived struct {
	id, size int64
	grouped  bool
}

// redrive moves one part: the messages with the numbers, or the n first ones.
func (t *txn) redrive(name string, numbers []int64, all bool, n int) (int64, error) {
	q, err := t.queue(name)
	if err != nil || n <= 0 {
		return 0, err
	}
	text, args := sqlArchivedFirst, []any{messageID(q.id, 0), messageID(q.id+1, 0), n}
	if !all {
		text, args = sqlArchived, []any{idList(idsOf(q.id, numbers))}
	}
	found, err := t.archived(text, args...)
	if err != nil {
		return 0, err
	}
	return t.putBack(name, found)
}

// archived returns rows of the archive, each once.
func (t *txn) archived(text string, args ...any) (found []archived, err error) {
	err = t.query(func(rows *sql.Rows) error {
		var a archived
		err := rows.Scan(&a.id, &a.size, &a.grouped)
		found = append(found, a)
		return err
	}, text, args...)
	return unique(found), err
}

// parseIDs leaves out what cannot be an id.
func parseIDs(ids []string) (numbers []int64) {
	for _, id := range ids {
		if number, ok := parseID(id); ok {
			numbers = append(numbers, number)
		}
	}
	return numbers
}

func idsOf(queue int64, numbers []int64) []int64 {
	ids := make([]int64, len(numbers))
	for i, number := range numbers {
		ids[i] = messageID(queue, number)
	}
	return ids
}

// unique leaves out what comes again.
func unique(found []archived) (once []archived) {
	seen := make(map[int64]bool, len(found))
	for _, a := range found {
		if !seen[a.id] {
			seen[a.id] = true
			once = append(once, a)
		}
	}
	return once
}

// putBack makes new messages of archived ones.
func (t *txn) putBack(name string, found []archived) (int64, error) {
	grouped := 0
	for _, a := range found {
		if a.grouped {
			grouped = 1
		}
	}
	q, last, err := t.reserve(name, int64(len(found)), grouped)
	if err != nil || len(found) == 0 {
		return 0, err
	}
	first := last - int64(len(found)) + 1
	old := make([]int64, len(found))
	for i, a := range found {
		old[i] = a.id
		id := messageID(q.id, first+int64(i))
		if _, err := t.exec(sqlRedrive, a.id, id, t.now, name+"/"+formatID(a.id)); err != nil {
			return 0, err
		}
		if a.size > inlineBody {
			if _, err := t.exec(sqlMoveBody, a.id, id); err != nil {
				return 0, err
			}
		}
	}
	if _, err := t.exec(sqlUnarchive, idList(old)); err != nil {
		return 0, err
	}
	t.counts.of(q.id).archived -= int64(len(found))
	t.wake(name)
	return int64(len(found)), t.enter(q, first, last)
}

// PurgeArchive deletes what was archived olderThan ago or before that. It needs several
// transactions for much.
func (p *Provider) PurgeArchive(ctx context.Context, name string, olderThan time.Duration) (int64, error) {
	var q queueRow
	var before int64
	err := p.write(ctx, func(t *txn) (err error) {
		before = t.now - olderThan.Microseconds()
		q, err = t.queue(name)
		return err
	})
	if err != nil {
		return 0, err
	}
	return p.purgeArchive(ctx, q.id, before)
}

func (p *Provider) purgeArchive(ctx context.Context, queue, before int64) (n int64, err error) {
	for {
		var ids []int64
		err := p.write(ctx, func(t *txn) (err error) {
			ids, err = t.purgeArchive(queue, before)
			return err
		})
		if err != nil {
			return n, err
		}
		if n += int64(len(ids)); len(ids) < chunk {
			return n, nil
		}
	}
}

// purgeArchive removes some of the archive's rows.
func (t *txn) purgeArchive(queue, before int64) (ids []int64, err error) {
	large := false
	err = t.query(func(rows *sql.Rows) error {
		var a archived
		err := rows.Scan(&a.id, &a.size)
		ids = append(ids, a.id)
		large = large || a.size > inlineBody
		return err
	}, sqlArchivedBefore, queue, before, chunk)
	if err != nil {
		return nil, err
	}
	return ids, t.removeArchived(queue, ids, large)
}

// removeArchived removes rows of the archive, and their bodies.
func (t *txn) removeArchived(queue int64, ids []int64, bodies bool) error {
	if len(ids) == 0 {
		return nil
	}
	list := idList(ids)
	n, err := t.exec(sqlUnarchive, list)
	if err == nil && bodies {
		_, err = t.exec(sqlDeleteBodies, list)
	}
	t.counts.of(queue).archived -= n
	return err
}

package mem

import (
	"cmp"
	"iter"
	"slices"
)

// table holds values in the order of their ids. Ids mostly arrive at the end
// and leave at the front, but may do either anywhere. The rows are in blocks,
// so that no insertion or deletion moves more than one of them.
type table[V any] struct {
	blocks []block[V] // if there are several, none of them is empty
	n      int
}

type block[V any] struct {
	first uint64 // not above the id of any row
	rows  []row[V]
}

type row[V any] struct {
	id uint64
	v  V
}

const blockSize = 128

func (t *table[V]) len() int { return t.n }

func (t *table[V]) get(id uint64) (v V, ok bool) {
	b, r, ok := t.search(id)
	if ok {
		v = t.blocks[b].rows[r].v
	}
	return v, ok
}

// first returns the value with the lowest id.
func (t *table[V]) first() (v V, ok bool) {
	if t.n == 0 {
		return v, false
	}
	return t.blocks[0].rows[0].v, true
}

// last returns the value with the highest id.
func (t *table[V]) last() (v V, ok bool) {
	if t.n == 0 {
		return v, false
	}
	rows := t.blocks[len(t.blocks)-1].rows
	return rows[len(rows)-1].v, true
}

// after yields the values whose ids are above id. The table must not change
// meanwhile.
func (t *table[V]) after(id uint64) iter.Seq[V] {
	return func(yield func(V) bool) {
		b, r, ok := t.search(id)
		if ok {
			r++
		}
		for ; b < len(t.blocks); b, r = b+1, 0 {
			for _, row := range t.blocks[b].rows[r:] {
				if !yield(row.v) {
					return
				}
			}
		}
	}
}

// before yields the values whose ids are below id, the highest first. The table must not
// change meanwhile.
func (t *table[V]) before(id uint64) iter.Seq[V] {
	return func(yield func(V) bool) {
		b, r, _ := t.search(id)
		for ; b >= 0 && len(t.blocks) > 0; b-- {
			rows := t.blocks[min(b, len(t.blocks)-1)].rows
			for i := min(r, len(rows)) - 1; i >= 0; i-- {
				if !yield(rows[i].v) {
					return
				}
			}
			r = blockSize
		}
	}
}

// only yields the values of those ids that are there.
func (t *table[V]) only(ids []uint64) iter.Seq[V] {
	return func(yield func(V) bool) {
		for _, id := range ids {
			if v, ok := t.get(id); ok && !yield(v) {
				return
			}
		}
	}
}

// search returns the place of id, or where it would be inserted.
func (t *table[V]) search(id uint64) (b, r int, ok bool) {
	if len(t.blocks) == 0 {
		return 0, 0, false
	}
	b = t.blockOf(id)
	r, ok = slices.BinarySearchFunc(t.blocks[b].rows, id, func(r row[V], id uint64) int {
		return cmp.Compare(r.id, id)
	})
	return b, r, ok
}

// blockOf returns the block that id belongs to. It is mostly the last one, for
// what arrives, or the first one, for what leaves.
func (t *table[V]) blockOf(id uint64) int {
	last := len(t.blocks) - 1
	switch {
	case id >= t.blocks[last].first:
		return last
	case last == 0 || id < t.blocks[1].first:
		return 0
	}
	b, ok := slices.BinarySearchFunc(t.blocks, id, func(b block[V], id uint64) int {
		return cmp.Compare(b.first, id)
	})
	if !ok {
		b--
	}
	return b
}

// put inserts v under an id that is not in the table.
func (t *table[V]) put(id uint64, v V) {
	b, r, _ := t.search(id)
	switch {
	case b == len(t.blocks):
		t.blocks = append(t.blocks, block[V]{first: id})
	case len(t.blocks[b].rows) == blockSize:
		b, r = t.split(b, r, id)
	}
	to := &t.blocks[b]
	to.first = min(to.first, id)
	to.rows = slices.Insert(to.rows, r, row[V]{id, v})
	t.n++
}

// split makes room for id, at row r of the full block b, and returns its place.
func (t *table[V]) split(b, r int, id uint64) (int, int) {
	if r == blockSize { // in order: leave the block full
		t.blocks = slices.Insert(t.blocks, b+1, block[V]{id, make([]row[V], 0, blockSize)})
		return b + 1, 0
	}
	const half = blockSize / 2
	rows := t.blocks[b].rows
	right := append(make([]row[V], 0, blockSize), rows[half:]...)
	clear(rows[half:])
	t.blocks[b].rows = rows[:half]
	t.blocks = slices.Insert(t.blocks, b+1, block[V]{right[0].id, right})
	if r <= half {
		return b, r
	}
	return b + 1, r - half
}

func (t *table[V]) delete(id uint64) {
	b, r, ok := t.search(id)
	if !ok {
		return
	}
	at := &t.blocks[b]
	at.rows = drop(at.rows, r)
	t.n--
	switch {
	case t.n == 0: // keep the block for the next message
	case len(at.rows) == 0:
		t.blocks = trim(drop(t.blocks, b))
	case b+1 < len(t.blocks) && len(at.rows)+len(t.blocks[b+1].rows) <= blockSize/2:
		at.rows = append(at.rows, t.blocks[b+1].rows...)
		t.blocks = trim(drop(t.blocks, b+1))
	}
}

// drop removes s[i]. At the front, where most leave, it moves nothing, unless
// s would lose the last of its room.
func drop[S ~[]E, E any](s S, i int) S {
	if i > 0 || len(s) == 1 {
		return slices.Delete(s, i, i+1)
	}
	clear(s[:1])
	return s[1:]
}

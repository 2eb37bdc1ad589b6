package mem

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// tableModel is a table without its cleverness.
type tableModel map[uint64]string

func requireTable(t *testing.T, tab *table[string], want tableModel) {
	t.Helper()
	ids := slices.Sorted(maps.Keys(want))
	var values []string
	for _, id := range ids {
		values = append(values, want[id])
	}
	if got := slices.Collect(tab.after(0)); !slices.Equal(got, values) || tab.len() != len(want) {
		t.Fatalf("the table has %d values %v, want %v", tab.len(), got, values)
	}
	first, ok1 := tab.first()
	last, ok2 := tab.last()
	if ok1 != (len(ids) > 0) || ok2 != ok1 {
		t.Fatalf("first: %v, last: %v with %d values", ok1, ok2, len(ids))
	}
	if ok1 && (first != values[0] || last != values[len(values)-1]) {
		t.Fatalf("first %q, last %q", first, last)
	}
	for i, b := range tab.blocks {
		if len(b.rows) > 0 && b.first > b.rows[0].id {
			t.Fatalf("block %d begins with %d, before %d", i, b.rows[0].id, b.first)
		}
		for _, r := range b.rows[len(b.rows):cap(b.rows)] {
			if r.v != "" {
				t.Fatalf("block %d still refers to %q", i, r.v)
			}
		}
		if len(b.rows) > blockSize || len(b.rows) == 0 && len(tab.blocks) > 1 {
			t.Fatalf("block %d has %d rows", i, len(b.rows))
		}
	}
}

func TestTable(t *testing.T) {
	tests := []struct {
		name   string
		insert func(rnd *rand.Rand, last uint64) uint64
		pick   func(rnd *rand.Rand, ids []uint64) int
	}{
		{"queue", next, oldest},
		{"stack", next, newest},
		{"random", anywhere, random},
		{"late", late, random},
		{"gaps", next, random},
		{"backwards", downwards, oldest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(1, 2))
			var tab table[string]
			want := tableModel{}
			var ids []uint64 // sorted
			last := uint64(1 << 40)
			for i := range 4000 {
				growing := i/1000%2 == 0
				if (rnd.IntN(4) > 0) == growing || len(ids) == 0 {
					id := tt.insert(rnd, last)
					at, has := slices.BinarySearch(ids, id)
					if has {
						continue
					}
					ids = slices.Insert(ids, at, id)
					last = max(last, id)
					want[id] = fmt.Sprint(id)
					tab.put(id, want[id])
				} else {
					at := tt.pick(rnd, ids)
					delete(want, ids[at])
					tab.delete(ids[at])
					ids = slices.Delete(ids, at, at+1)
				}
				probe := last - uint64(rnd.IntN(100))
				if got, ok := tab.get(probe); got != want[probe] || ok != (want[probe] != "") {
					t.Fatalf("get(%d) = %q, %v, want %q", probe, got, ok, want[probe])
				}
				if i%50 == 0 {
					requireTable(t, &tab, want)
				}
			}
			for id := range want {
				tab.delete(id)
				tab.delete(id) // nothing to delete
			}
			requireTable(t, &tab, tableModel{})
		})
	}
}

func next(_ *rand.Rand, last uint64) uint64        { return last + 1 }
func anywhere(rnd *rand.Rand, last uint64) uint64  { return last - 500 + rnd.Uint64N(1000) }
func late(rnd *rand.Rand, last uint64) uint64      { return last + 5 - rnd.Uint64N(10) }
func downwards(rnd *rand.Rand, last uint64) uint64 { return last - rnd.Uint64N(1<<39) }

func oldest(*rand.Rand, []uint64) int         { return 0 }
func newest(_ *rand.Rand, ids []uint64) int   { return len(ids) - 1 }
func random(rnd *rand.Rand, ids []uint64) int { return rnd.IntN(len(ids)) }

func TestTableAfter(t *testing.T) {
	var tab table[uint64]
	for id := uint64(10); id <= 5000; id += 10 {
		tab.put(id, id)
	}
	for _, tt := range []struct{ after, want uint64 }{
		{0, 10}, {9, 10}, {10, 20}, {15, 20}, {1280, 1290}, {1281, 1290}, {4999, 5000}, {5000, 0}, {9999, 0},
	} {
		got := uint64(0)
		for id := range tab.after(tt.after) {
			got = id
			break
		}
		if got != tt.want {
			t.Errorf("after %d comes %d, want %d", tt.after, got, tt.want)
		}
	}
}

func TestTableShrinks(t *testing.T) {
	const n, left = 100 * blockSize, 100
	inOrder := make([]int, n)
	for i := range inOrder {
		inOrder[i] = i
	}
	for name, order := range map[string][]int{
		"in order": inOrder,
		"random":   rand.New(rand.NewPCG(3, 3)).Perm(n),
	} {
		var tab table[int]
		for i := range n {
			tab.put(uint64(i+1), i)
		}
		if len(tab.blocks) != n/blockSize {
			t.Errorf("%d values are in %d blocks", n, len(tab.blocks))
		}
		for _, i := range order[:n-left] {
			tab.delete(uint64(i + 1))
		}
		rows := 0
		for _, b := range tab.blocks {
			rows += cap(b.rows)
		}
		if tab.len() != left || rows > 8*left || cap(tab.blocks) > 64 {
			t.Errorf("%s: %d values are in %d rows and %d blocks", name, tab.len(), rows, cap(tab.blocks))
		}
	}
}

// TestTableReusesItsBlock is about a queue that is mostly empty.
func TestTableReusesItsBlock(t *testing.T) {
	var tab table[int]
	id := uint64(0)
	allocs := testing.AllocsPerRun(1000, func() {
		id++
		tab.put(id, 0)
		tab.delete(id)
	})
	if allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
}

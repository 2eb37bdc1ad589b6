package mem

import (
	"math/rand/v2"
	"slices"
	"testing"
)

type number struct {
	n    int
	slot int32
}

func (x *number) before(y *number) bool { return x.n < y.n }
func (x *number) place() *int32         { return &x.slot }

func TestHeap(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	var h heap[*number]
	var all []*number
	for range 3000 {
		switch op := rnd.IntN(8); {
		case op < 4 || len(all) == 0:
			x := &number{n: rnd.IntN(1000)}
			h.push(x)
			all = append(all, x)
		case op < 6:
			i := rnd.IntN(len(all))
			h.remove(all[i])
			all = slices.Delete(all, i, i+1)
		case op < 7:
			x := all[rnd.IntN(len(all))]
			x.n = rnd.IntN(1000)
			h.fix(x)
		default:
			x := h.min()
			h.remove(x)
			all = slices.DeleteFunc(all, func(y *number) bool { return x == y })
		}
		requireHeap(t, &h, all)
	}
	for len(all) > 0 {
		least := slices.MinFunc(all, func(a, b *number) int { return a.n - b.n })
		if h.min().n != least.n {
			t.Fatalf("the minimum is %d, want %d", h.min().n, least.n)
		}
		x := h.min()
		h.remove(x)
		all = slices.DeleteFunc(all, func(y *number) bool { return x == y })
	}
	if h.len() != 0 {
		t.Errorf("%d items are left", h.len())
	}
}

func requireHeap(t *testing.T, h *heap[*number], all []*number) {
	t.Helper()
	if h.len() != len(all) {
		t.Fatalf("%d items, want %d", h.len(), len(all))
	}
	for _, x := range h.items[len(h.items):cap(h.items)] {
		if x != nil {
			t.Fatalf("the heap still refers to %v", x)
		}
	}
	for i, x := range h.items {
		if int(x.slot) != i {
			t.Fatalf("item %d believes to be at %d", i, x.slot)
		}
		if i > 0 && x.before(h.items[(i-1)/2]) {
			t.Fatalf("item %d is before its parent", i)
		}
	}
}

func TestHeapShrinks(t *testing.T) {
	var h heap[*number]
	for i := range 10_000 {
		h.push(&number{n: i})
	}
	for h.len() > 10 {
		h.remove(h.min())
	}
	if c := cap(h.items); c > 100 {
		t.Errorf("room for %d items is kept for %d", c, h.len())
	}
	if got := h.min().n; got != 9990 {
		t.Errorf("the minimum is %d, want 9990", got)
	}
}

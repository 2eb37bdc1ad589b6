package mem

// heap is a min-heap whose items know their place in it, so that any of them
// can be removed.
type heap[T heapItem[T]] struct{ items []T }

type heapItem[T any] interface {
	before(T) bool
	// place is where the heap keeps the item's index.
	place() *int32
}

func (h *heap[T]) len() int { return len(h.items) }

// min returns the first item of a heap that is not empty.
func (h *heap[T]) min() T { return h.items[0] }

func (h *heap[T]) push(x T) {
	h.items = append(h.items, x)
	h.up(len(h.items) - 1)
}

func (h *heap[T]) remove(x T) {
	i, last := int(*x.place()), len(h.items)-1
	moved := h.items[last]
	var zero T
	h.items[last] = zero
	h.items = trim(h.items[:last])
	if i < last {
		h.items[i] = moved
		h.down(h.up(i))
	}
}

// fix restores the order after the key of x has changed.
func (h *heap[T]) fix(x T) { h.down(h.up(int(*x.place()))) }

// up moves the item at i to its place among those above, and returns it.
func (h *heap[T]) up(i int) int {
	x := h.items[i]
	for i > 0 {
		parent := (i - 1) / 2
		if !x.before(h.items[parent]) {
			break
		}
		h.set(i, h.items[parent])
		i = parent
	}
	h.set(i, x)
	return i
}

// down moves the item at i to its place among those below.
func (h *heap[T]) down(i int) {
	x := h.items[i]
	for {
		child := 2*i + 1
		if child >= len(h.items) {
			break
		}
		if right := child + 1; right < len(h.items) && h.items[right].before(h.items[child]) {
			child = right
		}
		if !h.items[child].before(x) {
			break
		}
		h.set(i, h.items[child])
		i = child
	}
	h.set(i, x)
}

func (h *heap[T]) set(i int, x T) {
	h.items[i] = x
	*x.place() = int32(i)
}

// trim gives memory back once three quarters of it are unused.
func trim[S ~[]E, E any](s S) S {
	if cap(s) <= 64 || len(s) > cap(s)/4 {
		return s
	}
	return append(make(S, 0, 2*len(s)), s...)
}

package main

import (
	"bytes"
	"container/heap"
	"context"
	"errors"
	"sync"
	"time"
)

// toy is the least that can be called a queue with visibility timeouts: a
// mutex and a heap of deadlines. It has no receipts, so that a worker whose
// time ran out deletes what another one holds, and it cannot wait, delay,
// validate or close. It stands for what no real queue can do without.
type toy struct {
	mu    sync.Mutex
	last  int
	items map[int]*toyItem
	due   toyHeap
}

type toyItem struct {
	id      int
	body    []byte
	visible time.Time
	index   int
}

func openToy(int) (peer, error) { return &toy{items: map[int]*toyItem{}}, nil }

func (t *toy) Send(_ context.Context, body []byte) error {
	item := &toyItem{body: bytes.Clone(body), visible: time.Now()}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	item.id = t.last
	t.items[item.id] = item
	heap.Push(&t.due, item)
	return nil
}

func (t *toy) receive(visibility time.Duration) (id int, body []byte, ok bool) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.due) == 0 || t.due[0].visible.After(now) {
		return 0, nil, false
	}
	item := t.due[0]
	item.visible = now.Add(visibility)
	heap.Fix(&t.due, 0)
	return item.id, item.body, true
}

func (t *toy) ack(id int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if item := t.items[id]; item != nil {
		delete(t.items, id)
		heap.Remove(&t.due, item.index)
	}
}

func (t *toy) Drain(_ context.Context, workers, n int) error {
	return parallel(workers, n, func() error {
		id, _, ok := t.receive(30 * time.Second)
		if !ok {
			return errors.New("toy: a message is missing")
		}
		t.ack(id)
		return nil
	})
}

func (t *toy) Close() {}

type toyHeap []*toyItem

func (h toyHeap) Len() int           { return len(h) }
func (h toyHeap) Less(i, j int) bool { return h[i].visible.Before(h[j].visible) }
func (h toyHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].index, h[j].index = i, j }
func (h *toyHeap) Push(x any)        { x.(*toyItem).index = len(*h); *h = append(*h, x.(*toyItem)) }

func (h *toyHeap) Pop() any {
	old := *h
	last := len(old) - 1
	item := old[last]
	old[last] = nil
	*h = old[:last]
	return item
}

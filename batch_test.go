package mq

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

// tower records the flights of a lane: each takes a second.
type tower struct {
	mu      sync.Mutex
	flights [][]int
	now     int // flights in the air
	most    int
	err     func(items []int) error
}

func (w *tower) fly(ctx context.Context, items []int) ([]string, error) {
	w.mu.Lock()
	w.flights = append(w.flights, slices.Clone(items))
	w.now++
	w.most = max(w.most, w.now)
	w.mu.Unlock()
	err := sleep(ctx, time.Second)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now--
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	ids := make([]string, len(items))
	for i, it := range items {
		ids[i] = strconv.Itoa(it)
	}
	if w.err != nil {
		return ids, w.err(items)
	}
	return ids, nil
}

func newLane(w *tower, limit int) *lane[int] {
	c := &Client{flights: context.Background(), caps: driver.Caps{MaxBatch: limit}, cfg: Config{}.withDefaults()}
	return &lane[int]{client: c, fly: w.fly, size: func(int) int { return 1 << 10 }}
}

// fleet calls do from n goroutines, one after the other.
func fleet(n int, do func(i int)) *sync.WaitGroup {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { do(i) })
		synctest.Wait()
	}
	return &wg
}

func TestLaneMerges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(tower)
		l := newLane(w, 100)
		start := time.Now()
		fleet(10, func(i int) {
			ids, err := l.do(t.Context(), []int{i})
			if err != nil || len(ids) != 1 || ids[0] != strconv.Itoa(i) {
				t.Errorf("do(%d) = %v, %v", i, ids, err)
			}
		}).Wait()
		if got, want := fmt.Sprint(w.flights), "[[0] [1] [2 3 4 5 6 7 8 9]]"; got != want {
			t.Errorf("flights = %v, want %v", got, want)
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %v, want 2s", took)
		}
		synctest.Wait()
		if l.flights != 0 || l.client.tasks.n != 0 {
			t.Errorf("%d flights and %d tasks left", l.flights, l.client.tasks.n)
		}
	})
}

func TestLaneKeepsLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(tower)
		l := newLane(w, 4)
		fleet(2, func(i int) {
			ids, err := l.do(t.Context(), []int{10 * i, 10*i + 1, 10*i + 2, 10*i + 3, 10*i + 4, 10*i + 5})
			if err != nil || len(ids) != 6 || ids[5] != strconv.Itoa(10*i+5) {
				t.Errorf("ids = %v, %v", ids, err)
			}
		}).Wait()
		fleet(12, func(i int) { _, _ = l.do(t.Context(), []int{i, i, i}) }).Wait()
		for _, f := range w.flights {
			if len(f) > 4 {
				t.Errorf("flight of %d items, the limit is 4", len(f))
			}
		}
		if w.most > driver.DefaultFlights {
			t.Errorf("%d flights at once", w.most)
		}
	})
}

func TestLaneFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(tower)
		l := newLane(w, 100)
		l.client.caps.Flights = 4
		fleet(7, func(i int) { _, _ = l.do(t.Context(), []int{i}) }).Wait()
		if got, want := fmt.Sprint(w.flights), "[[0] [1] [2] [3] [4 5 6]]"; got != want {
			t.Errorf("flights = %v, want %v", got, want)
		}
	})
}

func TestLaneKeepsByteLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(tower)
		l := newLane(w, 1000)
		l.size = func(int) int { return maxFlightBytes / 2 }
		fleet(8, func(i int) { _, _ = l.do(t.Context(), []int{i}) }).Wait()
		for _, f := range w.flights {
			if len(f) > 2 {
				t.Errorf("flight of %d bytes", len(f)*maxFlightBytes/2)
			}
		}
	})
}

var errBad = errors.New("bad item")

// rejectSeven fails a whole batch because of one item.
func rejectSeven(err error) func([]int) error {
	return func(items []int) error {
		if slices.Contains(items, 7) {
			return &providerError{err}
		}
		return nil
	}
}

func TestLaneResendsPartsAlone(t *testing.T) {
	for _, tt := range []struct {
		name    string
		err     error
		failed  string // the callers that see an error
		flights int
	}{
		{"definite", errBad, "[7]", 2 + 1 + 8},
		{"unavailable", ErrUnavailable, "[2 3 4 5 6 7 8 9]", 3},
		{"no connection", ErrBadConn, "[2 3 4 5 6 7 8 9]", 3},
		{"queue not found", ErrQueueNotFound, "[2 3 4 5 6 7 8 9]", 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &tower{err: rejectSeven(tt.err)}
				l := newLane(w, 100)
				failed := make([]bool, 10)
				fleet(10, func(i int) {
					_, err := l.do(t.Context(), []int{i})
					failed[i] = err != nil
				}).Wait()
				var got []int
				for i, f := range failed {
					if f {
						got = append(got, i)
					}
				}
				if fmt.Sprint(got) != tt.failed || len(w.flights) != tt.flights {
					t.Errorf("failed %v, %d flights %v; want %v, %d", got, len(w.flights), w.flights, tt.failed, tt.flights)
				}
			})
		})
	}
}

func TestLaneItemErrorsReachTheirCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &tower{err: func(items []int) error {
			errs := make([]error, len(items))
			for i, it := range items {
				if it%3 == 0 {
					errs[i] = errBad
				}
			}
			return theirs(driver.Batch(errs))
		}}
		l := newLane(w, 100)
		fleet(10, func(i int) {
			ids, err := l.do(t.Context(), []int{i, i + 1})
			var batch *BatchError
			if bad := i%3 != 1; bad != errors.As(err, &batch) {
				t.Errorf("do(%d) = %v, %v", i, ids, err)
			} else if bad && (batch.Errs[0] != nil) != (i%3 == 0) {
				t.Errorf("do(%d) blames the wrong item: %v", i, batch.Errs)
			}
		}).Wait()
	})
}

func TestLaneCallerGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(tower)
		l := newLane(w, 100)
		ctxs := make([]context.Context, 5)
		ctxs[0], ctxs[1] = t.Context(), t.Context()
		for i := 2; i < 5; i++ {
			ctx, cancel := context.WithTimeout(t.Context(), []time.Duration{2: time.Hour, 3: time.Second / 2, 4: 3 * time.Second / 2}[i])
			defer cancel()
			ctxs[i] = ctx
		}
		errs := make([]error, 5)
		fleet(5, func(i int) { _, errs[i] = l.do(ctxs[i], []int{i}) }).Wait()
		if got, want := fmt.Sprint(w.flights), "[[0] [1] [2 4]]"; got != want {
			t.Errorf("flights = %v, want %v: a part that was given up in time must not fly", got, want)
		}
		if errs[0] != nil || errs[1] != nil || errs[2] != nil {
			t.Errorf("a caller's ctx ended the flight of others: %v", errs)
		}
		if !errors.Is(errs[3], context.DeadlineExceeded) || errors.Is(errs[3], ErrUnavailable) {
			t.Errorf("given up on the ground = %v", errs[3])
		}
		if !errors.Is(errs[4], context.DeadlineExceeded) || !errors.Is(errs[4], ErrUnavailable) {
			t.Errorf("given up in the air = %v", errs[4])
		}
	})
}

func TestLaneStartDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(tower)
		l := newLane(w, 100)
		start := time.Now()
		landed := make(chan time.Duration, 5)
		for i := range 5 {
			l.start([]int{i}, func(ids []string, err error) { landed <- time.Since(start) })
		}
		if time.Since(start) != 0 {
			t.Error("start waited")
		}
		synctest.Wait()
		for i, want := range []time.Duration{1, 1, 2, 2, 2} {
			if got := <-landed; got != want*time.Second {
				t.Errorf("landing %d after %v", i, got)
			}
		}
	})
}

func TestLaneAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(tower)
		l := newLane(w, 100)
		wg := fleet(3, func(i int) {
			_, err := l.do(t.Context(), []int{i})
			if closed := errors.Is(err, ErrClosed); closed != (i == 2) {
				t.Errorf("do(%d) = %v", i, err)
			}
		})
		<-l.client.tasks.close()
		wg.Wait()
	})
}

func TestLargeBatchStopsAtFailedPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &tower{err: rejectSeven(errBad)}
		l := newLane(w, 3)
		ids, err := l.do(t.Context(), []int{1, 2, 3, 6, 7, 8, 9})
		var batch *BatchError
		if !errors.As(err, &batch) || len(batch.Errs) != 7 {
			t.Fatalf("err = %v", err)
		}
		if batch.Errs[2] != nil || !errors.Is(batch.Errs[3], errBad) || !errors.Is(batch.Errs[6], errNotTried) {
			t.Errorf("errs = %v", batch.Errs)
		}
		if fmt.Sprint(ids[:3]) != "[1 2 3]" || ids[6] != "" {
			t.Errorf("ids = %q", ids)
		}
		if _, err := l.do(t.Context(), []int{7, 7, 7, 1, 1}); errors.As(err, &batch) || !errors.Is(err, errBad) {
			t.Errorf("nothing was applied, but err = %v", err)
		}
	})
}

func TestGivenUpSendMayBeReused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var got []string
		f := &fake{caps: driver.Caps{Headers: true}, send: func(ctx context.Context, ms []driver.Message) ([]string, error) {
			err := sleep(ctx, time.Second)
			mu.Lock()
			defer mu.Unlock()
			for _, m := range ms {
				got = append(got, string(m.Body)+m.Headers["k"])
			}
			return make([]string, len(ms)), err
		}}
		q := New(f, Config{}).Queue("q")
		wg := fleet(2, func(int) { _, _ = q.Send(t.Context(), &Message{Body: []byte("x")}) })
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		m := &Message{Body: []byte("mine"), Headers: Headers{"k": "v"}}
		if _, err := q.Send(ctx, m); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Send = %v", err)
		}
		copy(m.Body, "gone")
		m.Headers["k"] = "w"
		wg.Wait()
		time.Sleep(time.Second)
		mu.Lock()
		defer mu.Unlock()
		if fmt.Sprint(got) != "[x x minev]" {
			t.Errorf("stored %v", got)
		}
	})
}

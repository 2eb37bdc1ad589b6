package drivertest

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// eventually waits for a condition.
func (t *tester) eventually(what string, met func() bool) {
	t.Helper()
	t.reaches(what, 1, func() int {
		if met() {
			return 1
		}
		return 0
	})
}

// reaches waits until a count is want or more. However long that takes, it is
// patient as long as the count grows.
func (t *tester) reaches(what string, want int, count func() int) {
	t.Helper()
	if n := t.grows(want, count); n < want {
		t.Fatalf("never happened: %s%s", what, of(n, want))
	}
}

func of(n, want int) string {
	if want == 1 {
		return ""
	}
	return fmt.Sprintf(" (but %d of %d)", n, want)
}

// grows waits until a count is want or more, or has not grown for as long as
// the case is patient, and returns it.
func (t *tester) grows(want int, count func() int) int {
	t.Helper()
	most, since := 0, time.Now()
	for {
		n := count()
		if n > most {
			t.alive()
			most, since = n, time.Now()
		}
		idle := time.Since(since)
		if n >= want || idle > t.patience || t.ctx.Err() != nil {
			return n
		}
		time.Sleep(max(t.unit/8, idle/20))
	}
}

// growing returns a ctx that ends when a count has not grown for as long as the
// case is patient.
func (t *tester) growing(count func() int) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(t.ctx)
	t.background(func() {
		defer cancel()
		tick := time.NewTicker(t.patience / 60)
		defer tick.Stop()
		for most, since := 0, time.Now(); time.Since(since) < t.patience; {
			if n := count(); n > most {
				t.alive()
				most, since = n, time.Now()
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return ctx, cancel
}

// await waits for done.
func (t *tester) await(what string, done <-chan struct{}) {
	t.Helper()
	timer := time.NewTimer(t.patience)
	defer timer.Stop()
	select {
	case <-done:
		return
	case <-timer.C:
	case <-t.ctx.Done():
	}
	t.Fatalf("never happened: %s", what)
}

// background runs f beside the case, which does not end before it: f must
// return when t.ctx ends.
func (t *tester) background(f func()) (done <-chan struct{}) {
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		f()
	}()
	t.Cleanup(func() {
		select {
		case <-returned:
		case <-time.After(t.patience):
			t.Error("a call goes on although its ctx has ended")
		}
	})
	return returned
}

// together runs f n times at once and waits for all.
func (t *tester) together(n int, f func(i int) error) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := f(i); err != nil {
				t.Errorf("goroutine %d of %d: %v", i, n, err)
			}
		})
	}
	wg.Wait()
}

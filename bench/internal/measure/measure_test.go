package measure

import (
	"context"
	"errors"
	"reflect"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestPerSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, err := PerSecond(t.Context(), 4, time.Second, func(context.Context) error {
			time.Sleep(10 * time.Millisecond)
			return nil
		})
		if err != nil || x != 400 {
			t.Errorf("%v/s, %v", x, err)
		}
	})
}

func TestPerSecondFails(t *testing.T) {
	broken := errors.New("broken")
	var calls atomic.Int64
	_, err := PerSecond(t.Context(), 4, time.Hour, func(context.Context) error {
		calls.Add(1)
		return broken
	})
	if !errors.Is(err, broken) || calls.Load() != 4 {
		t.Errorf("%v after %d calls", err, calls.Load())
	}
}

func TestContest(t *testing.T) {
	var order string
	in := func(name string, xs ...float64) Entrant {
		return func() (float64, error) {
			x := xs[0]
			xs, order = xs[1:], order+name
			return x, nil
		}
	}
	r, err := Contest(3, in("a", 9, 1, 5), in("b", 2, 2, 7))
	if want := [][]float64{{9, 1, 5}, {2, 2, 7}}; err != nil || !reflect.DeepEqual(r, want) || order != "ababab" {
		t.Errorf("measured %v in order %s, %v; want %v", r, order, err, want)
	}
	broken := errors.New("broken")
	if _, err := Contest(1, func() (float64, error) { return 1, broken }); !errors.Is(err, broken) {
		t.Errorf("err = %v", err)
	}
}

func TestRatio(t *testing.T) {
	if x := Ratio([]float64{1, 10, 6}, []float64{2, 2, 2}); x != 3 {
		t.Errorf("ratio %v", x)
	}
	if a, b := Median([]int{4, 1, 3, 2}), Quantile([]int{4, 1, 3, 2}, 0.99); a != 2 || b != 4 {
		t.Errorf("quantiles %d and %d", a, b)
	}
}

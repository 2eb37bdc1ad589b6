package main

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestHistogramBuckets(t *testing.T) {
	for _, d := range []time.Duration{-5, 0, 1, 63, 64, 127, 128, 129, 255, 256, 1e3, 1e6 + 7, 1e9, 3600e9, 1<<62 + 1, 1<<63 - 1} {
		i := bucketOf(d)
		end := bucketEnd(i)
		if end < d || float64(end) > float64(max(d, 0))*(1+1./subBuckets) {
			t.Errorf("%d is in a bucket that ends at %d", d, end)
		}
		if i > 0 && bucketEnd(i-1) >= max(d, 1) {
			t.Errorf("%d is in bucket %d, but would fit into the one before", d, i)
		}
	}
}

func TestHistogramQuantiles(t *testing.T) {
	var whole, half histogram
	var times []time.Duration
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 10_000 {
		d := time.Duration(r.ExpFloat64() * 1e6)
		times = append(times, d)
		h := &whole
		if i%2 == 0 {
			h = &half
		}
		h.add(d, 1)
	}
	whole.merge(&half)
	slices.Sort(times)
	for _, q := range []float64{0.5, 0.95, 0.99, 1} {
		exact := times[int(q*10_000)-1]
		if got := whole.quantile(q); got < exact || float64(got) > float64(exact)*(1+1./subBuckets) {
			t.Errorf("quantile %v is %v, not %v", q, got, exact)
		}
	}
	if whole.max != times[len(times)-1] || whole.quantile(1) != whole.max {
		t.Errorf("the longest is %v and %v, not %v", whole.max, whole.quantile(1), times[len(times)-1])
	}
	if new(histogram).quantile(0.5) != 0 {
		t.Error("an empty histogram has a median")
	}
}

func TestHistogramDraw(t *testing.T) {
	var h histogram
	h.add(1*time.Millisecond, 100)
	h.add(6*time.Millisecond, 50)
	h.add(40*time.Millisecond, 1)
	var b strings.Builder
	h.draw(&b, "#", barWidth(0))
	want := []struct {
		limit string
		bar   int
	}{{"1.05ms", 50}, {"2.1ms", 0}, {"4.19ms", 0}, {"8.39ms", 25}, {"16.8ms", 0}, {"33.6ms", 0}, {"67.1ms", 1}}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines, not %d:\n%s", len(lines), len(want), &b)
	}
	for i, w := range want {
		if !strings.Contains(lines[i], "<= "+w.limit) || strings.Count(lines[i], "#") != w.bar {
			t.Errorf("line %q, not %s with a bar of %d", lines[i], w.limit, w.bar)
		}
	}
}

// TestBarWidth: the lines fit into narrow terminals.
func TestBarWidth(t *testing.T) {
	for columns, want := range map[int]int{0: 50, 200: 50, 80: 50, 60: 40, 30: 10, 20: 5, 1: 5} {
		if got := barWidth(columns); got != want {
			t.Errorf("in %d columns bars have up to %d, not %d", columns, got, want)
		}
	}
	var h histogram
	h.add(999*time.Millisecond, 1)
	var b strings.Builder
	h.draw(&b, "#", barWidth(40))
	if n := len(strings.TrimRight(b.String(), "\n")); n >= 40 {
		t.Errorf("a line of %d in 40 columns", n)
	}
}

func TestLatencyCell(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 999: "999ns", 1234: "1.23\u00b5s", 12_345_678: "12.3ms", 1_999_999_999: "2s", 61_234 * time.Millisecond: "1m1.2s",
	} {
		if got := latencyCell(d); got != want {
			t.Errorf("%d is shown as %s, not %s", d, got, want)
		}
	}
}

package main

import (
	"fmt"
	"io"
	"math/bits"
	"strings"
	"time"
)

// subBuckets is how many buckets there are between a power of two and the
// next: what is read from a histogram is at most 1/64 above the truth.
const subBuckets = 64

// histogram counts times in buckets whose width grows with the time. It is not
// safe for concurrent use: each worker has its own.
type histogram struct {
	buckets [64 * subBuckets]int64
	count   int64
	max     time.Duration
}

func bucketOf(d time.Duration) int {
	n := uint64(max(d, 0))
	if n < subBuckets {
		return int(n)
	}
	shift := bits.Len64(n) - bits.Len64(subBuckets)
	return shift*subBuckets + int(n>>shift)
}

// bucketEnd returns the longest time in a bucket.
func bucketEnd(i int) time.Duration {
	if i < 2*subBuckets {
		return time.Duration(i)
	}
	shift := i/subBuckets - 1
	return time.Duration((i-shift*subBuckets+1)<<shift - 1)
}

// add counts n times of the length d.
func (h *histogram) add(d time.Duration, n int) {
	h.buckets[bucketOf(d)] += int64(n)
	h.count += int64(n)
	h.max = max(h.max, d)
}

func (h *histogram) merge(o *histogram) {
	for i, n := range o.buckets {
		h.buckets[i] += n
	}
	h.count += o.count
	h.max = max(h.max, o.max)
}

// quantile returns a time that a share q of all is not above, 0 of none.
func (h *histogram) quantile(q float64) time.Duration {
	rank, sum := int64(q*float64(h.count)+0.999999), int64(0)
	for i, n := range h.buckets {
		if sum += n; n > 0 && sum >= rank {
			return min(bucketEnd(i), h.max)
		}
	}
	return h.max
}

// band is what lies between two powers of two.
type band struct {
	UpTo  float64 `json:"up_to_ms"`
	Count int64   `json:"count"`
	limit time.Duration
}

// bands returns the histogram in few steps, without the empty ones at its
// ends.
func (h *histogram) bands() (bands []band) {
	for i, n := range h.buckets {
		limit := time.Duration(1) << bits.Len64(uint64(bucketEnd(i)))
		if last := len(bands) - 1; last < 0 || bands[last].limit != limit {
			bands = append(bands, band{milliseconds(limit), 0, limit})
		}
		bands[len(bands)-1].Count += n
		if bucketEnd(i) >= h.max {
			break
		}
	}
	for len(bands) > 0 && bands[0].Count == 0 {
		bands = bands[1:]
	}
	return bands
}

// barWidth is the length of the longest bar where a line has so many columns, 0
// if that is not known.
func barWidth(columns int) int {
	const longest, shortest, beside = 50, 5, 20 // the time, the share, and a column that stays free
	if columns == 0 {
		return longest
	}
	return min(max(columns-beside, shortest), longest)
}

// draw draws the histogram with bars made of a mark, up to a width.
func (h *histogram) draw(w io.Writer, mark string, width int) {
	bands := h.bands()
	most := int64(1)
	for _, b := range bands {
		most = max(most, b.Count)
	}
	for _, b := range bands {
		bar := int((b.Count*int64(width) + most - 1) / most) // what is there shows
		share := 100 * float64(b.Count) / float64(h.count)
		fmt.Fprintf(w, "%10s  %-*s %5.1f%%\n", "<= "+latencyCell(b.limit), width, strings.Repeat(mark, bar), share)
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// latencyCell shows a latency to three digits.
func latencyCell(d time.Duration) string {
	unit := time.Duration(1)
	for unit*1000 <= d {
		unit *= 10
	}
	return d.Round(unit).String()
}

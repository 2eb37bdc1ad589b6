package main

import (
	"errors"
	"math"
	"time"
)

// limit bounds the median of a figure in the last quarter of a run by that in the second
// one; the first is the warm-up. A factor below 1 bounds it from below.
type limit struct {
	column
	factor, slack float64
}

// limits are those of a run. Figures that follow what is in the queues, or what autovacuum
// has yet to remove, may differ by so much at any rate.
func limits(p plan) (all []limit) {
	rate := float64(p.rate)
	if p.duration >= long {
		all = []limit{{doneRate, 0.9, 0}, {latencyP50, 2, 25}}
	}
	return append(all, []limit{
		{backlog, 1.25, 10 * rate},
		{heapLive, 1.25, 2},
		{heapInUse, 1.25, 8},
		{goroutines, 1.1, 10},
		{connections, 1, 5}, // a pool grows with the peaks, up to its limit
		{channels, 1, 4},
		{tableSize, 1.25, naptime * rate * deadBytes / 1e6},
		{deadTuples, 1.25, naptime * rate * deadRows},
		{brokerMemory, 1.25, brokerLog},
	}...)
}

// long is a run in which whatever else the machine does for a while does not change the
// speed of a whole quarter.
const long = 10 * time.Minute

const (
	naptime   = 60  // seconds: autovacuum looks at a database once in that time
	deadRows  = 2   // of a message: it was leased, then deleted
	deadBytes = 400 // of a message, with the indexes: most of its space is reused at once
	brokerLog = 512 // MB: quorum queues hold as much of their log in memory by default
)

// verdict is what a limit says.
type verdict struct {
	limit
	before, after, bound float64
	ok                   bool
}

// judge applies the limits to all figures that were measured.
func judge(r *record, p plan) (all []verdict, err error) {
	quarter := len(r.samples) / 4
	if quarter < 2 {
		return nil, errors.New("too few samples: the run was too short")
	}
	for _, l := range limits(p) {
		if !r.has(l.column) {
			continue
		}
		v := verdict{limit: l, before: median(r.samples[quarter:2*quarter], l.column), after: median(r.samples[len(r.samples)-quarter:], l.column)}
		v.bound = v.before*l.factor + l.slack
		v.ok = v.after <= v.bound // false for NaN: nothing was measured
		if l.factor < 1 {
			v.ok = v.after >= v.bound
		}
		all = append(all, v)
	}
	return all, nil
}

// median returns NaN if there is no value.
func median(samples []*sample, c column) float64 {
	var xs []float64
	for _, s := range samples {
		if v := s.values[c]; !math.IsNaN(v) {
			xs = append(xs, v)
		}
	}
	return quantile(xs, 0.5)
}

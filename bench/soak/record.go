package main

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"time"
)

// column is a figure of a sample.
type column int

const (
	sentRate column = iota
	doneRate
	sendP50
	sendP99
	latencyP50
	latencyP99
	backlog
	heapLive
	heapInUse
	goroutines
	connections
	channels
	tableSize
	deadTuples
	walRate
	vacuums
	brokerMemory
	columns // how many there are
)

// names are the columns' names in the file and in the report.
var names = [columns]string{
	sentRate:     "sent/s",
	doneRate:     "done/s",
	sendP50:      "send p50 ms",
	sendP99:      "send p99 ms",
	latencyP50:   "end to end p50 ms",
	latencyP99:   "end to end p99 ms",
	backlog:      "messages in the queues",
	heapLive:     "heap live MB",
	heapInUse:    "heap in use MB",
	goroutines:   "goroutines",
	connections:  "connections",
	channels:     "channels",
	tableSize:    "tables and indexes MB",
	deadTuples:   "dead tuples",
	walRate:      "WAL MB/s",
	vacuums:      "vacuums",
	brokerMemory: "broker memory MB",
}

func (c column) String() string { return names[c] }

// sample is what was measured at one moment, or since the sample before. A figure that
// the provider does not have is NaN.
type sample struct {
	at     time.Duration // since the beginning
	values [columns]float64
}

func newSample(at time.Duration) *sample {
	s := &sample{at: at}
	for c := range s.values {
		s.values[c] = math.NaN()
	}
	return s
}

// record is what a run has come to.
type record struct {
	samples    []*sample
	sent, done int64
	faults     []string // what must not happen at all
}

// has reports whether a figure was measured at all.
func (r *record) has(c column) bool {
	for _, s := range r.samples {
		if !math.IsNaN(s.values[c]) {
			return true
		}
	}
	return false
}

// csv returns the samples as a file.
func (r *record) csv() []byte {
	var b bytes.Buffer
	b.WriteString("seconds")
	for c := range columns {
		if r.has(c) {
			fmt.Fprintf(&b, ",%s", c)
		}
	}
	for _, s := range r.samples {
		fmt.Fprintf(&b, "\n%.1f", s.at.Seconds())
		for c, v := range s.values {
			if !r.has(column(c)) {
				continue
			}
			b.WriteByte(',')
			if !math.IsNaN(v) {
				b.WriteString(strconv.FormatFloat(v, 'g', 6, 64))
			}
		}
	}
	b.WriteByte('\n')
	return b.Bytes()
}

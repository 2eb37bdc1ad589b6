package main

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var hour = plan{duration: time.Hour, rate: 500}

// flatRecord is an hour in which nothing grows, however much it swings.
func flatRecord() *record {
	r := &record{sent: 1, done: 1}
	for i := range 200 {
		s := newSample(time.Duration(i+1) * 18 * time.Second)
		saw := float64(i*i%7) + rand.Float64()/10
		s.values = [columns]float64{
			sentRate: 500, doneRate: 500 + saw, sendP50: 1 + saw, sendP99: 10, latencyP50: 2 + saw, latencyP99: 20, backlog: 100 + saw,
			heapLive: 4 + saw/10, heapInUse: 8 + saw, goroutines: 60 + saw, connections: 10, channels: 8, tableSize: 10 + saw,
			deadTuples: 10000 * saw, walRate: 0.7, vacuums: float64(i), brokerMemory: 200 + 50*saw,
		}
		r.samples = append(r.samples, s)
	}
	return r
}

// grow adds to a column a growth that reaches much in the end.
func grow(c column, much float64) func(*record) {
	return func(r *record) {
		for i, s := range r.samples {
			s.values[c] += much * float64(i) / float64(len(r.samples))
		}
	}
}

// TestJudge: what grows is found, and called by its name.
func TestJudge(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*record)
		want   column // columns for none
	}{
		"flat":                {func(*record) {}, columns},
		"slower and slower":   {grow(doneRate, -200), doneRate},
		"later and later":     {grow(latencyP50, 300), latencyP50},
		"more left behind":    {grow(backlog, 20000), backlog},
		"a heap leak":         {grow(heapLive, 10), heapLive},
		"fragmentation":       {grow(heapInUse, 30), heapInUse},
		"a goroutine a retry": {grow(goroutines, 500*3600/50), goroutines},
		"a goroutine a min":   {grow(goroutines, 60), goroutines},
		"connections":         {grow(connections, 20), connections},
		"channels":            {grow(channels, 20), channels},
		"no autovacuum":       {grow(tableSize, 500*3600*600/1e6), tableSize},
		"one row in 20 stays": {grow(tableSize, 500*3600*600/20/1e6), tableSize},
		"a held snapshot":     {grow(deadTuples, 500*3600*2), deadTuples},
		"broker memory":       {grow(brokerMemory, 2000), brokerMemory},
		"nothing in the end": {func(r *record) {
			for _, s := range r.samples[150:] {
				s.values[latencyP50] = math.NaN()
			}
		}, latencyP50},
		"a warm-up": {func(r *record) {
			for c := range columns {
				for _, s := range r.samples[:50] {
					s.values[c] /= 10
				}
			}
		}, columns},
		"one peak": {func(r *record) {
			for c := range columns {
				r.samples[170].values[c] *= 100
			}
		}, columns},
	} {
		t.Run(name, func(t *testing.T) {
			r := flatRecord()
			tt.change(r)
			all, err := judge(r, hour)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range all {
				if v.ok == (v.column == tt.want) {
					t.Errorf("%v: %v then %v, bound %v, ok %v", v.column, v.before, v.after, v.bound, v.ok)
				}
			}
		})
	}
}

func TestJudgeLimitsAll(t *testing.T) {
	r := flatRecord()
	for _, s := range r.samples {
		s.values[channels] = math.NaN() // as where there are none
	}
	all, err := judge(r, hour)
	if err != nil || len(all) != len(limits(hour))-1 {
		t.Errorf("%d of %d limits, %v", len(all), len(limits(hour)), err)
	}
	r.samples = r.samples[:7]
	if _, err := judge(r, hour); err == nil {
		t.Error("seven samples are enough")
	}
}

func TestFaults(t *testing.T) {
	l := new(load)
	l.sent.Store(2)
	l.done.Store(2)
	if all := l.faults(); all != nil {
		t.Errorf("%q", all)
	}
	l.sent.Store(3)
	l.failed.Store(4)
	l.lapsed.Store(5)
	l.note(errors.New("boom"))
	want := "4 sends have failed, 5 leases were lost, or not settled, 1 messages more were sent than done, the last one: boom"
	if got := strings.Join(l.faults(), ", "); got != want {
		t.Error(got)
	}
	var out bytes.Buffer
	r := flatRecord()
	r.faults = l.faults()
	if flat, err := report(&out, "mem", hour, r); flat || err != nil || !strings.Contains(out.String(), "FAULT 4 sends have failed") {
		t.Errorf("%v, %v\n%s", flat, err, &out)
	}
}

// TestFiles: both files are well-formed, and a picture of an hour is small.
func TestFiles(t *testing.T) {
	r := flatRecord()
	r.samples[0].values[walRate] = math.NaN()
	for _, s := range r.samples {
		s.values[channels] = math.NaN()
	}
	dir := t.TempDir()
	if err := r.write(dir, "x", "A < B"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "soak-x.csv"))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil || len(rows) != 201 || len(rows[0]) != int(columns) || slices.Contains(rows[0], "channels") || rows[1][0] != "18.0" || rows[1][slices.Index(rows[0], "WAL MB/s")] != "" {
		t.Errorf("%d rows, %q, %v", len(rows), rows[:min(2, len(rows))], err)
	}
	svg, err := os.ReadFile(filepath.Join(dir, "soak-x.svg"))
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "path" {
			lines++
		}
	}
	if len(svg) > 100_000 || lines < 15 || !strings.Contains(string(svg), "dead tuples") || strings.Contains(string(svg), "channels") {
		t.Errorf("%d bytes, %d paths", len(svg), lines)
	}
}

// TestMem: a run in memory is sound, and one that leaks goroutines is not. Whether the
// rest is flat depends on what else the machine does.
func TestMem(t *testing.T) {
	for _, broken := range []string{"", "goroutines"} {
		t.Run(broken, func(t *testing.T) {
			p := plan{duration: 3 * time.Second, rate: 400, broken: broken}
			r, err := run(t.Context(), p, memory{})
			if err != nil || len(r.faults) > 0 || r.sent == 0 || r.sent != r.done {
				t.Fatalf("sent %d, done %d, %q, %v", r.sent, r.done, r.faults, err)
			}
			all, err := judge(r, p)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range all {
				if v.column == goroutines && v.ok != (broken == "") {
					t.Errorf("%v goroutines, then %v", v.before, v.after)
				}
			}
		})
	}
}

func TestWrongUse(t *testing.T) {
	for _, args := range []string{"-nosuch", "-rate 0", "-duration -1s", "-break nosuch", "-provider nosuch", "-provider mem -break snapshot"} {
		var out bytes.Buffer
		if code := command(t.Context(), &out, strings.Fields(args)); code != 2 || out.Len() == 0 {
			t.Errorf("%s: exit %d, %s", args, code, &out)
		}
	}
}

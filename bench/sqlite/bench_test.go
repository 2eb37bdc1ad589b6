package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/portmq/mq"
)

func TestBodies(t *testing.T) {
	for _, b := range [][]byte{body, bodyOf("g9999")} {
		if len(b) != bodySize || !json.Valid(b) {
			t.Errorf("%d bytes: %s", len(b), b)
		}
	}
}

// With other settings the peers would not do the same work.
func TestPragmasAreTheDriversOwn(t *testing.T) {
	source, err := os.ReadFile("../../drivers/sqlite/open.go")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := bytes.Cut(source, []byte("var pragmas = []string{"))
	list, _, _ = bytes.Cut(list, []byte("}"))
	var want []byte
	for _, p := range pragmas {
		want = append(append(want, "\n\t"...), strconv.Quote(p)+","...)
	}
	if want = append(want, '\n'); !bytes.Equal(list, want) {
		t.Errorf("the driver's pragmas are %s, those of the peers %s", list, want)
	}
}

func TestRows(t *testing.T) {
	one, ten := []float64{1, 1, 1}, []float64{10, 100, 1}
	for want, r := range map[string]row{
		"| x | 10/s | y 1/s | 10.00 (1.00-100.00) | >= 12 | MISSED |":              faster("x", ten, "y", one, 12),
		"| x | 10/s | y 1/s | 10.00 (1.00-100.00) | >= 10 | met |":                 faster("x", ten, "y", one, 10),
		"| x | 1/s | y 1/s | 1.00 (1.00-1.00) |  |  |":                             faster("x", one, "y", one, 0),
		"| x | 1000.00 ms | y 1000.00 ms | 1.00 (1.00-1.00) | <= 1 | met |":        dearer("x", one, "y", one, 1),
		"| x | 10000.00 ms | y 1000.00 ms | 10.00 (1.00-100.00) | <= 2 | MISSED |": dearer("x", ten, "y", one, 2),
		"| x | 5.10 ms |  | 5.10 ms (5.10-5.10) | <= 5 ms | MISSED |":              within("x", []float64{0.0051}, 5*time.Millisecond),
		"| x | 5.00 ms |  | 5.00 ms (5.00-5.00) | <= 5 ms | met |":                 within("x", []float64{0.005}, 5*time.Millisecond),
		"| x | 5.00 ms |  | 5.00 ms (5.00-5.00) |  |  |":                           within("x", []float64{0.005}, 0),
	} {
		if got := r.String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func newLab(t *testing.T) *lab {
	l := &lab{plan: plan{rounds: 1, dir: t.TempDir(), synchronous: "normal", quick: true}}
	t.Cleanup(func() {
		if err := l.close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// A side that lost messages would look fast.
func TestDrainsAreWhole(t *testing.T) {
	l, ctx := newLab(t), t.Context()
	q, err := l.queue(ctx, "mq.db")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := consumes(ctx, q, 250)(); err != nil {
		t.Error(err)
	}
	h, err := l.hand(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.drains(ctx, 300)(); err != nil {
		t.Error(err)
	}
	if err := h.drain(ctx, 1); err == nil {
		t.Error("a message was left")
	}
	g, err := l.goqite(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.drains(ctx, 50, time.Hour)(); err != nil {
		t.Error(err)
	}
	if err := g.work(ctx); err == nil {
		t.Error("goqite has a message left")
	}
}

func TestFillsKeepCount(t *testing.T) {
	l, ctx := newLab(t), t.Context()
	q, err := l.queue(ctx, "mq.db")
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{sendLeased(ctx, q, 1200), sendDelays(ctx, q, 1100), sendDelayed(ctx, q, 10), send(ctx, q, 1001, nil)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s, err := q.Stats(ctx)
	if err != nil || s.Leased != 1200 || s.Delayed != 1110 || s.Visible != 1001 {
		t.Errorf("%+v, %v", s, err)
	}
	if err := holds(ctx, q, 1); err == nil {
		t.Error("too many messages, and no error")
	}
}

func TestArrangements(t *testing.T) {
	for i, want := range [][]int{{0, 1, 0, 1}, {0, 0, 1, 1}} {
		for m, g := range want {
			if got := arrangements[i].group(m, len(want), 2); got != g {
				t.Errorf("%s: message %d is in group %d, want %d", arrangements[i].name, m, got, g)
			}
		}
	}
}

func TestBlockLeavesTheOtherHalf(t *testing.T) {
	l, ctx := newLab(t), t.Context()
	if err := l.fillGroups(ctx, arrangements[1]); err != nil {
		t.Fatal(err)
	}
	q, err := l.queue(ctx, "contiguous.db")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.block(ctx, q, mq.ByPath("g")); err != nil {
		t.Fatal(err)
	}
	ds, err := q.ReceiveHeads(ctx, mq.ByPath("g"), mq.ReceiveOptions{})
	_, groups := l.counts()
	if want := "g" + strconv.Itoa(groups/2); err != nil || len(ds) != 1 || ds[0].GroupKey != want {
		t.Errorf("received %v, %v; want the head of %s", ds, err, want)
	}
}

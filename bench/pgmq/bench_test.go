package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

func TestBodiesAreAlike(t *testing.T) {
	river, err := json.Marshal(riverBody)
	if err != nil {
		t.Fatal(err)
	}
	if len(body) != bodySize || !bytes.Equal(river, body) {
		t.Errorf("bodies of %d and %d bytes", len(body), len(river))
	}
}

func TestCoalescer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var last atomic.Int64
		var calls atomic.Int64
		c := &coalescer{flights: 2, store: func(_ context.Context, bodies []string) ([]int64, error) {
			calls.Add(1)
			time.Sleep(time.Millisecond)
			ids := make([]int64, len(bodies))
			for i := range ids {
				ids[i] = last.Add(1)
			}
			return ids, nil
		}}
		const n = 64
		var seen [n + 1]atomic.Bool
		err := start(n, func() error {
			id, err := c.send(t.Context(), "{}")
			if seen[id].Swap(true) {
				err = errors.New("an id came twice")
			}
			return err
		})()
		// Two flights leave with what is there, and one with all that came then.
		if err != nil || last.Load() != n || calls.Load() > 4 {
			t.Errorf("stored %d in %d calls, %v", last.Load(), calls.Load(), err)
		}
	})
}

func TestCoalescerErrors(t *testing.T) {
	broken := errors.New("broken")
	c := &coalescer{flights: 2, store: func(context.Context, []string) ([]int64, error) { return nil, broken }}
	for range 3 {
		if _, err := c.send(t.Context(), "{}"); !errors.Is(err, broken) {
			t.Errorf("err = %v", err)
		}
	}
}

func TestCountQueries(t *testing.T) {
	said, _ := (&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "QE"}}).Encode(nil)
	for _, m := range []pgproto3.FrontendMessage{
		&pgproto3.Query{String: "SELECT 'E'"},
		&pgproto3.Parse{Query: "SELECT 1"}, &pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Sync{},
		&pgproto3.Terminate{},
	} {
		said, _ = m.Encode(said)
	}
	var passed bytes.Buffer
	var n atomic.Int64
	countQueries(&passed, bytes.NewReader(said), &n)
	if n.Load() != 2 || !bytes.Equal(passed.Bytes(), said) {
		t.Errorf("counted %d queries, passed %d bytes of %d", n.Load(), passed.Len(), len(said))
	}
}

func TestContestInterleaves(t *testing.T) {
	var runs []string
	in := func(name string, xs ...float64) entrant {
		return func() (float64, error) {
			x := xs[0]
			xs, runs = xs[1:], append(runs, name)
			return x, nil
		}
	}
	r, err := contest(3, in("a", 9, 1, 5), in("b", 2, 2, 7))
	if want := [][]float64{{9, 1, 5}, {2, 2, 7}}; err != nil || !reflect.DeepEqual(r, want) {
		t.Errorf("measured %v, %v; want %v", r, err, want)
	}
	if got := strings.Join(runs, ""); got != "ababab" {
		t.Errorf("ran %s", got)
	}
}

func TestRows(t *testing.T) {
	one, ten := []float64{1, 1, 1}, []float64{10, 100, 1}
	for want, r := range map[string]row{
		"| x | 10/s | y 1/s | 10.00 | >= 2.2 | met |":                faster("x", ten, "y", one, 2.2),
		"| x | 1/s | y 10/s | 0.10 | >= 0.9 | MISSED |":              faster("x", one, "y", ten, 0.9),
		"| x | 1000.00 ms | y 10000.00 ms | 0.10 | <= 0.1 | met |":   dearer("x", one, "y", ten, 0.1),
		"| x | 10000.00 ms | y 1000.00 ms | 10.00 | <= 2 | MISSED |": dearer("x", ten, "y", one, 2),
		"| x | 5.10 ms |  |  | <= 5 ms | MISSED |":                   within("x", 5100*time.Microsecond, 5*time.Millisecond),
	} {
		if got := r.String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestQuantile(t *testing.T) {
	xs := []int{4, 1, 3, 2}
	if a, b, c := quantile(xs, 0.5), quantile(xs, 0.99), quantile(xs, 0); a != 2 || b != 4 || c != 1 {
		t.Errorf("quantiles %d %d %d", a, b, c)
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/mqtest"
)

func TestRun(t *testing.T) {
	var out bytes.Buffer
	want := "before: job 7 done\nafter: job 7 done\n"
	if err := run(t.Context(), "mem://", &out); err != nil || out.String() != want {
		t.Errorf("%v\n%s", err, &out)
	}
}

// Both loops do a job that fails once, and set aside one that is no job. They
// differ in how long the failed one waits.
func TestSame(t *testing.T) {
	for name, pause := range map[string][2]time.Duration{
		"before": {30 * time.Second, 31 * time.Second},
		"after":  {800 * time.Millisecond, 1200 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := mqtest.New(t)
			q, err := c.EnsureQueue(t.Context(), "jobs", mq.QueueOptions{})
			if err != nil {
				t.Fatal(err)
			}
			old := client{c, make(map[string]*mq.Delivery)}
			for _, body := range []string{`{"ID":1}`, `"no job"`} {
				if _, err := old.send(t.Context(), "jobs", json.RawMessage(body)); err != nil {
					t.Fatal(err)
				}
			}
			ctx, stop := context.WithTimeout(t.Context(), time.Hour)
			defer stop()
			var tries []time.Time
			do := func(Job) error {
				if tries = append(tries, time.Now()); len(tries) == 1 {
					return errors.New("not yet")
				}
				stop()
				return nil
			}
			if name == "before" {
				err = workBefore(ctx, old, do)
			} else {
				err = workAfter(ctx, q, do)
			}
			if err != nil || len(tries) != 2 {
				t.Fatalf("%s: %d tries, %v", name, len(tries), err)
			}
			if took := tries[1].Sub(tries[0]); took < pause[0] || took > pause[1] {
				t.Errorf("%s: again after %v, want %v", name, took, pause)
			}
			mqtest.RequireEmpty(t, q)
			if dead, err := q.Archived(t.Context(), mq.BrowseOptions{}); err != nil || len(dead) != 1 {
				t.Errorf("%s: %d dead letters, %v", name, len(dead), err)
			}
		})
	}
}

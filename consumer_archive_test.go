package mq

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// archivist is a backend whose archive is purged.
type archivist struct {
	*backend
	purged []time.Duration
	at     []time.Time
	errs   []error
}

func (a *archivist) Redrive(context.Context, string, []string, int) (int64, error) { return 0, nil }

func (a *archivist) PurgeArchive(_ context.Context, _ string, olderThan time.Duration) (n int64, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.purged, a.at = append(a.purged, olderThan), append(a.at, time.Now())
	if len(a.errs) > 0 {
		err, a.errs = a.errs[0], a.errs[1:]
		return 0, err
	}
	return 3, nil
}

func TestKeepArchive(t *testing.T) {
	ok := func(context.Context, *Delivery) error { return nil }
	for _, tt := range []struct {
		keep, least, most time.Duration // between two purges
	}{
		{time.Minute, 45 * time.Second, 75 * time.Second},
		{50 * time.Minute, 225 * time.Second, 375 * time.Second},
		{30 * 24 * time.Hour, 45 * time.Minute, 75 * time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := &archivist{backend: newBackend(attentive, 0), errs: []error{errors.New("the disk is full")}}
			var log journal
			start := time.Now()
			r := run(t, a, log.config(), ConsumerConfig{KeepArchive: tt.keep}, ok)
			time.Sleep(10 * tt.most)
			s := r.stop(t)
			for i, at := range a.at {
				if i > 0 {
					start = a.at[i-1]
				}
				if d := at.Sub(start); d < tt.least || d > tt.most || a.purged[i] != tt.keep {
					t.Errorf("keep %v: purge of what is older than %v after %v", tt.keep, a.purged[i], d)
				}
			}
			if len(a.at) < 10 || s.Purged != int64(3*(len(a.at)-1)) || strings.Count(log.String(), "could not be purged") != 1 {
				t.Errorf("keep %v: %d purges of %d messages\n%s", tt.keep, len(a.at), s.Purged, log.String())
			}
			ended := len(a.at)
			time.Sleep(2 * tt.most)
			if len(a.at) != ended {
				t.Errorf("keep %v: it purges after the end of Run", tt.keep)
			}
		})
	}
}

func TestKeepArchiveMisuse(t *testing.T) {
	for keep, want := range map[time.Duration]error{-1: ErrInvalid, time.Hour: ErrNotSupported} {
		c := New(newBackend(attentive, 0), Config{})
		_, err := NewConsumer(c.Queue("q"), HandlerFunc(func(context.Context, *Delivery) error { return nil }), ConsumerConfig{KeepArchive: keep})
		if !errors.Is(err, want) || !strings.Contains(err.Error(), "KeepArchive") {
			t.Errorf("KeepArchive %v: %v, want %v", keep, err, want)
		}
		_ = c.Close()
	}
}

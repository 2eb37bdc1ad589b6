package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// fault is something that goes wrong.
type fault struct {
	name string
	// shortest and longest are how long it lasts.
	shortest, longest time.Duration
	// apply makes it happen. heal ends it, if it does not end by itself.
	apply func(ctx context.Context, p pick) (heal func(context.Context) error, err error)
}

// pick is what a fault may choose from, the same for the same seed.
type pick struct {
	*rand.Rand
	hold time.Duration
}

// skipped is why a fault cannot happen here.
type skipped struct{ name, reason string }

// errSkipped is wrapped by a fault that finds out that it cannot happen.
var errSkipped = errors.New("skipped")

// planned is a fault at its time.
type planned struct {
	*fault
	at, hold time.Duration
	seed     uint64
}

// Between two faults of a lane there is calm, so that recovery is seen.
const (
	firstFault   = 1500 * time.Millisecond
	shortestCalm = 1500 * time.Millisecond
	longestCalm  = 4 * time.Second
)

// plan deals the faults: all of them, in a random order, before any comes again. It depends
// on nothing but its arguments.
func plan(seed uint64, lane int, duration time.Duration, faults []*fault) (all []planned) {
	if len(faults) == 0 {
		return nil
	}
	r := rand.New(rand.NewPCG(seed, uint64(lane)))
	between := func(least, most time.Duration) time.Duration {
		return least + time.Duration(r.Int64N(int64(most-least)+1)).Round(time.Millisecond)
	}
	var deck []*fault
	for at := firstFault; ; {
		if len(deck) == 0 {
			deck = slices.Clone(faults)
			r.Shuffle(len(deck), func(i, k int) { deck[i], deck[k] = deck[k], deck[i] })
		}
		f := deck[0]
		deck = deck[1:]
		p := planned{f, at, between(f.shortest, f.longest), r.Uint64()}
		if at+p.hold > duration {
			return all
		}
		all = append(all, p)
		at += p.hold + between(shortestCalm, longestCalm)
	}
}

// only returns the faults whose names contain a text.
func only(faults []*fault, text string) []*fault {
	return slices.DeleteFunc(slices.Clone(faults), func(f *fault) bool { return !strings.Contains(f.name, text) })
}

func (p planned) String() string {
	return fmt.Sprintf("%8.3fs  %-28s for %.3fs", p.at.Seconds(), p.name, p.hold.Seconds())
}

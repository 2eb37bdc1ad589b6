package server

import (
	"errors"
	"os"
	"slices"
	"testing"
)

// found is a server of any kind: what to say of it, and how to end it.
type found interface {
	describe() string
	close() error
}

// search is how the servers of a kind are found.
type search[T found] struct {
	kind, require string // as people say it, and as MQ_TEST_REQUIRE does
	dsn, from     string // the variables that name a server, or the only way to find one
	ways          []way[T]
}

type way[T found] struct {
	name string
	open func() (T, error)
}

// find tries one way after the other, the best first.
func (s search[T]) find() (none T, err error) {
	if os.Getenv(s.dsn) != "" {
		return s.among("env")
	}
	return s.among(os.Getenv(s.from))
}

// own is find for a server that this process may stop.
func (s search[T]) own() (none T, err error) {
	s.ways = slices.DeleteFunc(slices.Clone(s.ways), func(w way[T]) bool { return w.name == "env" })
	return s.among(os.Getenv(s.from))
}

// among is find with one way only, unless that is "".
func (s search[T]) among(only string) (none T, err error) {
	switch only {
	case "", "env", "docker", "local":
	default:
		return none, errors.New(s.from + " must be env, docker or local")
	}
	var reasons []string
	for _, way := range s.ways {
		if only != "" && only != way.name {
			continue
		}
		server, err := way.open()
		if err == nil {
			use(server.describe()+because(reasons), server.close)
			return server, nil
		}
		reasons = append(reasons, way.name+": "+err.Error())
	}
	return none, errors.New("no " + s.kind + because(reasons))
}

// check fails the test if a server that somebody has asked for was not found,
// and skips it if nobody has.
func (s search[T]) check(tb testing.TB, err error) {
	tb.Helper()
	switch {
	case err == nil:
	case os.Getenv(s.dsn) != "", os.Getenv(s.from) != "":
		tb.Fatal(err)
	default:
		missing(tb, s.require, err)
	}
}

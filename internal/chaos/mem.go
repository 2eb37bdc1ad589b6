package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/portmq/mq/internal/chaos/judge"
)

// providers makes the provider of a name.
var providers = map[string]func() provider{
	"mem":      func() provider { return memory{} },
	"sqlite":   func() provider { return new(sqliteFile) },
	"pgx":      func() provider { return &postgres{library: "pgx"} },
	"pq":       func() provider { return &postgres{library: "pq"} },
	"frompool": func() provider { return &postgres{library: "frompool"} },
	"rabbitmq": func() provider { return &rabbit{size: 1} },
	"cluster":  func() provider { return &rabbit{size: 3} },
}

var providerNames = []string{"mem", "sqlite", "pgx", "pq", "frompool", "rabbitmq", "cluster"}

func newProvider(name string) (provider, error) {
	if p := providers[name]; p != nil {
		return p(), nil
	}
	return nil, fmt.Errorf("unknown provider %q (have: %s)", name, strings.Join(slices.Sorted(maps.Keys(providers)), ", "))
}

// everything are the facts of a provider that promises everything.
var everything = judge.Facts{ExactReads: true, Attempts: true, AtomicArchive: true, Portable: true}

// memory is the provider mem: all workers in one process.
type memory struct{}

func (memory) start(context.Context, string) error             { return nil }
func (memory) dsn(bool) string                                 { return "mem://chaos" }
func (memory) faults(*runner) ([]*fault, []skipped)            { return nil, nil }
func (memory) facts() judge.Facts                              { return everything }
func (memory) left(context.Context) (what []string, err error) { return nil, nil }
func (memory) stop() error                                     { return nil }

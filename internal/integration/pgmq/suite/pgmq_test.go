package suite_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/pgmq"
	"github.com/portmq/mq/internal/integration/server"
	"github.com/portmq/mq/mqtest/drivertest"
)

func TestPGX(t *testing.T) {
	suite(t, harness(t, withPGX), nil)
}

// withPGX is the set-up of most users.
var withPGX = with("driver=pgx")

// TestPQ: another client library encodes arguments, reads rows, names errors
// and loses connections in its own way.
func TestPQ(t *testing.T) {
	suite(t, harness(t, withPQ), []string{"open", "send", "body", "receive", "archive", "group", "topic", "tx", "context", "fault", "hang", "hostile"})
}

var withPQ = with("driver=pq")

// TestOrderID: receive and pop take messages in another order.
func TestOrderID(t *testing.T) {
	h := harness(t, with("order=id"))
	h.Want.Order = driver.OrderID
	suite(t, h, []string{"open", "receive", "pop", "nack", "delay"})
}

// TestBytes: bodies are written in another form, in which no path finds a group.
func TestBytes(t *testing.T) {
	h := harness(t, with("body=bytes"))
	h.Want.ExactBodies = true
	suite(t, h, []string{"open", "send", "body", "group", "tx", "hostile"})
}

// TestFromDB: the sessions are the caller's, with the caller's settings, and
// the receivers poll.
func TestFromDB(t *testing.T) {
	suite(t, harness(t, fromDB), []string{"open", "send", "wait", "tx", "context", "fault", "hang"})
}

func fromDB(t testing.TB, dsn string) *mq.Client {
	return mq.New(pgmq.FromDB(pool(t, dsn), pgmq.Config{Logger: quiet.Logger}), quiet)
}

// TestFromPool: the sessions are those of a pool of pgx's own.
func TestFromPool(t *testing.T) {
	suite(t, harness(t, fromPool), []string{"open", "send", "body", "wait", "group", "lease", "context", "concurrency", "fault", "hang"})
}

func fromPool(t testing.TB, dsn string) *mq.Client {
	t.Helper()
	cfg := must(pgxpool.ParseConfig(dsn))(t)
	cfg.MaxConns = maxConns
	pool := must(pgxpool.NewWithConfig(context.WithoutCancel(t.Context()), cfg))(t)
	t.Cleanup(pool.Close)
	return mq.New(pgmq.FromPool(pool, pgmq.Config{Logger: quiet.Logger}), quiet)
}

// TestGroupIndexes: group receivers have other plans, and queues more indexes.
func TestGroupIndexes(t *testing.T) {
	suite(t, harness(t, func(t testing.TB, dsn string) *mq.Client {
		return mq.New(indexed{withPGX(t, dsn).Provider().(*pgmq.Provider)}, quiet)
	}), []string{"lifecycle", "group", "drain", "move"})
}

// indexed makes every queue with an index for its groups.
type indexed struct{ *pgmq.Provider }

func (p indexed) EnsureQueue(ctx context.Context, queue string, o driver.QueueOptions) error {
	o.Drivers = append(o.Drivers, pgmq.QueueOptions{GroupIndexes: []driver.GroupBy{{}, {Path: []string{"g"}}}})
	return p.Provider.EnsureQueue(ctx, queue, o)
}

// TestPgBouncer: each statement may run in another session, where nothing is
// prepared.
func TestPgBouncer(t *testing.T) {
	suite(t, pooled(t, bounced(t, server.Postgres(t))), []string{
		"open", "send", "body", "receive", "group", "topic", "tx", "context", "concurrency", "fault",
	})
}

// bounced opens clients behind PgBouncer.
func bounced(t *testing.T, c *server.Cluster) opener {
	open, b := with("poll_only=true&prepare=false"), server.PgBouncer(t, c, "transaction")
	return func(t testing.TB, dsn string) *mq.Client { return open(t, b.DSN(dsn)) }
}

// TestRestart runs the cases that restart the server, which is not the shared
// one.
func TestRestart(t *testing.T) {
	c := server.OwnPostgres(t)
	for name, open := range map[string]opener{"pgx": withPGX, "PgBouncer": bounced(t, c), "pq": withPQ, "FromDB": fromDB} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && (name == "pq" || name == "FromDB") { // package faults restarts under them
				t.Skip("the full matrix: make test-all")
			}
			drivertest.Run(t, restarting(c, open))
		})
	}
}

// suite runs the cases of drivertest. With -short these are those of the areas
// that the set-up can change, unless that is nil: the others have passed in
// TestPGX. No set-up changes what package mq does by itself, such as consumers.
func suite(t *testing.T, h drivertest.Harness, areas []string) {
	t.Helper()
	left := make(map[string]bool)
	if testing.Short() && areas != nil {
		for _, area := range areas {
			left[area] = true
		}
		h.Only = limited(h.Only, areas, left)
	}
	drivertest.Run(t, h)
	for area := range left {
		t.Errorf("there is no area %s", area)
	}
}

// heavy are cases whose load is the same in every set-up, and takes long.
var heavy = []string{"body/limit"}

// limited is only for the cases of some areas. It deletes from left the areas
// that there are.
func limited(only func(string) bool, areas []string, left map[string]bool) func(string) bool {
	return func(name string) bool {
		area, _, _ := strings.Cut(name, "/")
		delete(left, area)
		return only(name) && slices.Contains(areas, area) && !slices.Contains(heavy, name)
	}
}

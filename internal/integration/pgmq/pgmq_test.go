package pgmq_test

import (
	"context"
	"testing"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/pgmq"
	"github.com/portmq/mq/internal/integration/server"
	"github.com/portmq/mq/mqtest"
)

func TestPGX(t *testing.T) {
	mqtest.Run(t, harness(t, with("driver=pgx")))
}

func TestPQ(t *testing.T) {
	mqtest.Run(t, harness(t, with("driver=pq")))
}

func TestOrderID(t *testing.T) {
	h := harness(t, with("order=id"))
	h.Want.Order = driver.OrderID
	mqtest.Run(t, h)
}

func TestBytes(t *testing.T) {
	h := harness(t, with("body=bytes"))
	h.Want.ExactBodies = true
	mqtest.Run(t, h)
}

func TestFromDB(t *testing.T) {
	mqtest.Run(t, harness(t, func(t testing.TB, dsn string) *mq.Client {
		return mq.New(pgmq.FromDB(pool(t, dsn)), quiet)
	}))
}

func TestGroupIndexes(t *testing.T) {
	open := with("driver=pgx")
	mqtest.Run(t, harness(t, func(t testing.TB, dsn string) *mq.Client {
		return mq.New(indexed{open(t, dsn).Provider().(*pgmq.Provider)}, quiet)
	}))
}

// indexed makes every queue with an index for its groups.
type indexed struct{ *pgmq.Provider }

func (p indexed) EnsureQueue(ctx context.Context, queue string, o driver.QueueOptions) error {
	o.GroupIndexes = append(o.GroupIndexes, driver.GroupBy{})
	return p.Provider.EnsureQueue(ctx, queue, o)
}

func TestPgBouncer(t *testing.T) {
	open := with("poll_only=true&prepare=false")
	b := server.PgBouncer(t, server.Postgres(t), "transaction")
	mqtest.Run(t, harness(t, func(t testing.TB, dsn string) *mq.Client { return open(t, b.DSN(dsn)) }))
}

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// riverCooldown is the shortest pause between two fetches that River takes.
// With its default of 100 ms, 16 workers get 160 jobs a second.
const riverCooldown = time.Millisecond

// riverConns is the pool's size with which River inserts most.
const riverConns = 32

// riverArgs are as long as the others' bodies.
type riverArgs struct {
	ID  int    `json:"id"`
	Pad string `json:"pad"`
}

func (riverArgs) Kind() string { return "orders" }

var riverBody = riverArgs{1, string(body[15 : bodySize-2])}

// riverPeer is River on the lab's database.
type riverPeer struct {
	pool *pgxpool.Pool
	*river.Client[pgx.Tx]
}

func openRiver(ctx context.Context, l *lab) (*riverPeer, error) {
	pool, err := l.newPool(ctx, riverConns)
	if err != nil {
		return nil, err
	}
	driver := riverpgxv5.New(pool)
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: quiet})
	if err != nil {
		return nil, err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, err
	}
	client, err := river.NewClient(driver, &river.Config{Logger: quiet})
	return &riverPeer{pool, client}, err
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func (r *riverPeer) send(ctx context.Context) error {
	_, err := r.Insert(ctx, riverBody, nil)
	return err
}

// fill inserts n jobs.
func (r *riverPeer) fill(ctx context.Context, n int) error {
	for n > 0 {
		batch := make([]river.InsertManyParams, min(n, 5000))
		for i := range batch {
			batch[i].Args = riverBody
		}
		if _, err := r.InsertManyFast(ctx, batch); err != nil {
			return err
		}
		n -= len(batch)
	}
	return nil
}

// drain works n jobs and waits until all are completed in the database.
func (r *riverPeer) drain(ctx context.Context, n int) (time.Duration, error) {
	var worked atomic.Int64
	all := make(chan struct{})
	ws := river.NewWorkers()
	river.AddWorker(ws, river.WorkFunc(func(context.Context, *river.Job[riverArgs]) error {
		if worked.Add(1) == int64(n) {
			close(all)
		}
		return nil
	}))
	client, err := river.NewClient(riverpgxv5.New(r.pool), &river.Config{
		Logger: quiet, Workers: ws, FetchCooldown: riverCooldown, JobTimeout: -1,
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: workers}},
	})
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := client.Start(ctx); err != nil {
		return 0, err
	}
	select {
	case <-all:
	case <-ctx.Done():
	}
	// Stop completes what was worked.
	err = client.Stop(context.WithoutCancel(ctx))
	took := time.Since(start)
	if err == nil {
		err = r.completed(ctx, n)
	}
	return took, err
}

func (r *riverPeer) completed(ctx context.Context, n int) error {
	var got int
	err := r.pool.QueryRow(ctx, "SELECT count(*) FROM river_job WHERE state = 'completed'").Scan(&got)
	if err == nil && got != n {
		err = fmt.Errorf("river completed %d jobs of %d", got, n)
	}
	return err
}

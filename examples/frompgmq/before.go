package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/portmq/mq"
)

// This is a client of PGMQ as programs have them, the likes of pgmq-go: SQL
// functions with Go names. The comments say what each of them runs. So that it
// works here without a server, mq is below it.

var errNoRows = errors.New("no rows")

// Message is a row of a queue.
type Message struct {
	MsgID   string // a bigint there
	ReadCt  int
	Message json.RawMessage
}

type client struct {
	c    *mq.Client
	held map[string]*mq.Delivery
}

// send: SELECT * FROM pgmq.send($1, $2::jsonb)
func (c client) send(ctx context.Context, queue string, msg json.RawMessage) (string, error) {
	return c.c.Queue(queue).Send(ctx, &mq.Message{Body: msg})
}

// read: SELECT * FROM pgmq.read($1, $2, 1), with the timeout in seconds
func (c client) read(ctx context.Context, queue string, vt int) (*Message, error) {
	ds, err := c.c.Queue(queue).Receive(ctx, mq.ReceiveOptions{Visibility: time.Duration(vt) * time.Second})
	if err != nil || len(ds) == 0 {
		return nil, errors.Join(err, errNoRows)
	}
	c.held[ds[0].ID] = ds[0]
	return &Message{ds[0].ID, ds[0].ReadCount, ds[0].Body}, nil
}

// delete: SELECT pgmq.delete($1, $2::bigint), whoever has the message by then
func (c client) delete(ctx context.Context, _, id string) error { return c.held[id].Ack(ctx) }

// archive: SELECT pgmq.archive($1, $2::bigint)
func (c client) archive(ctx context.Context, _, id string) error { return c.held[id].Archive(ctx, "") }

// workBefore is the loop that grows around such a client: polling, a limit on
// attempts, one job at a time. Nobody extends the lease of a job that takes
// longer than 30 seconds, and a failed one is not looked at for as long.
func workBefore(ctx context.Context, c client, do func(Job) error) error {
	for ctx.Err() == nil {
		m, err := c.read(ctx, "jobs", 30)
		if errors.Is(err, errNoRows) {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if err != nil {
			return err
		}
		var j Job
		if err := json.Unmarshal(m.Message, &j); err != nil || m.ReadCt > 5 {
			if err := c.archive(ctx, "jobs", m.MsgID); err != nil {
				return err
			}
			continue
		}
		if do(j) != nil {
			continue
		}
		// What was done must be deleted, also when we are told to stop.
		if err := c.delete(context.WithoutCancel(ctx), "jobs", m.MsgID); err != nil {
			return err
		}
	}
	return nil
}

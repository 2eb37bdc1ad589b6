package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
	"github.com/portmq/mq/drivers/rabbitmq"
	"github.com/portmq/mq/drivers/sqlite"
)

func doctorCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor [QUEUE...]",
		Short: "Look for what makes a backend slow or keeps it from working",
		Long: `Look for what makes a backend slow or keeps it from working, in all queues if
none is named. It changes nothing. The exit code is 1 if there is a problem, and
0 if there is none or only advice.

It waits 2s for a lock and 10s for an answer. A check that would take longer is
a problem as well, which for a lock names the blocking session, and the others
go on.

On PGMQ it checks the versions and the tables' layout, the role's rights, dead
rows and autovacuum, the oldest transaction, triggers and throttles that wake
receivers, poolers, ids, partitions and indexes. On RabbitMQ it checks the
version, alarms, delays, and what AMQP shows of the queues that are named. For
that it publishes an empty message that no queue takes, and declares the queues
that are there: one that somebody drops in that moment is made again. On SQLite
it checks the settings, that the file can be written, its size and that of the
log, SQLite's quick_check up to 1 GiB, missing indexes, and the counters of all
queues.`,
		Example: `  mq doctor
  mq doctor orders
  mq doctor -o json | jq 'select(.level != "ok")'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *mq.Client) error {
				d := &doctor{app: a, client: c, out: newPrinter(a, "LEVEL", "WHERE", "FINDING¶")}
				d.out.fail(d.examine(cmd.Context(), args))
				return errors.Join(d.out.flush(), d.verdict())
			})
		},
		ValidArgsFunction: a.completeQueues,
	}
}

// doctor shows what it finds at once, or without a printer keeps it.
type doctor struct {
	app      *app
	client   *mq.Client
	dsn      string  // that of the client; "" for the one that commands use
	db       *sql.DB // of PGMQ
	out      *printer
	found    []finding
	said     int
	problems int
}

// finding is the JSON of what the doctor says.
type finding struct {
	Level   string `json:"level"` // ok, advice or problem
	Where   string `json:"where"`
	Finding string `json:"finding"`
}

func (d *doctor) say(level, where, format string, args ...any) {
	d.said++
	f := finding{level, where, fmt.Sprintf(format, args...)}
	if d.out == nil {
		d.found = append(d.found, f)
		return
	}
	switch level {
	case "problem":
		d.out.paint("LEVEL", red)
	case "advice":
		d.out.paint("LEVEL", yellow)
	}
	d.out.row(f, f.Level, f.Where, f.Finding)
}

func (d *doctor) ok(where, format string, args ...any)     { d.say("ok", where, format, args...) }
func (d *doctor) advice(where, format string, args ...any) { d.say("advice", where, format, args...) }

func (d *doctor) problem(where, format string, args ...any) {
	d.problems++
	d.say("problem", where, format, args...)
}

func (d *doctor) verdict() error {
	if d.problems == 0 {
		return nil
	}
	return errors.New(plural(int64(d.problems), "problem"))
}

func (d *doctor) examine(ctx context.Context, queues []string) error {
	start := time.Now()
	if err := d.client.Ping(ctx); err != nil {
		return err
	}
	d.ok("connection", "%s answers after %v", d.client.Provider().Name(), time.Since(start).Round(100*time.Microsecond))
	switch p := d.client.Provider().(type) {
	case *pgmq.Provider:
		if d.dsn == "" {
			dsn, err := d.app.theDSN()
			if err != nil {
				return err
			}
			d.dsn = dsn
		}
		return d.pgmq(ctx, d.dsn, queues)
	case *rabbitmq.Provider:
		return d.rabbitmq(ctx, p, queues)
	case *sqlite.Provider:
		return d.sqlite(ctx, p, queues)
	}
	return mustExist(ctx, d.client, queues...)
}

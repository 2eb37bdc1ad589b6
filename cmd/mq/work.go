package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

// working are the flags of mq work.
type working struct {
	cfg     mq.ConsumerConfig
	group   groupFlags
	idle    time.Duration
	hideDSN bool
}

func workCommand(a *app) *cobra.Command {
	var w working
	cmd := &cobra.Command{
		Use:   "work QUEUE -- COMMAND [ARG...]",
		Short: "Run a command for each message",
		Long: `Run a command for each message, until interrupted.

The body is the command's standard input; what it prints is printed. With
-concurrency above 1 lines of its standard error begin with QUEUE/ID. The
environment tells the rest:

  MQ_QUEUE, MQ_ID        the queue, and the message in it
  MQ_READ_COUNT          how often it has been delivered, this time included
  MQ_GROUP               its FIFO group
  MQ_ENQUEUED_AT         when it was sent
  MQ_HEADERS             its headers, as a JSON object
  MQ_HEADER_CONTENT_TYPE header content-type: capitals, and _ for all but letters
                         and digits

The exit code says what becomes of the message:

  0      done: it is deleted
  65     dead letter: it goes to the archive, or to -dead-letter
  75     not now: it comes again after a pause that grows with each time
  other  failed: the same, and the error output says so

A message that has come -max-attempts times is a dead letter instead of coming
again. The lease is prolonged for as long as the command runs. SIGINT, SIGTERM,
SIGQUIT and the end of the terminal end the work: no more messages are taken,
commands may take -stop-timeout to end and get SIGTERM after that, and what they
have not done comes again. A second signal ends everything at once. If mq itself
is killed the commands are ended, too.

The exit code of mq itself is 75 if it could not store the outcome of some
messages.`,
		Example: `  mq work thumbnails -c 4 -- ./make-thumbnail.sh
  mq work orders -timeout 1m -max-attempts 5 -- sh -c 'jq -r .id >>ids'
  mq work orders -idle 5s -- sh -c 'cat >>out'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if cmd.ArgsLenAtDash() != 1 || len(args) < 2 {
				return usagef("give the queue, -- and a command: mq work QUEUE -- COMMAND [ARG...]")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := exec.LookPath(args[1])
			if err != nil {
				return &usageError{err}
			}
			if err := w.check(); err != nil {
				return err
			}
			a.level, a.told = slog.LevelWarn, []string{"mq: handler failed", "mq: dead letter"}
			return a.with(func(c *mq.Client) error {
				return a.work(cmd.Context(), c.Queue(args[0]), w, &runner{
					app: a, path: path, args: args[1:], hideDSN: w.hideDSN, labels: w.cfg.Concurrency > 1,
				})
			})
		},
		ValidArgsFunction: a.completeQueue,
	}
	w.flags(a, cmd)
	return cmd
}

func (w *working) flags(a *app, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.IntVarP(&w.cfg.Concurrency, "concurrency", "c", 1, "how many commands run at once")
	flags.DurationVar(&w.cfg.Visibility, "visibility", 0, "how long messages are leased at a time: if mq dies they come again that late (default 30s)")
	flags.IntVar(&w.cfg.MaxAttempts, "max-attempts", 30, "how often a message is tried before it is a dead letter; 0 for no limit")
	flags.StringVar(&w.cfg.DeadLetter, "dead-letter", "", "the `queue` for dead letters (default: the archive)")
	flags.DurationVar(&w.cfg.Timeout, "timeout", 0, "how long a command may take; then it gets SIGTERM, and its message comes again")
	w.group.flags(cmd, "one message of a `group` at a time and in order")
	flags.DurationVar(&w.cfg.SoftStop, "stop-timeout", 18*time.Second, "how long commands may take to end after a signal; 9 seconds later all is over")
	flags.DurationVar(&w.idle, "idle", 0, "end when there was nothing to do for that long")
	flags.BoolVar(&a.duplicates, "allow-duplicate-moves", false, "use -dead-letter where a crash may leave a message in both queues, as on RabbitMQ")
	flags.BoolVar(&w.hideDSN, "hide-dsn", false, "keep MQ_DSN and PGPASSWORD from the commands")
	a.completeQueueFlag(cmd, "dead-letter")
}

func (w *working) check() error {
	switch {
	case w.cfg.Concurrency < 1:
		return usagef("-concurrency %d is below 1", w.cfg.Concurrency)
	case w.cfg.MaxAttempts < 0 || w.cfg.Visibility < 0 || w.cfg.Timeout < 0 || w.cfg.SoftStop < 0 || w.idle < 0:
		return usagef("-max-attempts, -visibility, -timeout, -stop-timeout and -idle are not negative")
	}
	if w.cfg.MaxAttempts == 0 {
		w.cfg.MaxAttempts = mq.Unlimited
	}
	if w.cfg.SoftStop == 0 {
		w.cfg.SoftStop = mq.AtOnce
	}
	w.cfg.HardStop = killAfter + 2*time.Second
	w.cfg.Prefetch = mq.NoPrefetch
	w.cfg.Groups = w.group.groups()
	return w.group.check()
}

// limits returns how long commands may go on if mq does not. Where a lease ends
// with the connection the next worker begins at once, and they end at once.
func (w *working) limits(caps driver.Caps) limits {
	visibility := cmp.Or(w.cfg.Visibility, 30*time.Second)
	for _, most := range []time.Duration{caps.MaxVisibility, caps.MaxHold} {
		if most > 0 {
			visibility = min(visibility, most)
		}
	}
	l := limits{visibility: visibility}
	if caps.PortableReceipts {
		l.grace = min(killAfter, visibility/12)
	}
	return l
}

// work runs r for each message until ctx ends, and says what was done.
func (a *app) work(ctx context.Context, q *mq.Queue, w working, r *runner) (err error) {
	if err := q.Client().Ping(ctx); err != nil {
		return err // a Consumer would try for ever
	}
	if err := mustExist(ctx, q.Client(), q.Name()); err != nil {
		return err
	}
	if r.dog, err = startWatchdog(w.limits(q.Client().Caps())); err != nil {
		return err
	}
	defer r.dog.close()
	a.atAbort(r.killAll)
	w.cfg.OnEvent = func(_ context.Context, e mq.Event) {
		if e.Kind == mq.EventDeadLetter {
			a.fault("%s/%s is a dead letter: %s", q.Name(), e.Delivery.ID, e.Reason)
		}
	}
	consumer, err := mq.NewConsumer(q, r, w.cfg)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if w.idle > 0 {
		i := &idler{consumer: consumer, queue: q, idle: w.idle, groups: w.cfg.Groups != nil}
		go i.run(ctx, stop)
	}
	err = consumer.Run(ctx)
	s := consumer.Stats()
	if err != nil && s.Received == 0 {
		return err
	}
	summary := fmt.Sprintf("worked on %s: %d done, %d retries, %d dead letters%s", q.Name(), s.Acked, s.Retried, s.DeadLettered, rest(s))
	if err == nil && s.Failed > 0 {
		return &unstoredError{summary}
	}
	a.note("%s", summary)
	return err
}

// unstoredError ends an mq work that could not store the outcome of some
// messages.
type unstoredError struct{ summary string }

func (e *unstoredError) Error() string { return e.summary }

func rest(s mq.ConsumerStats) (text string) {
	if s.Returned > 0 {
		text = fmt.Sprintf(", %d interrupted and given back", s.Returned)
	}
	if s.Lost+s.Failed > 0 {
		text += fmt.Sprintf(", %d leases lost, %d outcomes not stored: those messages come again", s.Lost, s.Failed)
	}
	if s.Stuck > 0 {
		text += fmt.Sprintf(", %d commands that did not end in time", s.Stuck)
	}
	return text
}

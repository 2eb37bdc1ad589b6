package mq

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/portmq/mq/driver"
)

// Values of ConsumerConfig that say "no" where zero means the default.
const (
	// Unlimited, as MaxAttempts or PrefetchBytes, sets no limit.
	Unlimited = -1
	// NoPrefetch, as Prefetch, leases no more messages than there are free
	// handlers.
	NoPrefetch = -1
	// AtOnce, as SoftStop or HardStop, leaves no time.
	AtOnce time.Duration = -1
)

// ConsumerConfig configures a Consumer. The zero value is the default.
type ConsumerConfig struct {
	// Concurrency is how many handlers run at once. Defaults to 10.
	Concurrency int

	// Visibility is how long a message is leased at a time. The Consumer
	// extends leases as long as needed, so this only bounds how long a crashed
	// process delays its messages. Defaults to 30 seconds, or to the provider's
	// limit if that is less.
	Visibility time.Duration

	// MaxAttempts is how many attempts a message has before it becomes a dead
	// letter: after the handler's last error, or instead of one more attempt if the
	// last one was never answered, as when the process was killed. Deliveries that
	// were given back before a handler began, interrupted by a stop, or snoozed, do
	// not count (see Caps.Attempts). Defaults to 30, which with the default Backoff
	// outlasts a failure of twelve hours. Unlimited sets no limit.
	//
	// A message whose last two attempts were never answered may be one that kills
	// its process. It is handled alone: nothing else is fetched until it is done,
	// and for up to 30 seconds it waits for the handlers that run. A nack that the
	// backend cannot note counts as no answer: see Delivery.Unanswered.
	MaxAttempts int

	// Backoff is the pause after an ordinary error. Defaults to
	// Exponential(time.Second, time.Hour). It is cut to Caps.MaxDelay; where the
	// provider has no delays the visibility timeout takes its place.
	Backoff Backoff

	// DeadLetter is the queue that dead letters are moved to. "" means the
	// queue's archive.
	DeadLetter string

	// KeepArchive is for how long messages stay in the queue's archive, about: this
	// Consumer deletes older ones, in small batches. It looks for them ten times within
	// that time, but no more than once a minute, and once an hour at least. Several
	// Consumers may do so at once. 0 deletes nothing. Needs a provider with PurgeArchive.
	KeepArchive time.Duration

	// OnEvent is called for each outcome that is not a success, after the backend
	// has it: retries, snoozes, dead letters, lost leases, settlements that failed.
	// All but snoozes are logged as well. ctx has the values of the handler's, and
	// ends after Config.CallTimeout. Calls run concurrently, each in a goroutine of
	// its own. Run waits for them as it does for settlements. A call that panics is
	// logged, one that hangs is left behind, and while ten hang it is not called.
	OnEvent func(ctx context.Context, e Event)

	// Rate is how many messages a second this Consumer begins, on average; bursts are up to
	// a tenth of it, one message at least. It fetches no more, so that the rest is free for
	// other processes. 0 means no limit.
	Rate float64

	// Timeout ends a handler's context. 0 means no limit.
	Timeout time.Duration

	// Prefetch is how many messages are leased ahead of the handlers, at
	// most Caps.MaxBatch at a time. 0 adapts it to their speed: about 100 ms
	// of work, none for handlers slower than that. See NoPrefetch.
	Prefetch int

	// PrefetchBytes is how many bytes of messages may wait for a handler,
	// judging by the size of earlier ones: a queue of large messages is fetched
	// a few at a time. With Config.AllowDuplicateMoves, where the provider
	// cannot move in one step, each message counts twice, since a copy is kept.
	// Defaults to 16 MiB. See Unlimited.
	PrefetchBytes int

	// Groups, if set, hands out the messages of a group one at a time and in
	// order: ByGroup() goes by Message.Group. What is prefetched then is the
	// next message of other groups, four for each worker at most.
	//
	// With Groups.Limit above 1, all Consumers of the queue together lease at most
	// that many messages of a group, in no strict order, so that one group cannot
	// occupy all workers. Prefetched messages count. Consumers of one queue should
	// have the same limit.
	Groups *GroupBy

	// Middleware wraps the handler, the first one outermost.
	Middleware []Middleware

	// SoftStop is how long running handlers and prefetched messages may
	// still take after the Consumer was told to stop. Then what is left of
	// the prefetched is given back and the handlers' contexts end. Defaults to 20
	// seconds. See AtOnce.
	//
	// SoftStop, HardStop and 4 seconds for the last settlements and events bound how
	// long Run takes to stop: 27 seconds by default, less than the 30 that container
	// platforms leave between SIGTERM and SIGKILL.
	SoftStop time.Duration

	// HardStop is how long to wait after that for handlers to return. Defaults to 3
	// seconds. See AtOnce.
	HardStop time.Duration
}

// lastSettlements is how long a stopping Consumer waits for settlements and events
// at least.
const lastSettlements = 4 * time.Second

func (cfg ConsumerConfig) withDefaults(caps driver.Caps) ConsumerConfig {
	cfg.Concurrency = cmp.Or(cfg.Concurrency, 10)
	cfg.Visibility = cmp.Or(cfg.Visibility, defaultVisibility(caps))
	cfg.MaxAttempts = cmp.Or(cfg.MaxAttempts, defaultMaxAttempts)
	cfg.SoftStop = cmp.Or(cfg.SoftStop, 20*time.Second)
	cfg.HardStop = cmp.Or(cfg.HardStop, 3*time.Second)
	if cfg.PrefetchBytes = cmp.Or(cfg.PrefetchBytes, defaultPrefetchBytes); cfg.PrefetchBytes < 0 {
		cfg.PrefetchBytes = math.MaxInt
	}
	if cfg.Groups != nil {
		by := *cfg.Groups
		by.Path = slices.Clone(by.Path)
		cfg.Groups = &by
	}
	return cfg
}

// check returns what is wrong with a configuration, before its defaults.
func (cfg ConsumerConfig) check(c *Client) error {
	switch {
	case cfg.Concurrency < 0:
		return invalid("Concurrency %d is negative", cfg.Concurrency)
	case !(cfg.Rate >= 0) || math.IsInf(cfg.Rate, 0): // NaN is not
		return invalid("Rate %v is negative or not finite", cfg.Rate)
	case cfg.Timeout < 0:
		return invalid("Timeout %v is negative", cfg.Timeout)
	case cfg.MaxAttempts < Unlimited:
		return invalid("MaxAttempts %d is negative (see Unlimited)", cfg.MaxAttempts)
	case cfg.PrefetchBytes < Unlimited:
		return invalid("PrefetchBytes %d is negative (see Unlimited)", cfg.PrefetchBytes)
	case cfg.Prefetch < NoPrefetch:
		return invalid("Prefetch %d is negative (see NoPrefetch)", cfg.Prefetch)
	case cfg.SoftStop < AtOnce:
		return invalid("SoftStop %v is negative (see AtOnce)", cfg.SoftStop)
	case cfg.HardStop < AtOnce:
		return invalid("HardStop %v is negative (see AtOnce)", cfg.HardStop)
	}
	if err := cfg.checkKeepArchive(c); err != nil {
		return err
	}
	if cfg.Groups != nil {
		if _, err := c.groups(); err != nil {
			return unsupported("ConsumerConfig.Groups")
		}
		if err := checkGroupBy(c.caps, cfg.Groups); err != nil {
			return err
		}
	}
	if cfg.Visibility == 0 {
		return nil
	}
	return checkVisibility(c.caps, cfg.Visibility)
}

// checkDeadLetter returns what is wrong with the queue for dead letters, as far as
// that can be said without asking the backend.
func (cfg ConsumerConfig) checkDeadLetter(q *Queue) error {
	if cfg.DeadLetter == "" {
		return nil
	}
	c := q.client
	if !c.caps.AtomicMove && !c.cfg.AllowDuplicateMoves {
		return unsupported("ConsumerConfig.DeadLetter without Config.AllowDuplicateMoves")
	}
	to, err := c.canonical(cfg.DeadLetter)
	if err == nil && to == q.name {
		err = invalid("DeadLetter is the queue itself: its dead letters would start again")
	}
	return err
}

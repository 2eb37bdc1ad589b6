package rabbitmq_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq"
)

const (
	isQueue   = `orders`
	isArchive = `orders\.archive`
	isDefault = `amq\.default`
)

// need is a row of the table in docs/rabbitmq.md.
type need struct {
	name   string
	rights [3][]string // to configure, write and read
	call   func(*rig, *mq.Queue) error
}

// calls are those of the table, by the first column of their rows.
var calls = map[string]func(*rig, *mq.Queue) error{
	"send": func(r *rig, q *mq.Queue) error {
		_, err := q.Send(r.Context(), &mq.Message{})
		return err
	},
	"receive, ack, nack, extend": func(r *rig, q *mq.Queue) error {
		d, err := receiveOne(r, q)
		if err == nil {
			err = d.Nack(r.Context(), 0)
		}
		if err == nil {
			d, err = receiveOne(r, q)
		}
		if err == nil {
			err = d.Extend(r.Context(), time.Minute)
		}
		if err == nil {
			err = d.Ack(r.Context())
		}
		return err
	},
	"nack that is uncounted or has a reason, archive": func(r *rig, q *mq.Queue) error {
		d, err := receiveOne(r, q)
		if err == nil {
			err = d.Archive(r.Context(), "why")
		}
		return err // such a nack needs no rights, see TestNackWithoutRights
	},
	"send with a delay, nack with a delay": sendLater, // nor does a nack, see TestRetriesWithoutRights
	"`Stats`, `Ping`, `EnsureQueue` of a queue that exists with its archive": func(r *rig, q *mq.Queue) error {
		_, err := q.Stats(r.Context())
		_, ensured := q.Client().EnsureQueue(r.Context(), queueName, mq.QueueOptions{})
		return errors.Join(err, ensured, q.Client().Ping(r.Context()))
	},
	"`Purge`": func(r *rig, q *mq.Queue) error {
		_, err := q.Purge(r.Context())
		return err
	},
	"`EnsureQueue` of a new queue": func(r *rig, q *mq.Queue) error {
		must(r.raw.QueueDelete(queueName, false, false, false))(r)
		must(r.raw.QueueDelete(queueName+".archive", false, false, false))(r)
		_, err := q.Client().EnsureQueue(r.Context(), queueName, mq.QueueOptions{})
		return err
	},
	"the first delay in a vhost": func(r *rig, q *mq.Queue) error {
		r.removeDelays()
		return sendLater(r, q)
	},
	"`DropQueue`": func(r *rig, q *mq.Queue) error { return q.Client().DropQueue(r.Context(), queueName) },
	"`Publish`":   publish,
	"`Bind`, `Unbind`": func(r *rig, q *mq.Queue) error {
		return errors.Join(q.Bind(r.Context(), "a.*"), q.Unbind(r.Context(), "b.*"))
	},
	"the first `Bind` or `Publish` in a vhost": func(r *rig, q *mq.Queue) error {
		ok(r, r.raw.ExchangeDelete("mq.topic", false, false))
		return publish(r, q)
	},
}

// names finds those that a cell has as code. What follows "and" is of a nack.
var names = regexp.MustCompile("`([^`]+)`")

// readNeeds reads the table.
func readNeeds(t *testing.T) (all []need) {
	t.Helper()
	text := string(must(os.ReadFile("../../../docs/rabbitmq.md"))(t))
	_, table, _ := strings.Cut(text, "| call | configure | write | read |\n|---|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		n := need{name: strings.TrimSpace(cells[1])}
		n.call = calls[n.name]
		for kind := range n.rights {
			cell, _, _ := strings.Cut(cells[2+kind], ", and")
			for _, name := range names.FindAllStringSubmatch(cell, -1) {
				right := strings.ReplaceAll(regexp.QuoteMeta(name[1]), `\*`, `.*`)
				n.rights[kind] = append(n.rights[kind], right)
			}
			if strings.HasSuffix(cell, "besides ") { // of Publish
				n.rights[1] = []string{`mq\.topic`}
			}
		}
		all = append(all, n)
	}
	return all
}

func sendLater(r *rig, q *mq.Queue) error {
	_, err := q.Send(r.Context(), &mq.Message{Delay: 100 * time.Millisecond})
	return err
}

func publish(r *rig, q *mq.Queue) error {
	_, err := q.Client().Publish(r.Context(), "a.b", &mq.Message{})
	return err
}

func receiveOne(r *rig, q *mq.Queue) (*mq.Delivery, error) {
	ds, err := q.Receive(r.Context(), mq.ReceiveOptions{Wait: patience})
	if err == nil && len(ds) == 0 {
		err = errors.New("nothing was received")
	}
	if err != nil {
		return nil, err
	}
	return ds[0], nil
}

// removeDelays removes the queues and exchanges for delays.
func (r *rig) removeDelays() {
	r.Helper()
	for level := range 3 {
		name := fmt.Sprintf("mq.delay.%02d", level)
		ok(r, r.raw.ExchangeDelete(name, false, false))
		must(r.raw.QueueDelete(name, false, false, false))(r)
	}
	for _, name := range []string{"mq.delay.out", "mq.delay.lost"} {
		ok(r, r.raw.ExchangeDelete(name, false, false))
	}
	must(r.raw.QueueDelete("mq.delay.lost", false, false, false))(r)
}

// as returns the queue as a user with these rights has it.
func (r *rig) as(configure, write, read []string) *mq.Queue {
	r.Helper()
	c := open(r, r.User(r, r.dsn, oneOf(configure), oneOf(write), oneOf(read)))
	r.Cleanup(func() { ok(r, c.Close()) })
	return c.Queue(queueName)
}

// oneOf matches some names, and none if there are none.
func oneOf(names []string) string {
	var all strings.Builder
	all.WriteString("^(")
	for i, name := range names {
		if i > 0 {
			all.WriteString("|")
		}
		all.WriteString(name)
	}
	if len(names) == 0 {
		return "^$"
	}
	return all.String() + ")$"
}

// TestRights: each call works with the rights that docs/rabbitmq.md names, and
// with any of them missing its error says so.
func TestRights(t *testing.T) {
	t.Parallel()
	needs := readNeeds(t)
	if len(needs) != len(calls) {
		t.Errorf("docs/rabbitmq.md has %d rows, the test %d", len(needs), len(calls))
	}
	for _, n := range needs {
		t.Run(n.name, func(t *testing.T) {
			t.Parallel()
			if n.call == nil {
				t.Fatal("the test has no such row")
			}
			r := newRig(t)
			must(r.Send(t.Context(), &mq.Message{Delay: 700 * time.Millisecond}))(t) // makes the delays
			ok(t, r.take().Ack(t.Context()))
			ok(t, r.Bind(t.Context(), "b.*")) // makes the exchange for topics
			r.send("1", "2", "3", "4", "5", "6")
			for kind := range n.rights {
				for missing := range n.rights[kind] {
					less := n.rights
					less[kind] = slices.Delete(slices.Clone(less[kind]), missing, missing+1)
					err := n.call(r, r.as(less[0], less[1], less[2]))
					if err == nil || !contains(err, "ACCESS_REFUSED", "docs/rabbitmq.md") {
						t.Errorf("without the %s right to %s: %v", [...]string{"configure", "write", "read"}[kind], n.rights[kind][missing], err)
					}
					must(r.Client().EnsureQueue(t.Context(), queueName, mq.QueueOptions{}))(t)
				}
			}
			ok(t, n.call(r, r.as(n.rights[0], n.rights[1], n.rights[2])))
		})
	}
}

// TestRetriesWithoutRights: a user who may only use the queue gets the retries
// of a Consumer when they are due, though not from the broker's delays, and
// dead letters in the archive.
func TestRetriesWithoutRights(t *testing.T) {
	t.Parallel()
	for _, there := range []bool{true, false} {
		t.Run(fmt.Sprint("delays are there: ", there), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			if there {
				ok(t, sendLater(r, r.Queue))
				ok(t, r.take().Ack(t.Context()))
			}
			q := r.as(nil, []string{isDefault, isQueue, isArchive}, []string{isQueue, isArchive})
			r.send("retried", "stays")
			const backoff = 300 * time.Millisecond
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var at []time.Time
			err := q.Consume(ctx, func(_ context.Context, d *mq.Delivery) error {
				if string(d.Body) == "stays" {
					return nil
				}
				if at = append(at, time.Now()); d.ReadCount != len(at) {
					t.Errorf("call %d has read count %d", len(at), d.ReadCount)
				}
				return errors.New("bug")
			}, mq.ConsumerConfig{
				Concurrency: 1, MaxAttempts: 3, Visibility: 20 * time.Minute,
				Backoff: func(int) time.Duration { return backoff },
				OnEvent: func(_ context.Context, e mq.Event) {
					if e.Kind == mq.EventDeadLetter {
						cancel()
					}
				},
			})
			ok(t, err)
			if len(at) != 3 || at[2].Sub(at[0]) < 2*backoff {
				t.Errorf("the handler was called at %v, want three calls %v apart", at, backoff)
			}
			if s := must(q.Stats(t.Context()))(t); s.Archived != 1 || s.Visible != 0 {
				t.Errorf("Stats are %+v", s)
			}
			if err := sendLater(r, q); err == nil || !contains(err, "delays need rights", "ACCESS_REFUSED") {
				t.Errorf("a send with a delay: %v", err)
			}
			_, err = q.SendAll(t.Context(), []*mq.Message{{}, {Delay: time.Second}})
			var each *mq.BatchError
			if !errors.As(err, &each) || each.Errs[0] != nil || each.Errs[1] == nil {
				t.Errorf("a batch with one delay: %v", err)
			}
		})
	}
}

// TestNackWithoutRights: a user who may not publish gives back all the same. Such
// a nack notes nothing.
func TestNackWithoutRights(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.send("1", "2", "3")
	q := r.as(nil, nil, []string{isQueue})
	ds := must(q.Receive(t.Context(), mq.ReceiveOptions{Max: 3, Wait: patience}))(t)
	for len(ds) < 3 {
		ds = append(ds, r.takeFrom(q))
	}
	batch := []mq.Settlement{
		{Receipt: ds[0].Receipt, Op: mq.OpNack, Uncounted: true},
		{Receipt: ds[1].Receipt, Op: mq.OpNack, Reason: "EOF"},
		{Receipt: ds[2].Receipt, Op: mq.OpAck},
	}
	ok(t, q.Settle(t.Context(), batch...))
	for range 2 {
		d := r.takeFrom(q)
		if d.ReadCount != 2 || d.Attempt != 2 || d.Headers["mq-error"] != "" {
			t.Errorf("received %v at attempt %d, with %v", d, d.Attempt, d.Headers)
		}
		ok(t, d.Ack(t.Context()))
	}
	r.none()
}

func contains(err error, parts ...string) bool {
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			return false
		}
	}
	return true
}

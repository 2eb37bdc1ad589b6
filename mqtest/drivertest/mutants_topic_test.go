package drivertest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/portmq/mq/driver"
)

var topicMutations = []mutation{
	{"bindings ignored", "Router.Publish: queues that have a pattern that matches", publishing(func(m *mutant, topic string) ([]string, error) {
		return m.Provider.ListQueues(context.Background())
	}), "topic/publish topic/patterns topic/nobody topic/unbind"},
	{"only the first queue", "Router.Publish: every queue that has a pattern that matches", publishing(func(m *mutant, topic string) ([]string, error) {
		names, err := m.matched(topic, driver.MatchTopic)
		return names[:min(1, len(names))], err
	}), "topic/publish topic/batch topic/same-message topic/delay topic/head-start topic/apart topic/wakes"},
	{"once for each pattern", "Router.Publish: once in each queue", publishing(func(m *mutant, topic string) (names []string, err error) {
		all, err := m.Provider.Bindings(context.Background(), "")
		for _, b := range all {
			if driver.MatchTopic(b.Pattern, topic) {
				names = append(names, b.Queue)
			}
		}
		return names, err
	}), "topic/once"},
	{"* matches dots", "\"*\" stands for characters other than dots", mistaking("*", "#"), "topic/patterns"},
	{"# stops at dots", "\"#\" stands for any text", mistaking("#", "*"), "topic/patterns"},
	{"first # stops at dots", "\"#\" stands for any text", publishingBy(func(pattern, topic string) bool {
		if rest, first := strings.CutPrefix(pattern, "#"); first {
			pattern = "*" + rest
		}
		return driver.MatchTopic(pattern, topic)
	}), "topic/first-word"},
	{"# matches no word", "logs.# does not match logs", publishingBy(func(pattern, topic string) bool {
		return driver.MatchTopic(pattern, topic) || driver.MatchTopic(strings.ReplaceAll(pattern, ".#", ""), topic)
	}), "topic/patterns"},
	{"# matches nothing", "\"#\" stands for any text", publishingBy(func(pattern, topic string) bool { return pattern == topic }), "topic/patterns"},
	{"topics folded", "MatchTopic tells what matches", publishingBy(func(pattern, topic string) bool {
		return driver.MatchTopic(strings.ToLower(pattern), strings.ToLower(topic))
	}), "topic/patterns"},
	{"_ is a wildcard", "MatchTopic tells what matches", publishingBy(func(pattern, topic string) bool {
		return driver.MatchTopic(strings.ReplaceAll(pattern, "_", "*"), topic)
	}), "topic/patterns"},
	{"* is a whole word", "MatchTopic tells what matches", publishingBy(func(pattern, topic string) bool {
		return driver.MatchTopic(pattern, topic) && (!strings.Contains(pattern, "log*") || strings.HasSuffix(topic, "log-2"))
	}), "topic/within-words"},
	{"bind is late", "a binding counts from the return of Bind on", late, "topic/bind-twice topic/clients"},
	{"bind fails the second time", "Bind is idempotent", bindsOnce, "topic/bind-twice"},
	{"bind replaces all bindings", "a binding counts from the return of Bind on", rebinds, "topic/concurrent"},
	{"bind counts", "Bind is idempotent", bindCounts, "topic/bind-twice"},
	{"binds what is missing", "Bind: a missing queue is ErrQueueNotFound", func(m *mutant) {
		m.bind = func(ctx context.Context, queue, pattern string) error {
			return replaced(m.Provider.Bind(ctx, queue, pattern), driver.ErrQueueNotFound, nil)
		}
	}, "topic/missing"},
	{"unbind ignored", "Unbind removes a binding", func(m *mutant) {
		m.unbind = func(context.Context, string, string) error { return nil }
	}, "topic/unbind topic/bind-twice topic/clients"},
	{"unbind removes all", "Unbind removes a binding", unbindsAll, "topic/unbind topic/bindings"},
	{"unbind misses", "Unbind: a binding that is not there is removed without an error", unbindMisses, "topic/unbind topic/concurrent"},
	{"bindings in reverse", "Bindings are sorted by queue and pattern", bindingsOf(func(all []driver.Binding, _ string) []driver.Binding {
		slices.Reverse(all)
		return all
	}), "topic/bindings"},
	{"bindings of all", "Bindings returns the bindings of a queue", func(m *mutant) {
		m.bindings = func(ctx context.Context, _ string) ([]driver.Binding, error) { return m.Provider.Bindings(ctx, "") }
	}, "topic/bindings"},
	{"bindings of nobody", "Bindings returns those of all queues if it is \"\"", bindingsOf(func(all []driver.Binding, queue string) []driver.Binding {
		if queue == "" {
			return nil
		}
		return all
	}), "topic/bindings"},
	{"bindings survive a drop", "DropQueue drops the bindings as well", bindingsSurvive, "topic/dropped topic/bindings-dropped"},
	{"published in reverse", "Publish stores msgs", sending(func(msgs []driver.Message) []driver.Message {
		msgs = slices.Clone(msgs)
		slices.Reverse(msgs)
		return msgs
	}), "topic/batch"},
	{"publish forgets the last of a batch", "Publish stores msgs", sending(func(msgs []driver.Message) []driver.Message {
		return msgs[:len(msgs)-1]
	}), "topic/publish topic/batch"},
	{"publish forgets the delay", "Publish stores msgs", sending(changed(func(m *driver.Message) { m.Delay = 0 })), "topic/delay"},
	{"publish forgets the head start", "Publish stores msgs", sending(changed(func(m *driver.Message) { m.HeadStart = 0 })), "topic/head-start"},
	{"publish forgets the headers", "Publish stores msgs", sending(changed(func(m *driver.Message) { m.Headers = nil })), "topic/same-message"},
	{"publish forgets the group", "Publish stores msgs", sending(changed(func(m *driver.Message) { m.Group = "" })), "topic/same-message"},
	{"publish sends small batches", "Publish: at most Caps.MaxBatch", smallPublishes, "topic/limit"},
	{"published unsorted", "Publish returns ids by queue, sorted by its name", publishedAs(func(out []driver.Published) []driver.Published {
		slices.Reverse(out)
		return out
	}), "topic/publish"},
	{"the ids of the first queue", "Publish returns their ids by queue", publishedAs(func(out []driver.Published) []driver.Published {
		for i := range out {
			out[i].IDs = out[0].IDs
		}
		return out
	}), "topic/publish"},
	{"nobody is told", "Publish returns their ids by queue", publishedAs(func([]driver.Published) []driver.Published { return nil }), "topic/publish"},
	{"nobody is an error", "Publish returns none if nothing matches", nobodyFails, "topic/nobody topic/bind-twice"},
	{"publish stops half way", "Caps.AtomicSend: either all queues get all messages or none does", halfPublish, "topic/atomic"},
	{"publish in the transaction is outside", "TxPublisher: what it does takes effect when that commits", publishesOutside, "topic/tx-commit topic/tx-rollback"},
	{"publish in the transaction is lost", "TxPublisher: what it does takes effect when that commits", txPublishing(func(m *mutant, _ driver.TxProvider) func(context.Context, string, []driver.Message) ([]driver.Published, error) {
		other := m.Begin()
		return func(ctx context.Context, topic string, msgs []driver.Message) ([]driver.Published, error) {
			p, err := m.Provider.Tx(other)
			if err != nil {
				return nil, err
			}
			return p.(driver.TxPublisher).Publish(ctx, topic, msgs)
		}
	}), "topic/tx-commit"},
	{"publish in the transaction blocks", "it must not keep other transactions waiting", txPublishBlocks, "topic/tx-open"},
}

// matched returns the queues with a pattern that matches.
func (m *mutant) matched(topic string, matches func(pattern, topic string) bool) (names []string, err error) {
	all, err := m.Provider.Bindings(context.Background(), "")
	for _, b := range all {
		if matches(b.Pattern, topic) {
			names = append(names, b.Queue)
		}
	}
	return slices.Compact(names), err
}

// publishing sends to the queues that choose returns, one by one.
func publishing(choose func(m *mutant, topic string) ([]string, error)) func(*mutant) {
	return func(m *mutant) {
		m.publish = func(ctx context.Context, topic string, msgs []driver.Message) (out []driver.Published, err error) {
			names, err := choose(m, topic)
			for _, name := range names {
				ids, e := m.Provider.Send(ctx, name, msgs)
				out, err = append(out, driver.Published{Queue: name, IDs: ids}), errors.Join(err, e)
			}
			return out, err
		}
	}
}

func publishingBy(matches func(pattern, topic string) bool) func(*mutant) {
	return publishing(func(m *mutant, topic string) ([]string, error) { return m.matched(topic, matches) })
}

// mistaking takes one wildcard for another.
func mistaking(wildcard, as string) func(*mutant) {
	return publishingBy(func(pattern, topic string) bool {
		return driver.MatchTopic(strings.ReplaceAll(pattern, wildcard, as), topic)
	})
}

// late binds a while after Bind has returned.
func late(m *mutant) {
	m.bind = func(ctx context.Context, queue, pattern string) error {
		if _, err := m.Provider.Stats(ctx, queue); err != nil {
			return err
		}
		time.AfterFunc(10*time.Millisecond, func() { _ = m.Provider.Bind(context.Background(), queue, pattern) })
		return nil
	}
}

func bindsOnce(m *mutant) {
	m.bind = func(ctx context.Context, queue, pattern string) error {
		all, _ := m.Provider.Bindings(ctx, queue)
		if slices.Contains(all, driver.Binding{Queue: queue, Pattern: pattern}) {
			return errors.New("duplicate key")
		}
		return m.Provider.Bind(ctx, queue, pattern)
	}
}

// rebinds has nothing bound for a while.
func rebinds(m *mutant) {
	m.bind = func(ctx context.Context, queue, pattern string) error {
		all, err := m.Provider.Bindings(ctx, "")
		for _, b := range all {
			err = errors.Join(err, m.Provider.Unbind(ctx, b.Queue, b.Pattern))
		}
		if len(all) > 0 {
			time.Sleep(time.Millisecond)
		}
		for _, b := range append(all, driver.Binding{Queue: queue, Pattern: pattern}) {
			err = errors.Join(err, m.Provider.Bind(ctx, b.Queue, b.Pattern))
		}
		return err
	}
}

// bindCounts needs as many Unbinds as there were Binds.
func bindCounts(m *mutant) {
	var mu sync.Mutex
	binds := make(map[string]int)
	m.bind = func(ctx context.Context, queue, pattern string) error {
		mu.Lock()
		defer mu.Unlock()
		binds[queue+" "+pattern]++
		return m.Provider.Bind(ctx, queue, pattern)
	}
	m.unbind = func(ctx context.Context, queue, pattern string) error {
		mu.Lock()
		defer mu.Unlock()
		if binds[queue+" "+pattern]--; binds[queue+" "+pattern] > 0 {
			return nil
		}
		return m.Provider.Unbind(ctx, queue, pattern)
	}
}

func unbindsAll(m *mutant) {
	m.unbind = func(ctx context.Context, queue, pattern string) error {
		all, err := m.Provider.Bindings(ctx, queue)
		for _, b := range all {
			err = errors.Join(err, m.Provider.Unbind(ctx, queue, b.Pattern))
		}
		return err
	}
}

func unbindMisses(m *mutant) {
	m.unbind = func(ctx context.Context, queue, pattern string) error {
		all, err := m.Provider.Bindings(ctx, queue)
		if err == nil && !slices.Contains(all, driver.Binding{Queue: queue, Pattern: pattern}) {
			err = errors.New("no such binding")
		}
		return errors.Join(err, m.Provider.Unbind(ctx, queue, pattern))
	}
}

func bindingsOf(change func(all []driver.Binding, queue string) []driver.Binding) func(*mutant) {
	return func(m *mutant) {
		m.bindings = func(ctx context.Context, queue string) ([]driver.Binding, error) {
			all, err := m.Provider.Bindings(ctx, queue)
			return change(all, queue), err
		}
	}
}

// bindingsSurvive binds a queue that is made again to what the dropped one was bound to.
func bindingsSurvive(m *mutant) {
	var kept []driver.Binding
	m.drop = func(ctx context.Context, queue string) error {
		kept, _ = m.Provider.Bindings(ctx, queue)
		return m.Provider.DropQueue(ctx, queue)
	}
	m.ensure = func(ctx context.Context, queue string, o driver.QueueOptions) error {
		err := m.Provider.EnsureQueue(ctx, queue, o)
		for _, b := range kept {
			if b.Queue == queue {
				err = errors.Join(err, m.Provider.Bind(ctx, queue, b.Pattern))
			}
		}
		return err
	}
}

// sending changes what is published.
func sending(change func([]driver.Message) []driver.Message) func(*mutant) {
	return func(m *mutant) {
		m.publish = func(ctx context.Context, topic string, msgs []driver.Message) ([]driver.Published, error) {
			return m.Provider.Publish(ctx, topic, change(msgs))
		}
	}
}

func changed(change func(*driver.Message)) func([]driver.Message) []driver.Message {
	return func(msgs []driver.Message) []driver.Message {
		msgs = slices.Clone(msgs)
		for i := range msgs {
			change(&msgs[i])
		}
		return msgs
	}
}

func smallPublishes(m *mutant) {
	m.publish = func(ctx context.Context, topic string, msgs []driver.Message) ([]driver.Published, error) {
		if len(msgs) > 100 {
			return nil, driver.ErrInvalid
		}
		return m.Provider.Publish(ctx, topic, msgs)
	}
}

func publishedAs(change func([]driver.Published) []driver.Published) func(*mutant) {
	return func(m *mutant) {
		m.publish = func(ctx context.Context, topic string, msgs []driver.Message) ([]driver.Published, error) {
			out, err := m.Provider.Publish(ctx, topic, msgs)
			return change(out), err
		}
	}
}

func nobodyFails(m *mutant) {
	m.publish = func(ctx context.Context, topic string, msgs []driver.Message) ([]driver.Published, error) {
		out, err := m.Provider.Publish(ctx, topic, msgs)
		if err == nil && len(out) == 0 {
			err = driver.ErrQueueNotFound
		}
		return out, err
	}
}

// halfPublish takes its time between two queues, and goes no further if ctx has ended.
func halfPublish(m *mutant) {
	m.publish = func(ctx context.Context, topic string, msgs []driver.Message) (out []driver.Published, err error) {
		names, err := m.matched(topic, driver.MatchTopic)
		for _, name := range names {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			ids, e := m.Provider.Send(ctx, name, msgs)
			out, err = append(out, driver.Published{Queue: name, IDs: ids}), errors.Join(err, e)
			time.Sleep(time.Millisecond)
		}
		return out, err
	}
}

// txPublishing replaces TxPublisher.Publish.
func txPublishing(publish func(m *mutant, p driver.TxProvider) func(context.Context, string, []driver.Message) ([]driver.Published, error)) func(*mutant) {
	return func(m *mutant) {
		m.tx = func(tx driver.SQLTx) (driver.TxProvider, error) {
			p, err := m.Provider.Tx(tx)
			return txPublisher{p, publish(m, p)}, err
		}
	}
}

type txPublisher struct {
	driver.TxProvider
	publish func(context.Context, string, []driver.Message) ([]driver.Published, error)
}

func (p txPublisher) Publish(ctx context.Context, topic string, msgs []driver.Message) ([]driver.Published, error) {
	return p.publish(ctx, topic, msgs)
}

func publishesOutside(m *mutant) {
	txPublishing(func(m *mutant, _ driver.TxProvider) func(context.Context, string, []driver.Message) ([]driver.Published, error) {
		return m.Provider.Publish
	})(m)
}

// txPublishBlocks has sends wait, as if for a lock, once a transaction has published.
func txPublishBlocks(m *mutant) {
	txBlocks(m)
	m.publish = func(ctx context.Context, topic string, msgs []driver.Message) ([]driver.Published, error) {
		if _, err := m.send(ctx, nowhere, msgs); !errors.Is(err, driver.ErrQueueNotFound) {
			return nil, err
		}
		return m.Provider.Publish(ctx, topic, msgs)
	}
}

package drivertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/portmq/mq"
)

var dedupCases = []testCase{
	{name: "dedup/first", rule: "Deduplicator: a second send with a key stores nothing, and answers with the id of the first", needs: deduplicates, run: dedupFirst},
	{name: "dedup/done", rule: "a key is held for DedupFor, however soon its message is done", needs: deduplicates, run: dedupDone},
	{name: "dedup/ends", rule: "after DedupFor the key is free", needs: deduplicates, run: dedupEnds},
	{name: "dedup/not-prolonged", rule: "a duplicate does not prolong how long the key is held", needs: deduplicates, run: dedupNotProlonged},
	{name: "dedup/while-queued", rule: "WhileQueued holds the key while the message is in the queue: visible, leased or delayed", needs: deduplicates, run: dedupWhileQueued},
	{name: "dedup/while-queued-left", rule: "WhileQueued frees the key when the message is acked, archived, moved, popped or purged", needs: deduplicates, run: dedupWhileQueuedLeft},
	{name: "dedup/new-message", rule: "a message that a redrive or a move makes has no key", needs: deduplicates, run: dedupNewMessage},
	{name: "dedup/apart", rule: "other keys, and the same key in other queues, are other messages", needs: deduplicates, run: dedupApart},
	{name: "dedup/batch", rule: "in a batch the messages with free keys and those without keys are stored, and ids come in slice order", needs: all(deduplicates, batches), run: dedupBatch},
	{name: "dedup/same-message", rule: "a message with a key is delivered as it was sent, as any other", needs: deduplicates, run: dedupSameMessage},
	{name: "dedup/delayed", rule: "a delayed message holds its key from the send on", needs: all(deduplicates, delays), run: dedupDelayed},
	{name: "dedup/concurrent", rule: "of many sends of one key at the same time one is stored", needs: deduplicates, run: dedupConcurrent},
	{name: "dedup/merged", rule: "each of many callers at the same time learns its own result", needs: deduplicates, run: dedupMerged},
	{name: "dedup/clients", rule: "a key that one client's message holds is held for others", needs: all(deduplicates, shared), run: dedupClients},
	{name: "dedup/dropped", rule: "a queue that is dropped and made again holds no keys", needs: all(deduplicates, canDrop), run: dedupDropped},
	{name: "dedup/missing", rule: "a send with a key to a missing queue is ErrQueueNotFound", needs: deduplicates, run: dedupMissing},
	{name: "dedup/invalid", rule: "a key or a DedupFor that cannot be is ErrInvalid, and nothing is sent", run: dedupInvalid},
	{name: "dedup/tx-commit", rule: "a key that a transaction has taken is held when it commits", needs: all(deduplicates, transactions), run: dedupTxCommit},
	{name: "dedup/tx-rollback", rule: "a key that a transaction has taken is free when it is rolled back", needs: all(deduplicates, transactions), run: dedupTxRollback},
	{name: "dedup/tx-duplicate", rule: "a duplicate in a transaction does not abort it", needs: all(deduplicates, transactions), run: dedupTxDuplicate},
	{name: "dedup/tx-again", rule: "a transaction that acks the message which holds a key WhileQueued can send the next one with it", needs: all(deduplicates, transactions), run: dedupTxAgain},
	{name: "dedup/tx-open", rule: "a send whose key an open transaction has taken waits, and keeps no other waiting", needs: all(deduplicates, manyWriters), run: dedupTxOpen},
	{name: "unsupported/dedup", rule: "without a driver.Deduplicator a send with a key is ErrNotSupported, and nothing is sent", needs: lacks(deduplicates, "driver.Deduplicator"), run: refuses(mq.Message{DedupKey: "k"})},
}

// once sends a message with a key and checks whether it is the first.
func (t *tester) once(q *mq.Queue, key string, d time.Duration, first bool) (id string) {
	t.Helper()
	id, was, err := q.SendOnce(t.ctx, &mq.Message{Body: []byte(key), DedupKey: key, DedupFor: d})
	t.ok(err, "SendOnce of key %q", key)
	switch {
	case was && !first:
		t.Errorf("a message with key %q was stored, which is held", key)
	case first && !was:
		t.Errorf("a message with key %q is a duplicate of %s, and the key is free", key, id)
	case id == "":
		t.Errorf("a message with key %q has no id", key)
	}
	t.alive()
	return id
}

// held checks that a key is held by message id.
func (t *tester) held(q *mq.Queue, key, id string) {
	t.Helper()
	if got := t.once(q, key, 0, false); got != id {
		t.Errorf("the duplicate of key %q has id %s, want that of the first, %s", key, got, id)
	}
}

func dedupFirst(t *tester) {
	q := t.queue()
	id := t.once(q, "invoice 42", 0, true)
	t.held(q, "invoice 42", id)
	if again := t.post(q, &mq.Message{DedupKey: "invoice 42"}); again[0] != id {
		t.Errorf("Send of a duplicate returned id %s, want that of the first, %s", again[0], id)
	}
	t.counted(q, counts{visible: 1})
	if d := t.one(q); d.ID != id {
		t.Errorf("received message %s, want %s", d.ID, id)
	}
	t.none(q, "the others were duplicates")
}

func dedupDone(t *tester) {
	q := t.queue()
	id := t.once(q, "k", time.Hour, true)
	t.ok(t.one(q).Ack(t.ctx), "ack")
	t.held(q, "k", id)
	t.none(q, "the message is done, and the other was a duplicate")
}

func dedupEnds(t *tester) {
	q := t.queue()
	held := 4 * t.unit
	var id string
	sent := timed(func() { id = t.once(q, "k", held, true) })
	t.before(sent.from.Add(held), func(t *tester) { t.held(q, "k", id) })
	time.Sleep(time.Until(sent.to.Add(held + t.caps.Resolution + early)))
	if again := t.once(q, "k", held, true); again == id {
		t.Errorf("the second message has the id of the first, %s", id)
	}
	t.counted(q, counts{visible: 2})
}

func dedupNotProlonged(t *tester) {
	q := t.queue()
	held := 4 * t.unit
	sent := timed(func() { t.once(q, "k", held, true) })
	t.before(sent.from.Add(held), func(t *tester) { t.once(q, "k", time.Hour, false) })
	time.Sleep(time.Until(sent.to.Add(held + t.caps.Resolution + early)))
	t.once(q, "k", held, true)
}

func dedupWhileQueued(t *tester) {
	q := t.queue()
	id := t.once(q, "k", mq.WhileQueued, true)
	time.Sleep(t.unit)
	t.held(q, "k", id)
	d := t.one(q)
	t.held(q, "k", id)
	if t.caps.Delay {
		t.ok(d.Nack(t.ctx, t.delay()), "nack with a delay")
	} else {
		t.ok(d.Nack(t.ctx, 0), "nack")
	}
	t.held(q, "k", id)
}

func dedupWhileQueuedLeft(t *tester) {
	q, to := t.queue(), t.queue()
	ways := map[string]func(){
		"ack":     func() { t.ok(t.one(q).Ack(t.ctx), "ack") },
		"archive": func() { t.ok(t.one(q).Archive(t.ctx, "why not"), "archive") },
	}
	if t.caps.AtomicMove {
		ways["move"] = func() { t.ok(t.one(q).Move(t.ctx, to.Name(), "why not"), "move") }
	}
	if canPop(t.h, t.p, t.caps) == "" {
		ways["pop"] = func() { _, err := q.Pop(t.ctx, 1); t.ok(err, "Pop") }
	}
	if canPurge(t.h, t.p, t.caps) == "" {
		ways["purge"] = func() { _, err := q.Purge(t.ctx); t.ok(err, "Purge") }
	}
	for name, leave := range ways {
		t.once(q, name, mq.WhileQueued, true)
		leave()
		t.once(q, name, mq.WhileQueued, true)
		t.ok(t.one(q).Ack(t.ctx), "ack")
	}
}

func dedupNewMessage(t *tester) {
	q, to := t.queue(), t.queue()
	if canRedrive(t.h, t.p, t.caps) == "" {
		t.once(q, "redriven", mq.WhileQueued, true)
		t.ok(t.one(q).Archive(t.ctx, "why not"), "archive")
		id := t.once(q, "redriven", mq.WhileQueued, true)
		n, err := q.Redrive(t.ctx, mq.RedriveOptions{})
		if t.ok(err, "Redrive"); n != 1 {
			t.Errorf("Redrive moved %d messages, want 1", n)
		}
		t.held(q, "redriven", id)
		t.counted(q, counts{visible: 2})
	}
	if t.caps.AtomicMove {
		t.once(to, "moved", mq.WhileQueued, true)
		t.ok(t.one(to).Move(t.ctx, q.Name(), "why not"), "move")
		t.once(q, "moved", mq.WhileQueued, true)
	}
}

func dedupApart(t *tester) {
	q, other := t.queue(), t.queue()
	keys := []string{"a", "A", " a", "a ", "é", "e\u0301", "%", `"`, "'", strings.Repeat("é", 127)}
	for _, key := range keys {
		t.once(q, key, time.Hour, true)
	}
	for _, key := range keys {
		t.once(q, key, time.Hour, false)
		t.once(other, key, time.Hour, true)
	}
	t.counted(q, counts{visible: int64(len(keys))})
	t.counted(other, counts{visible: int64(len(keys))})
}

func dedupBatch(t *tester) {
	q := t.queue()
	held := t.once(q, "held", 0, true)
	ids := t.post(q, &mq.Message{Body: []byte("0"), DedupKey: "new"}, &mq.Message{Body: []byte("1")},
		&mq.Message{Body: []byte("2"), DedupKey: "new"}, &mq.Message{Body: []byte("3"), DedupKey: "held"})
	if ids[2] != ids[0] || ids[3] != held || ids[1] == ids[0] {
		t.Errorf("ids %s, want that of the third to be that of the first, and that of the last %s", ids, held)
	}
	got := make(map[string]string)
	for _, d := range t.receive(q, 3) {
		got[d.ID] = string(d.Body)
	}
	if got[ids[0]] != "0" || got[ids[1]] != "1" || got[held] != "held" {
		t.Errorf("received %v, want the bodies of messages %s, %s and %s", got, ids[0], ids[1], held)
	}
	t.none(q, "the others were duplicates")
}

func dedupSameMessage(t *tester) {
	q := t.queue()
	m := t.movable()
	want := *m
	m.DedupKey = "k"
	_, err := q.Send(t.ctx, m)
	t.ok(err, "Send")
	t.sameMessage(t.one(q).Message, &want)
}

func dedupDelayed(t *tester) {
	q := t.queue()
	id, first, err := q.SendOnce(t.ctx, &mq.Message{DedupKey: "k", DedupFor: mq.WhileQueued, Delay: t.delay()})
	if t.ok(err, "SendOnce"); !first {
		t.Error("the first message is a duplicate")
	}
	t.held(q, "k", id)
	t.counted(q, counts{delayed: 1})
}

func dedupConcurrent(t *tester) {
	q := t.queue()
	for round := range 5 {
		key := fmt.Sprint("round ", round)
		ids, firsts := t.atOnce(16, func(int) (string, bool, error) {
			return q.SendOnce(t.ctx, &mq.Message{DedupKey: key, DedupFor: mq.WhileQueued})
		})
		slices.Sort(ids)
		if ids = slices.Compact(ids); len(ids) != 1 || firsts != 1 {
			t.Errorf("16 sends at once have ids %s, and %d of them are said to be the first", ids, firsts)
		}
	}
	t.counted(q, counts{visible: 5})
}

// atOnce sends n messages at the same time.
func (t *tester) atOnce(n int, send func(i int) (string, bool, error)) (ids []string, firsts int) {
	t.Helper()
	ids = make([]string, n)
	errs := make([]error, n)
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			id, first, err := send(i)
			mu.Lock()
			defer mu.Unlock()
			ids[i], errs[i] = id, err
			if first {
				firsts++
			}
		})
	}
	all.Wait()
	t.ok(errors.Join(errs...), "sends at once")
	return ids, firsts
}

func dedupMerged(t *tester) {
	q := t.queue()
	held := t.once(q, "0", time.Hour, true)
	ids, firsts := t.atOnce(64, func(i int) (string, bool, error) {
		return q.SendOnce(t.ctx, &mq.Message{Body: fmt.Append(nil, i%32), DedupKey: fmt.Sprint(i % 32), DedupFor: time.Hour})
	})
	if ids[0] != held || ids[32] != held {
		t.Errorf("duplicates of message %s have ids %s and %s", held, ids[0], ids[32])
	}
	if firsts != 31 {
		t.Errorf("%d of 64 sends with 31 free keys are said to be the first", firsts)
	}
	bodies := make(map[string]string)
	for _, d := range t.receive(q, 32) {
		bodies[d.ID] = string(d.Body)
	}
	for i, id := range ids {
		if body := bodies[id]; body != fmt.Sprint(i%32) {
			t.Errorf("the sender of %d was told id %s, which is message %q", i%32, id, body)
		}
	}
	t.none(q, "the others were duplicates")
}

func dedupClients(t *tester) {
	q := t.queue()
	id := t.once(q, "k", time.Hour, true)
	t.held(t.again().Queue(q.Name()), "k", id)
	t.counted(q, counts{visible: 1})
}

func dedupDropped(t *tester) {
	q := t.queue()
	t.once(q, "k", time.Hour, true)
	t.ok(t.c.DropQueue(t.ctx, q.Name()), "DropQueue")
	_, err := t.c.EnsureQueue(t.ctx, q.Name(), mq.QueueOptions{AnyName: true})
	t.ok(err, "EnsureQueue")
	t.once(q, "k", time.Hour, true)
}

func dedupMissing(t *tester) {
	_, err := t.c.Queue(nowhere).Send(t.ctx, &mq.Message{DedupKey: "k"})
	t.is(err, "Send with a key to a missing queue", mq.ErrQueueNotFound)
}

func dedupInvalid(t *tester) {
	q := t.queue()
	for name, m := range map[string]mq.Message{
		"a key of 256 bytes":         {DedupKey: strings.Repeat("k", 256)},
		"a key with a NUL":           {DedupKey: "a\x00b"},
		"a key that is not UTF-8":    {DedupKey: "\xff"},
		"a DedupFor without a key":   {DedupFor: time.Second},
		"a negative DedupFor":        {DedupKey: "k", DedupFor: -2},
		"a DedupFor of ten thousand": {DedupKey: "k", DedupFor: 10_000 * time.Hour},
	} {
		_, err := q.Send(t.ctx, &m)
		t.is(err, "Send with "+name, mq.ErrInvalid)
	}
	_, _, err := q.SendOnce(t.ctx, &mq.Message{})
	t.is(err, "SendOnce without a key", mq.ErrInvalid)
	t.counted(q, counts{})
}

func dedupTxCommit(t *tester) {
	q := t.queue()
	in, tx := t.tx(q)
	id, first, err := in.SendOnce(t.ctx, &mq.Message{DedupKey: "k", DedupFor: mq.WhileQueued})
	if t.ok(err, "SendOnce"); !first {
		t.Error("the first message of the key is a duplicate")
	}
	again, first, err := in.SendOnce(t.ctx, &mq.Message{DedupKey: "k"})
	if t.ok(err, "second SendOnce"); first || again != id {
		t.Errorf("the second send in the transaction has id %s (the first: %t), want %s", again, first, id)
	}
	t.ok(tx.Commit(), "commit")
	t.held(q, "k", id)
	t.counted(q, counts{visible: 1})
}

func dedupTxRollback(t *tester) {
	q := t.queue()
	in, tx := t.tx(q)
	_, first, err := in.SendOnce(t.ctx, &mq.Message{DedupKey: "k", DedupFor: time.Hour})
	if t.ok(err, "SendOnce"); !first {
		t.Error("the first message of the key is a duplicate")
	}
	t.ok(tx.Rollback(), "rollback")
	t.counted(q, counts{})
	t.once(q, "k", time.Hour, true)
}

func dedupTxDuplicate(t *tester) {
	q := t.queue()
	id := t.once(q, "k", time.Hour, true)
	in, tx := t.tx(q)
	ids, err := in.SendAll(t.ctx, []*mq.Message{{DedupKey: "k"}, {Body: []byte("other")}})
	if t.ok(err, "SendAll"); ids[0] != id {
		t.Errorf("the duplicate has id %s, want %s", ids[0], id)
	}
	t.ok(tx.Commit(), "commit")
	t.counted(q, counts{visible: 2})
}

func dedupTxAgain(t *tester) {
	q := t.queue()
	for _, commit := range []bool{false, true} {
		key := fmt.Sprint("commit: ", commit)
		id := t.once(q, key, mq.WhileQueued, true)
		d := t.one(q)
		in, tx := t.tx(q)
		t.ok(in.Ack(t.ctx, d), "ack")
		next, first, err := in.SendOnce(t.ctx, &mq.Message{DedupKey: key, DedupFor: mq.WhileQueued})
		if t.ok(err, "SendOnce"); !first {
			t.Errorf("the next message of key %q is a duplicate of %s, which the transaction has acked", key, next)
		}
		if commit {
			t.ok(tx.Commit(), "commit")
			t.held(q, key, next)
			t.ok(t.one(q).Ack(t.ctx), "ack of the next one")
		} else {
			t.ok(tx.Rollback(), "rollback")
			t.held(q, key, id)
			t.ok(d.Ack(t.ctx), "ack after the rollback")
		}
		t.once(q, key, mq.WhileQueued, true)
		t.ok(t.one(q).Ack(t.ctx), "ack")
	}
}

func dedupTxOpen(t *tester) {
	q := t.queue()
	in, tx := t.tx(q)
	id, _, err := in.SendOnce(t.ctx, &mq.Message{DedupKey: "k", DedupFor: time.Hour})
	t.ok(err, "SendOnce")
	short, cancel := context.WithTimeout(t.ctx, 5*t.unit)
	defer cancel()
	waits := make(chan error, 1)
	go func() {
		_, _, err := q.SendOnce(short, &mq.Message{DedupKey: "k"})
		waits <- err
	}()
	time.Sleep(t.unit)
	for i := range 3 {
		t.once(q, fmt.Sprint("other ", i), time.Hour, true)
	}
	if err := <-waits; err == nil {
		t.Error("a key was sent while an open transaction had taken it")
	}
	t.ok(tx.Commit(), "commit")
	t.held(q, "k", id)
}

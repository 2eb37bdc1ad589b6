package sqlite_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

// TestOverride acts on messages in every state, with small and large bodies. The
// invariants of the file are checked in the end.
func TestOverride(t *testing.T) {
	for _, tt := range []struct {
		name string
		s    driver.Settlement
		left driver.Stats // of the 16 messages, after 10 of which were acted on
		to   int64        // in queue to
	}{
		{"ack", driver.Settlement{Op: driver.OpAck}, driver.Stats{Total: 6, Visible: 4, Leased: 1, Delayed: 1}, 0},
		{"nack", driver.Settlement{Op: driver.OpNack}, driver.Stats{Total: 16, Visible: 14, Leased: 1, Delayed: 1}, 0},
		{"delay", driver.Settlement{Op: driver.OpNack, Delay: time.Hour}, driver.Stats{Total: 16, Visible: 4, Leased: 1, Delayed: 11}, 0},
		{"archive", driver.Settlement{Op: driver.OpArchive, Reason: "by hand"}, driver.Stats{Total: 6, Visible: 4, Leased: 1, Delayed: 1, Archived: 10}, 0},
		{"move", driver.Settlement{Op: driver.OpMove, To: "to", Reason: "by hand"}, driver.Stats{Total: 6, Visible: 4, Leased: 1, Delayed: 1}, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t)
			d.must(d.EnsureQueue(t.Context(), "to", driver.QueueOptions{}))
			ids, leased := d.everyState()
			n, err := d.Override(t.Context(), "q", append(ids[:10:10], ids[0], ids[9], "x", "0", "9999"), tt.s)
			if err != nil || n != 10 {
				t.Fatalf("%d messages, %v", n, err)
			}
			s, err := d.Stats(t.Context(), "q")
			d.must(err)
			if s.Total != tt.left.Total || s.Visible != tt.left.Visible || s.Leased != tt.left.Leased || s.Delayed != tt.left.Delayed || s.Archived != tt.left.Archived {
				t.Errorf("stats %+v, want %+v", s, tt.left)
			}
			to, err := d.Stats(t.Context(), "to")
			if err != nil || to.Total != tt.to || to.Visible != tt.to {
				t.Errorf("stats of the target %+v, %v", to, err)
			}
			for _, one := range leased {
				err := d.Settle(t.Context(), "q", []driver.Settlement{{Receipt: one.Receipt, Op: driver.OpAck}})
				if !errors.Is(err, driver.ErrStaleReceipt) {
					t.Errorf("an ack of a lease that was ended: %v", err)
				}
			}
		})
	}
}

// everyState sends 16 messages. Of the first 10 leases of 4 are held, leases of 2 have
// timed out, 2 are delayed and 2 are visible. Of the others 1 is leased, 1 delayed and 4
// are visible.
func (d desk) everyState() (ids []string, leased []driver.Delivery) {
	d.Helper()
	large := bytes.Repeat([]byte("x"), 5000)
	two := func(delay time.Duration) []driver.Message {
		return []driver.Message{{Body: large, Delay: delay}, {Body: []byte("small"), Delay: delay}}
	}
	ids = append(d.send(two(0)...), d.send(two(0)...)...)
	leased = d.lease(4, time.Hour)
	ids = append(ids, d.send(two(0)...)...)
	leased = append(leased, d.lease(2, time.Microsecond)...)
	ids = append(ids, d.send(two(time.Hour)...)...)
	ids = append(ids, d.send(two(0)...)...)
	d.send(driver.Message{HeadStart: time.Hour})
	d.lease(1, time.Hour)
	d.send(driver.Message{Delay: time.Hour})
	d.send(append(two(0), two(0)...)...)
	return ids, leased
}

// TestOverrideKeeps: what a message carries is what a settlement would leave.
func TestOverrideKeeps(t *testing.T) {
	d := newDesk(t)
	d.must(d.EnsureQueue(t.Context(), "to", driver.QueueOptions{}))
	m := driver.Message{Body: bytes.Repeat([]byte("x"), 5000), Headers: driver.Headers{"a": "b"}, Group: "g"}
	id := d.send(m)[0]
	d.lease(1, time.Hour)
	d.override(id, driver.Settlement{Op: driver.OpNack})
	got := d.lease(1, time.Hour)[0]
	if got.ID != id || got.ReadCount != 2 || got.Attempt != 2 || got.Unanswered != 1 || got.Headers["mq-error"] != "" {
		t.Errorf("after a nack: %+v", got)
	}
	d.override(id, driver.Settlement{Op: driver.OpMove, To: "to", Reason: "why"})
	ds, err := d.Receive(t.Context(), "to", driver.ReceiveRequest{Max: 1, Visibility: time.Hour})
	if err != nil || len(ds) != 1 || ds[0].ReadCount != 1 || !bytes.Equal(ds[0].Body, m.Body) || ds[0].Group != "g" ||
		ds[0].Headers["mq-origin"] != "q/"+id || ds[0].Headers["mq-reason"] != "why" || ds[0].Headers["a"] != "b" {
		t.Errorf("after a move: %+v, %v", ds, err)
	}
	id = d.send(m)[0]
	d.override(id, driver.Settlement{Op: driver.OpArchive, Reason: "why"})
	r := d.browse(driver.BrowseRequest{Archive: true})
	if len(r) != 1 || r[0].ID != id || r[0].Reason() != "why" || !bytes.Equal(r[0].Body, m.Body) {
		t.Errorf("in the archive: %+v", r)
	}
}

func (d desk) override(id string, s driver.Settlement) {
	d.Helper()
	if n, err := d.Override(d.Context(), "q", []string{id}, s); n != 1 || err != nil {
		d.Fatalf("%v of %s: %d, %v", s.Op, id, n, err)
	}
}

// TestOverrideFreesKeys: a key that is held while its message is queued is free once the
// message has left the queue.
func TestOverrideFreesKeys(t *testing.T) {
	d := newDesk(t)
	d.must(d.EnsureQueue(t.Context(), "to", driver.QueueOptions{}))
	for _, op := range []driver.Op{driver.OpAck, driver.OpArchive, driver.OpMove} {
		m := driver.Message{DedupKey: "key", DedupFor: driver.WhileQueued}
		sent, err := d.SendUnique(t.Context(), "q", []driver.Message{m, m})
		if err != nil || sent[0].Duplicate || !sent[1].Duplicate {
			t.Fatalf("%v: %v, %v", op, sent, err)
		}
		d.override(sent[0].ID, driver.Settlement{Op: op, To: "to"})
	}
}

// TestOverrideGroups: the tables of groups follow, and a group whose head is gone is free.
func TestOverrideGroups(t *testing.T) {
	for _, limit := range []int{1, 2} {
		for _, op := range []driver.Op{driver.OpAck, driver.OpNack, driver.OpArchive, driver.OpMove} {
			d := newDesk(t)
			d.must(d.EnsureQueue(t.Context(), "to", driver.QueueOptions{}))
			for range 5 {
				d.send(driver.Message{Group: "g"})
			}
			held := d.heads(limit)
			if len(held) != limit || len(d.heads(limit)) != 0 {
				t.Fatalf("%d heads under a limit of %d", len(held), limit)
			}
			d.override(held[0].ID, driver.Settlement{Op: op, To: "to"})
			if again := d.heads(limit); len(again) != 1 || (again[0].ID == held[0].ID) != (op == driver.OpNack && limit == 1) {
				t.Errorf("%v under a limit of %d: %d heads %+v", op, limit, len(again), again)
			}
		}
	}
}

func (d desk) heads(limit int) []driver.Delivery {
	d.Helper()
	r := driver.GroupRequest{ReceiveRequest: driver.ReceiveRequest{Max: 10, Visibility: time.Hour}, By: driver.GroupBy{Limit: limit}}
	ds, err := d.ReceiveHeads(d.Context(), "q", r)
	d.must(err)
	return ds
}

// TestOverrideWakes: a receiver that waits gets the message at once.
func TestOverrideWakes(t *testing.T) {
	d := newDesk(t)
	id := d.send(driver.Message{})[0]
	d.lease(1, time.Hour)
	got := make(chan []driver.Delivery, 1)
	go func() {
		ds, err := d.Receive(t.Context(), "q", driver.ReceiveRequest{Max: 1, Visibility: time.Hour, Wait: time.Minute})
		if err != nil {
			t.Error(err)
		}
		got <- ds
	}()
	d.override(id, driver.Settlement{Op: driver.OpNack})
	select {
	case ds := <-got:
		if len(ds) != 1 || ds[0].ID != id {
			t.Errorf("received %+v", ds)
		}
	case <-time.After(30 * time.Second):
		t.Error("the receiver was not woken")
	}
}

// TestOverrideKeepsOrder: to nack what is visible does not put it behind the others.
func TestOverrideKeepsOrder(t *testing.T) {
	d := newDesk(t)
	id := d.send(driver.Message{})[0]
	d.send(driver.Message{})
	d.override(id, driver.Settlement{Op: driver.OpNack})
	if got := d.lease(1, time.Hour)[0].ID; got != id {
		t.Errorf("message %s comes first, want %s", got, id)
	}
}

func TestOverrideRefuses(t *testing.T) {
	d := newDesk(t)
	id := d.send(driver.Message{})[0]
	for _, tt := range []struct {
		queue string
		s     driver.Settlement
		want  error
	}{
		{"missing", driver.Settlement{Op: driver.OpAck}, driver.ErrQueueNotFound},
		{"q", driver.Settlement{Op: driver.OpMove, To: "missing"}, driver.ErrQueueNotFound},
		{"q", driver.Settlement{}, driver.ErrInvalid},
	} {
		if n, err := d.Override(t.Context(), tt.queue, []string{id}, tt.s); n != 0 || !errors.Is(err, tt.want) {
			t.Errorf("%s, %v: %d, %v", tt.queue, tt.s.Op, n, err)
		}
	}
	if _, err := d.RemoveArchived(t.Context(), "missing", []string{"1"}); !errors.Is(err, driver.ErrQueueNotFound) {
		t.Errorf("the archive of a missing queue: %v", err)
	}
	if got := d.lease(1, time.Hour)[0].ID; got != id {
		t.Errorf("message %s, want %s", got, id)
	}
}

func TestRemoveArchived(t *testing.T) {
	d := newDesk(t)
	ids, _ := d.everyState()
	if _, err := d.Override(t.Context(), "q", ids, driver.Settlement{Op: driver.OpArchive}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int64{3, 0} {
		n, err := d.RemoveArchived(t.Context(), "q", []string{ids[0], ids[3], "x", ids[4], ids[3], "16"})
		if err != nil || n != want {
			t.Errorf("removed %d, %v, want %d", n, err, want)
		}
	}
	if s, err := d.Stats(t.Context(), "q"); err != nil || s.Archived != int64(len(ids))-3 || s.Total != 6 {
		t.Errorf("stats %+v, %v", s, err)
	}
}

package work

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/mqtest"
)

// Breaks are the ways in which a provider can be broken, to check that a run finds it, and
// the rule that each violates.
var Breaks = map[string]string{
	"nofence":     "not theirs", // a settlement takes effect whoever has the message
	"ackfirst":    "lost",       // a message is acked when it is received
	"lostconfirm": "lost",       // a send returns nil, and nothing is stored
	"norelisten":  "stalled",    // after its first wait a receiver is never woken again
	"nodedup":     "stored twice",
	"resend":      "stored twice", // a send is repeated though it may have been applied
	"nogroups":    "group overlap",
	"miscount":    "attempts",
	"cutbody":     "corrupt",
	"shortlease":  "lease length",
	"dropsfailed": "refused and stored", // a send that was stored is reported as failed
}

// breakProvider returns a broken view of p, or p if how is "".
func breakProvider(p driver.Provider, how string) (driver.Provider, error) {
	if how == "" {
		return p, nil
	}
	if _, ok := Breaks[how]; !ok {
		return nil, fmt.Errorf("unknown break %q (have: %s)", how, strings.Join(slices.Sorted(maps.Keys(Breaks)), ", "))
	}
	return &broken{FaultyProvider: mqtest.Faulty(p), how: how}, nil
}

type broken struct {
	*mqtest.FaultyProvider
	how string

	mu     sync.Mutex
	calls  int
	acked  map[driver.Receipt]bool // by ackfirst
	waited bool                    // by norelisten
}

// latest are the newest receipts of messages, of all clients of the process: those that
// a backend without a fence would take.
var latest struct {
	sync.Mutex
	receipts map[string]driver.Receipt // by queue and ID
	ids      map[driver.Receipt]string
}

// every reports whether this is the nth call again.
func (b *broken) every(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	return b.calls%n == 0
}

func (b *broken) Send(ctx context.Context, queue string, msgs []driver.Message) ([]string, error) {
	if b.how == "lostconfirm" && b.every(50) {
		ids := make([]string, len(msgs))
		for i := range ids {
			ids[i] = fmt.Sprint("never-", time.Now().UnixNano(), i)
		}
		return ids, nil
	}
	ids, err := b.FaultyProvider.Send(ctx, queue, msgs)
	switch {
	case err == nil && b.how == "resend" && b.every(20):
		return b.FaultyProvider.Send(ctx, queue, msgs)
	case err == nil && b.how == "dropsfailed" && b.every(20):
		return nil, errors.New("no")
	}
	return ids, err
}

func (b *broken) SendUnique(ctx context.Context, queue string, msgs []driver.Message) ([]driver.Sent, error) {
	if b.how != "nodedup" {
		return b.FaultyProvider.SendUnique(ctx, queue, msgs)
	}
	plain := slices.Clone(msgs)
	for i := range plain {
		plain[i].DedupKey, plain[i].DedupFor = "", 0
	}
	ids, err := b.FaultyProvider.Send(ctx, queue, plain)
	sent := make([]driver.Sent, len(ids))
	for i, id := range ids {
		sent[i].ID = id
	}
	return sent, err
}

func (b *broken) Receive(ctx context.Context, queue string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
	if b.deaf(r.Wait) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	asked := r
	if b.how == "shortlease" {
		asked.Visibility = r.Visibility / 2
	}
	ds, err := b.FaultyProvider.Receive(ctx, queue, asked)
	return b.spoil(ctx, queue, ds), err
}

func (b *broken) ReceiveHeads(ctx context.Context, queue string, r driver.GroupRequest) ([]driver.Delivery, error) {
	if b.deaf(r.Wait) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if b.how == "nogroups" {
		return b.Receive(ctx, queue, r.ReceiveRequest)
	}
	ds, err := b.FaultyProvider.ReceiveHeads(ctx, queue, r)
	return b.spoil(ctx, queue, ds), err
}

// deaf reports whether a waiting receiver is no longer woken.
func (b *broken) deaf(wait time.Duration) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	deaf := b.how == "norelisten" && wait > 0 && b.waited
	b.waited = b.waited || wait > 0 && b.calls > 100
	b.calls++
	return deaf
}

// spoil does to deliveries what is broken about them.
func (b *broken) spoil(ctx context.Context, queue string, ds []driver.Delivery) []driver.Delivery {
	for i := range ds {
		d := &ds[i]
		switch b.how {
		case "nofence":
			remember(queue, d)
		case "ackfirst":
			_ = b.FaultyProvider.Settle(ctx, queue, []driver.Settlement{{Receipt: d.Receipt, Op: driver.OpAck}})
			b.early(d.Receipt)
		case "miscount":
			if d.ReadCount > 1 {
				d.Attempt++
			}
		case "cutbody":
			if len(d.Body) > 1000 {
				d.Body = bytes.Replace(d.Body, []byte(" "), []byte("_"), 1)
			}
		}
	}
	return ds
}

func (b *broken) early(r driver.Receipt) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.acked == nil {
		b.acked = make(map[driver.Receipt]bool)
	}
	b.acked[r] = true
}

func remember(queue string, d *driver.Delivery) {
	latest.Lock()
	defer latest.Unlock()
	if latest.receipts == nil {
		latest.receipts, latest.ids = make(map[string]driver.Receipt), make(map[driver.Receipt]string)
	}
	id := queue + "/" + d.ID
	latest.receipts[id], latest.ids[d.Receipt] = d.Receipt, id
}

func (b *broken) Settle(ctx context.Context, queue string, s []driver.Settlement) error {
	switch b.how {
	case "nofence":
		s = slices.Clone(s)
		latest.Lock()
		for i := range s {
			if id := latest.ids[s[i].Receipt]; id != "" {
				s[i].Receipt = latest.receipts[id]
			}
		}
		latest.Unlock()
	case "ackfirst":
		return b.settleRest(ctx, queue, s)
	}
	return b.FaultyProvider.Settle(ctx, queue, s)
}

// settleRest settles what was not acked when it was received.
func (b *broken) settleRest(ctx context.Context, queue string, all []driver.Settlement) error {
	b.mu.Lock()
	left := slices.DeleteFunc(slices.Clone(all), func(s driver.Settlement) bool { return b.acked[s.Receipt] })
	b.mu.Unlock()
	if len(left) == 0 {
		return nil
	}
	return b.FaultyProvider.Settle(ctx, queue, left)
}

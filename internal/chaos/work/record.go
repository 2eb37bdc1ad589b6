package work

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/chaos/ledger"
)

// recorder writes down every call of a client, those of its Consumers included.
type recorder struct {
	*ledger.Writer
	queues map[string]bool // that are of the run
	lease  time.Duration
	calls  atomic.Int64
	done   atomic.Int64 // acknowledged sends and deliveries

	mu   sync.Mutex
	held map[mq.Receipt]holding
}

// holding is a message whose lease this client has, or had a short time ago.
type holding struct {
	ledger.Record
	since time.Time
}

func newRecorder(w *ledger.Writer, queues []string, lease time.Duration) *recorder {
	r := &recorder{Writer: w, queues: make(map[string]bool), lease: lease, held: make(map[mq.Receipt]holding)}
	for _, q := range queues {
		r.queues[q] = true
	}
	return r
}

// intercept is an mq.Interceptor.
func (r *recorder) intercept(ctx context.Context, c *mq.Call, next func(context.Context) error) error {
	if !r.queues[c.Queue] {
		return next(ctx)
	}
	switch c.Op {
	case "send":
		return r.send(ctx, c, next)
	case "receive", "receive heads", "receive group":
		return r.receive(ctx, c, next)
	case "ack", "nack", "archive", "move", "settle":
		return r.settle(ctx, c, next)
	case "extend":
		return r.extend(ctx, c, next)
	}
	return next(ctx)
}

func (r *recorder) send(ctx context.Context, c *mq.Call, next func(context.Context) error) error {
	sends := make([]ledger.Record, len(c.Messages))
	for i := range c.Messages {
		rec, _ := identify(c.Queue, &c.Messages[i])
		rec.At, rec.Kind, rec.For = ledger.Now(), ledger.SendBegin, c.Messages[i].Delay
		r.Write(rec)
		sends[i] = rec
	}
	err := next(ctx)
	for i, rec := range sends {
		rec.From, rec.At, rec.For = rec.At, 0, 0
		one := itemError(err, i)
		rec.Kind = outcome(one, ledger.Sent, ledger.SendFailed, ledger.SendFailed, ledger.SendUnknown)
		rec.Note = note(one)
		if one == nil && i < len(c.IDs) {
			rec.ID = c.IDs[i]
		}
		if one == nil && i < len(c.Duplicates) && c.Duplicates[i] {
			rec.Op = ledger.Duplicate
		}
		r.end(ctx, rec)
	}
	return err
}

// pending are the calls in a transaction that has not ended.
type pending struct{ calls []ledger.Record }

type pendingKey struct{}

// Write writes an event, and counts what goes well.
func (r *recorder) Write(rec ledger.Record) {
	if rec.Kind == ledger.Sent || rec.Kind == ledger.Received {
		r.done.Add(1)
	}
	r.Writer.Write(rec)
}

// end writes the end of a call, or keeps it until its transaction ends.
func (r *recorder) end(ctx context.Context, rec ledger.Record) {
	if p, ok := ctx.Value(pendingKey{}).(*pending); ok && (rec.Kind == ledger.Sent || rec.Kind == ledger.Settled) {
		p.calls = append(p.calls, rec)
		return
	}
	r.Write(rec)
}

// conclude writes the ends of the calls of a transaction that has committed, or not.
func (r *recorder) conclude(p *pending, err error) {
	for _, rec := range p.calls {
		if rec.Kind == ledger.Sent {
			rec.Kind = outcome(err, ledger.Sent, ledger.SendFailed, ledger.SendFailed, ledger.SendUnknown)
		} else {
			rec.Kind = outcome(err, ledger.Settled, ledger.SettleFailed, ledger.SettleFailed, ledger.SettleUnknown)
		}
		if rec.Note = note(err); err != nil {
			rec.ID = ""
		}
		r.Write(rec)
	}
}

func (r *recorder) receive(ctx context.Context, c *mq.Call, next func(context.Context) error) error {
	begin := ledger.Record{At: ledger.Now(), Kind: ledger.ReceiveBegin, Queue: c.Queue, Receipt: strconv.FormatInt(r.calls.Add(1), 36)}
	r.Write(begin)
	err := next(ctx)
	got := make([]ledger.Record, len(c.Deliveries))
	for i, d := range c.Deliveries {
		got[i] = r.received(begin, d)
	}
	for _, rec := range got {
		r.Write(rec)
	}
	end := ledger.Record{Kind: ledger.ReceiveEnd, Queue: c.Queue, Receipt: begin.Receipt, Note: note(err)}
	if outcome(err, "", "", "", ledger.Doubt) != "" {
		end.Op = ledger.Doubt
	}
	r.Write(end)
	return err
}

// received returns the event of a delivery, and remembers whose receipt it is.
func (r *recorder) received(begin ledger.Record, d *mq.Delivery) ledger.Record {
	rec, wrong := identify(begin.Queue, &d.Message)
	rec.From, rec.Kind, rec.ID, rec.Receipt, rec.For = begin.At, ledger.Received, d.ID, digest(d.Receipt), r.lease
	rec.Read, rec.Attempt, rec.Unanswered = d.ReadCount, d.Attempt, d.Unanswered
	rec.At, rec.Until = ledger.Now(), monotonic(d.VisibleAt)
	r.keep(d.Receipt, rec)
	if wrong != "" {
		r.Write(ledger.Record{Kind: ledger.Corrupt, Queue: rec.Queue, Key: rec.Key, ID: d.ID, Note: wrong})
	}
	return rec
}

// monotonic returns a time of day by the clock of the ledger, 0 if the two clocks cannot be
// read at the same moment: the process may be stopped in between.
func monotonic(t time.Time) int64 {
	for range 10 {
		before := ledger.Now()
		left := time.Until(t)
		if after := ledger.Now(); after-before < int64(time.Millisecond) && !t.IsZero() {
			return before + int64(left)
		}
	}
	return 0
}

// maxHeld is how many holdings are kept before old ones are looked for.
const maxHeld = 10_000

func (r *recorder) keep(receipt mq.Receipt, rec ledger.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held[receipt] = holding{rec, time.Now()}
	if len(r.held) < maxHeld {
		return
	}
	for receipt, h := range r.held {
		if time.Since(h.since) > 10*time.Minute {
			delete(r.held, receipt)
		}
	}
}

// about returns the beginning of an event about a lease. On a slow machine mq may have
// handed out a delivery before the interceptor of its receive has returned.
func (r *recorder) about(receipt mq.Receipt) ledger.Record {
	h, ok := r.holding(receipt)
	for end := time.Now().Add(time.Second); !ok && time.Now().Before(end); h, ok = r.holding(receipt) {
		time.Sleep(time.Millisecond)
	}
	return ledger.Record{Queue: h.Queue, Key: h.Key, ID: h.ID, Group: h.Group, Seq: h.Seq, Receipt: digest(receipt)}
}

func (r *recorder) holding(receipt mq.Receipt) (holding, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, ok := r.held[receipt]
	return h, ok
}

func (r *recorder) settle(ctx context.Context, c *mq.Call, next func(context.Context) error) error {
	begun := make([]ledger.Record, len(c.Settlements))
	for i, s := range c.Settlements {
		rec := r.about(s.Receipt)
		rec.At, rec.Kind, rec.Op, rec.For = ledger.Now(), ledger.SettleBegin, s.Op.String(), max(0, s.Delay)
		if s.Uncounted {
			rec.Op = ledger.Uncounted
		}
		if ctx.Value(pendingKey{}) != nil {
			rec.Note = ledger.InTx
		}
		r.Write(rec)
		begun[i] = rec
	}
	err := next(ctx)
	for i, rec := range begun {
		one := itemError(err, i)
		rec.From, rec.At, rec.Note = rec.At, 0, note(one)
		rec.Kind = outcome(one, ledger.Settled, ledger.SettleStale, ledger.SettleFailed, ledger.SettleUnknown)
		r.end(ctx, rec)
	}
	return err
}

func (r *recorder) extend(ctx context.Context, c *mq.Call, next func(context.Context) error) error {
	begun := make([]ledger.Record, len(c.Receipts))
	for i, receipt := range c.Receipts {
		rec := r.about(receipt)
		rec.At, rec.Kind, rec.For = ledger.Now(), ledger.ExtendBegin, r.lease
		r.Write(rec)
		begun[i] = rec
	}
	err := next(ctx)
	for i, rec := range begun {
		one := itemError(err, i)
		rec.From, rec.At, rec.Note = rec.At, 0, note(one)
		rec.Kind = outcome(one, ledger.Extended, ledger.ExtendStale, ledger.ExtendStale, ledger.ExtendUnknown)
		r.Write(rec)
	}
	return err
}

// outcome says what an error promises: mq.ErrUnavailable is the only one after which a
// call may have been applied.
func outcome(err error, done, stale, failed, unknown ledger.Kind) ledger.Kind {
	switch {
	case err == nil:
		return done
	case errors.Is(err, mq.ErrUnavailable), strings.Contains(err.Error(), "the call was given up"):
		return unknown
	case errors.Is(err, mq.ErrStaleReceipt):
		return stale
	}
	return failed
}

// itemError returns the error of one item of a call.
func itemError(err error, i int) error {
	if batch := (*mq.BatchError)(nil); errors.As(err, &batch) && i < len(batch.Errs) {
		return batch.Errs[i]
	}
	return err
}

func digest(r mq.Receipt) string {
	sum := sha256.Sum256([]byte(r))
	return hex.EncodeToString(sum[:8])
}

// note is the beginning of the text of an error.
func note(err error) string {
	if err == nil {
		return ""
	}
	s := err.Error()
	return s[:min(len(s), 200)]
}

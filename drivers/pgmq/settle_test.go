package pgmq

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

// failed is a row of a statement that settles: what failed, from 1.
func failed(i int64, gone bool) values { return values{i, gone} }

// move moves from jobs to other.
var move = func() string {
	n := layout113.names("jobs")
	n.To = layout113.names("other").Q
	return statement("move", n)
}()

// TestNewBatch checks what becomes a statement, and what fails without one. Of
// two receipts of a message that could both take effect the first wins.
func TestNewBatch(t *testing.T) {
	gone, stale, invalid := driver.ErrMessageNotFound, driver.ErrStaleReceipt, driver.ErrInvalidReceipt
	bare := Unfenced("jobs", "6")
	again := driver.Receipt("p1:7:3:1700000000123456:jobs") // a later lease than lease(7)
	for _, tt := range []struct {
		name  string
		s     []driver.Settlement
		parts string // operation, target and items of each
		errs  []error
	}{
		{"acks", []driver.Settlement{ack(lease(9)), ack(lease(7))}, `1 "" [0 1]`, nil},
		{"a mixture", []driver.Settlement{ack(lease(1)), nack(lease(2), 1), archived(lease(3), ""), archived(bare, "")}, `0 "" [0 1 2 3]`, nil},
		{"a nack, then an ack", []driver.Settlement{nack(lease(2), 1), ack(lease(1))}, `0 "" [0 1]`, nil},
		{"a target without a move", []driver.Settlement{ack(lease(1)), {Receipt: lease(2), Op: driver.OpAck, To: "other"}}, `1 "" [0 1]`, nil},
		{"moves and others", []driver.Settlement{
			moved(lease(1), "other", ""), ack(lease(2)), moved(lease(3), "old", ""), moved(lease(4), "other", "x"), nack(lease(5), 0),
		}, `4 "other" [0 3]; 0 "" [1 4]; 4 "old" [2]`, nil},
		{"nothing to do", []driver.Settlement{nack(lease(2), driver.AtTimeout), nack("x", driver.AtTimeout)}, "", []error{nil, invalid}},
		{"invalid", []driver.Settlement{ack("x"), ack(receipt{id: 1}.encode("other")), ack(lease(7)), ack("")}, `1 "" [2]`, []error{invalid, invalid, nil, invalid}},
		{"the same receipt", []driver.Settlement{ack(lease(7)), nack(lease(7), 0), ack(lease(7))}, `1 "" [0]`, []error{nil, gone, gone}},
		{"the same message without a fence", []driver.Settlement{ack(bare), ack(receipt{id: 6, reads: 2, sentAt: 1}.encode("jobs")), ack(bare)}, `1 "" [0]`, []error{nil, gone, gone}},
		{"a lease, and then without a fence", []driver.Settlement{ack(lease(6)), ack(bare), ack(lease(6))}, `1 "" [0]`, []error{nil, stale, gone}},
		{"two leases of a message", []driver.Settlement{ack(lease(7)), ack(again)}, `1 "" [0 1]`, nil},
	} {
		b := newBatch(&queue{name: "jobs"}, tt.s)
		var parts []string
		for _, p := range b.parts {
			parts = append(parts, fmt.Sprintf("%d %q %v", p.op, p.to, p.items))
		}
		if got := strings.Join(parts, "; "); got != tt.parts || !reflect.DeepEqual(b.errs, tt.errs) {
			t.Errorf("%s: parts %s, want %s; errors %v, want %v", tt.name, got, tt.parts, b.errs, tt.errs)
		}
	}
}

// TestBatchOutcome: the second of two twins fails as the first does.
func TestBatchOutcome(t *testing.T) {
	for _, first := range []error{driver.ErrMessageNotFound, driver.ErrStaleReceipt, driver.ErrUnavailable, nil} {
		b := newBatch(&queue{name: "jobs"}, []driver.Settlement{ack(lease(1)), nack(lease(7), 0), nack(lease(7), 0)})
		want := first
		if first == nil {
			want = driver.ErrStaleReceipt
		} else {
			b.fail(1, first)
		}
		_ = b.outcome()
		if got := b.errs[2]; !errors.Is(got, want) || errors.Is(got, driver.ErrMessageNotFound) != (want == driver.ErrMessageNotFound) {
			t.Errorf("the first got %v, the second %v, want %v", first, got, want)
		}
	}
}

// settling is a database with the queues jobs, alone, which has no archive, and
// old, which has no headers. The statements that do not fail do nothing.
func settling(t *testing.T, fails map[string]error) *Provider {
	tables := map[any]layout{"q_jobs": layout113, "q_other": layout113, "q_alone": layoutAlone, "q_old": layoutTS}
	return (&fake{answer: func(_ context.Context, text string, args values) ([]values, error) {
		if text != sqlShape {
			return nil, fails[text]
		}
		if l, ok := tables[args[0]]; ok {
			return []values{l.row()}, nil
		}
		return nil, nil
	}}).open(t)
}

// TestSettleWholeErrors: an error of the only statement says that nothing was
// done. With more than one the others may have done something.
func TestSettleWholeErrors(t *testing.T) {
	bare := Unfenced("alone", "1")
	for _, tt := range []struct {
		name, queue string
		s           []driver.Settlement
		want        error
	}{
		{"no archive", "alone", []driver.Settlement{ack(bare), archived(Unfenced("alone", "2"), "")}, driver.ErrNotSupported},
		{"to a queue without headers", "jobs", []driver.Settlement{moved(lease(1), "old", "")}, driver.ErrNotSupported},
		{"to a queue that is not there", "jobs", []driver.Settlement{moved(lease(1), "none", "")}, driver.ErrQueueNotFound},
		{"asking what became of it", "jobs", []driver.Settlement{ack(lease(1))}, driver.ErrUnavailable},
	} {
		err := settling(t, map[string]error{jobs.ack: errLost}).Settle(t.Context(), tt.queue, tt.s)
		var batch *driver.BatchError
		if requireErr(t, err, tt.want); errors.As(err, &batch) {
			t.Errorf("%s: error is %v", tt.name, err)
		}
	}
}

// TestSettlePartErrors: one of two statements fails, or what comes before it.
func TestSettlePartErrors(t *testing.T) {
	p := settling(t, map[string]error{jobs.ackOne: errLost})
	err := p.Settle(t.Context(), "jobs", []driver.Settlement{
		ack(lease(1)), moved(lease(2), "other", ""), moved(lease(3), "old", ""), moved(lease(4), "none", ""),
	})
	requireItems(t, err, driver.ErrUnavailable, nil, driver.ErrNotSupported, driver.ErrQueueNotFound)
}

// TestSettleFails: each item has the error of its own row.
func TestSettleFails(t *testing.T) {
	rows := []values{failed(1, true), failed(3, false)}
	p := (&fake{answer: func(_ context.Context, text string, args values) ([]values, error) {
		if text == sqlShape {
			return []values{layout113.row()}, nil
		}
		return rows, nil
	}}).open(t)
	want := []error{driver.ErrMessageNotFound, driver.ErrInvalidReceipt, nil, driver.ErrStaleReceipt}
	requireItems(t, p.Settle(t.Context(), "jobs", []driver.Settlement{ack(lease(1)), ack("x"), ack(lease(2)), ack(lease(3))}), want...)
	requireItems(t, p.Extend(t.Context(), "jobs", []driver.Receipt{lease(1), "x", lease(2), lease(3)}, time.Second), want...)
}

// TestSettleLocked: a message that another transaction has locked keeps no
// other from being settled or extended. It is tried again for a while, and then
// certainly not settled.
func TestSettleLocked(t *testing.T) {
	for name, tt := range map[string]struct {
		run  func(*rig) error
		text string
		took time.Duration
	}{
		"acks":   {settles(ack(lease(7)), ack(lease(8)), ack(lease(9))), jobs.ack, lockedFor},
		"settle": {settles(nack(lease(7), 0), ack(lease(8)), ack(lease(9))), jobs.nack, lockedFor},
		"extend": {func(r *rig) error {
			return r.Extend(r.ctx, "jobs", []driver.Receipt{lease(7), lease(8), lease(9)}, time.Minute)
		}, jobs.extend, lockedFor},
	} {
		for _, long := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " long: ", long), func(t *testing.T) {
				onRig(t, func(t *testing.T, r *rig) {
					r.ctx = t.Context()
					r.known("jobs")
					r.call.answers = answers{tt.text: {{int64(1), nil}}}
					if !long {
						r.answers(tt.text, values{int64(2), nil}, values{int64(3), false})
						r.answers(tt.text)
					}
					err := tt.run(r)
					took := time.Since(r.start)
					args := r.ran[len(r.ran)-1].args
					switch {
					case !long:
						requireItems(t, err, nil, nil, driver.ErrStaleReceipt)
						if args[0] != "{8}" || took > 10*time.Millisecond {
							t.Errorf("it tries %v again, for %v", args[0], took)
						}
					default:
						requireItems(t, err, driver.ErrBadConn, nil, nil)
						if args[0] != "{7}" || took < tt.took || took > tt.took+time.Second || !strings.Contains(err.Error(), "locked") {
							t.Errorf("it tries %v again, for %v: %v", args[0], took, err)
						}
					}
				})
			})
		}
	}
}

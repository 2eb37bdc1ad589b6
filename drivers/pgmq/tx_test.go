package pgmq

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/portmq/mq/driver"
)

// TestTxAborts: a call that failed must not be committed as if it had not,
// though the server has nothing against it. See TestCallsFail for the rest.
func TestTxAborts(t *testing.T) {
	shape := func(l layout) answers { return answers{sqlShape: {l.row()}} }
	none := answers{sqlShape: nil}
	for _, tt := range []struct {
		name    string
		answers answers
		run     func(*rig) error
		want    error
	}{
		{"stale", answers{jobs.ackWaiting: {failed(1, false)}}, txSettles(ack(lease(7))), driver.ErrStaleReceipt},
		{"one gone", answers{jobs.ackWaiting: {failed(2, true)}}, txSettles(ack(lease(7)), ack(lease(8))), driver.ErrMessageNotFound},
		{"a stale nack", answers{jobs.nackWaiting: {failed(1, false)}}, txSettles(nack(lease(7), 0)), driver.ErrStaleReceipt},
		{"invalid receipt", nil, txSettles(ack("x")), driver.ErrInvalidReceipt},
		{"no queue", none, txSettles(ack(lease(7))), driver.ErrQueueNotFound},
		{"no queue to send to", none, txSends(body("1")), driver.ErrQueueNotFound},
		{"no headers", shape(layout14), txSends(driver.Message{Group: secret}), driver.ErrNotSupported},
		{"no archive", shape(layoutAlone), txSettles(archived(lease(7), secret)), driver.ErrNotSupported},
		{"no headers to move to", shape(layout14), txSettles(moved(lease(7), "other", secret)), driver.ErrNotSupported},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := call{tx: true, answers: tt.answers, run: tt.run}
			c.try(t, healthy, func(t *testing.T, r *rig, err error) {
				if batch := (*driver.BatchError)(nil); errors.As(err, &batch) {
					requireErr(t, errors.Join(batch.Errs...), tt.want)
				} else {
					requireErr(t, err, tt.want)
				}
				r.checkCall(t, exchange{kind: callers}, err, false)
				if strings.Contains(err.Error(), secret) {
					t.Errorf("error is %v", err)
				}
			})
		})
	}
}

// TestTxClosed: nothing may be run for a provider that is closed, except for
// what keeps the transaction from being committed.
func TestTxClosed(t *testing.T) {
	c := call{tx: true, run: inTransaction(func(r *rig, p driver.TxProvider) error {
		_ = r.Close()
		return second(p.Send(r.ctx, "jobs", []driver.Message{body("1")}))
	})}
	c.try(t, healthy, func(t *testing.T, r *rig, err error) {
		requireErr(t, err, driver.ErrClosed)
		if own := r.own(); !r.aborted || len(own) > 0 {
			t.Errorf("it runs %v, and aborts the transaction: %v", own, r.aborted)
		}
	})
}

// TestTxSendCarries: a send in a transaction takes effect with the commit, and
// so it notifies however short ago the process has: the receivers of other
// processes have looked by then.
func TestTxSendCarries(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		r.hub("jobs").takeNotify() // by another send
		r.must(txSends(body("1"))(r))
		if !slices.Contains(r.texts(), jobs.insertOneNotifying) {
			t.Errorf("it runs %q", r.texts())
		}
	})
}

// TestWoken: queues in which something becomes visible, each once.
func TestWoken(t *testing.T) {
	for _, tt := range []struct {
		s    []driver.Settlement
		want []string
	}{
		{nil, nil},
		{[]driver.Settlement{ack(lease(7)), archived(lease(8), ""), nack(lease(9), driver.AtTimeout)}, nil},
		{[]driver.Settlement{nack(lease(7), 0), nack(lease(8), 1)}, []string{"jobs"}},
		{[]driver.Settlement{moved(lease(7), "other", ""), nack(lease(8), 0), moved(lease(9), "other", "")}, []string{"other", "jobs"}},
	} {
		if got := woken("jobs", tt.s); !slices.Equal(got, tt.want) {
			t.Errorf("%v wakes %q, want %q", tt.s, got, tt.want)
		}
	}
}

package pgmq

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

const sentMicros = 1_700_000_000_123_456

func fences(n int) string {
	return "{" + strings.TrimSuffix(strings.Repeat("1700000000123456,", n), ",") + "}"
}

// failed is a row of a statement that settles: what failed, from 1.
func failed(i int64, gone bool) values { return values{i, gone} }

// move moves from jobs to other.
var move = func() string {
	n := layout113.names("jobs")
	n.To = layout113.names("other").Q
	return statement("move", n)
}()

// TestSettle checks the statements of a batch and what becomes of its items.
func TestSettle(t *testing.T) {
	ok := error(nil)
	gone, stale, invalid := driver.ErrMessageNotFound, driver.ErrStaleReceipt, driver.ErrInvalidReceipt
	byReads := driver.Receipt("p1:5:3:-:jobs")
	bare := Unfenced("jobs", "6")
	again := driver.Receipt("p1:7:3:1700000000123456:jobs") // a later lease than lease(7)
	for _, tt := range []struct {
		name   string
		s      []driver.Settlement
		script func(m *mock)
		want   []error // nil if the call succeeds
	}{
		{"one ack", []driver.Settlement{ack(lease(7))}, func(m *mock) {
			m.answers(jobs.ackOne, values{7, 2, sentMicros}, values{int64(7)})
		}, nil},
		{"one ack, gone", []driver.Settlement{ack(lease(7))}, func(m *mock) {
			m.answers(jobs.ackOne, values{7, 2, sentMicros})
			m.answers(jobs.exists, values{7})
		}, []error{gone}},
		{"one ack, stale", []driver.Settlement{ack(lease(7))}, func(m *mock) {
			m.answers(jobs.ackOne, values{7, 2, sentMicros})
			m.answers(jobs.exists, values{7}, values{int64(7)})
		}, []error{stale}},
		{"one ack without a time", []driver.Settlement{ack(byReads)}, func(m *mock) {
			m.answers(jobs.ack, values{"{5}", "{3}", "{NULL}"})
		}, nil},
		{"one ack without a fence", []driver.Settlement{ack(bare)}, func(m *mock) {
			m.answers(jobs.ack, values{"{6}", "{NULL}", "{NULL}"}, failed(1, true))
		}, []error{gone}},
		{"acks", []driver.Settlement{ack(lease(9)), ack(lease(7)), ack(lease(8))}, func(m *mock) {
			m.answers(jobs.ack, values{"{9,7,8}", "{2,2,2}", fences(3)}, failed(1, true), failed(3, false))
		}, []error{gone, ok, stale}},
		{"a mixture", []driver.Settlement{ack(lease(1)), nack(lease(2), time.Microsecond+1), archived(lease(3), `no "good"`), archived(bare, "")}, func(m *mock) {
			m.answers(jobs.settle, values{
				"{1,2,3,6}", "{2,2,2,NULL}", "{1700000000123456,1700000000123456,1700000000123456,NULL}",
				"{1,2,3,3}", "{0,2,0,0}", `{NULL,NULL,"no \"good\"",NULL}`,
			}, failed(4, true))
			m.notifies("jobs")
		}, []error{ok, ok, ok, gone}},
		{"one nack", []driver.Settlement{nack(lease(2), 0)}, func(m *mock) {
			m.answers(jobs.settle, values{"{2}", "{2}", fences(1), "{2}", "{0}", "{NULL}"})
			m.notifies("jobs")
		}, nil},
		{"a target without a move", []driver.Settlement{ack(lease(1)), {Receipt: lease(2), Op: driver.OpAck, To: "other"}}, func(m *mock) {
			m.answers(jobs.ack, values{"{1,2}", "{2,2}", fences(2)})
		}, nil},
		{"nothing to do", []driver.Settlement{nack(lease(2), driver.AtTimeout), nack("x", driver.AtTimeout)}, func(*mock) {}, []error{ok, invalid}},

		{"invalid", []driver.Settlement{ack("x"), ack(receipt{id: 1}.encode("other")), ack(lease(7)), ack("")}, func(m *mock) {
			m.answers(jobs.ackOne, values{7, 2, sentMicros}, values{int64(7)})
		}, []error{invalid, invalid, ok, invalid}},
		{"nothing but invalid", []driver.Settlement{ack("x"), nack("p1:", 0)}, func(m *mock) { m.notifies("jobs") }, []error{invalid, invalid}},
		{"the same receipt", []driver.Settlement{ack(lease(7)), nack(lease(7), 0), ack(lease(7))}, func(m *mock) {
			m.answers(jobs.ackOne, values{7, 2, sentMicros}, values{int64(7)})
			m.notifies("jobs")
		}, []error{ok, gone, gone}},
		{"the same message without a fence", []driver.Settlement{ack(bare), ack(receipt{id: 6, reads: 2, sentAt: 1}.encode("jobs")), ack(bare)}, func(m *mock) {
			m.answers(jobs.ack, values{"{6}", "{NULL}", "{NULL}"})
		}, []error{ok, gone, gone}},
		{"a lease, and then without a fence", []driver.Settlement{ack(lease(6)), ack(bare), ack(lease(6))}, func(m *mock) {
			m.answers(jobs.ackOne, values{6, 2, sentMicros}, values{int64(6)})
		}, []error{ok, stale, gone}},
		{"two leases of a message", []driver.Settlement{ack(lease(7)), ack(again)}, func(m *mock) {
			m.answers(jobs.ack, values{"{7,7}", "{2,3}", fences(2)}, failed(1, false))
		}, []error{stale, ok}},

		{"a move", []driver.Settlement{moved(lease(7), "other", `why "`)}, func(m *mock) {
			m.shape("other", layout15)
			m.answers(move, values{"{7}", "{2}", fences(1), `{"why \""}`, "jobs/"})
			m.notifies("other")
		}, nil},
		{"moves and acks", []driver.Settlement{moved(lease(1), "other", ""), ack(lease(2)), moved(lease(3), "old", ""), moved(lease(4), "other", "x"), nack(lease(5), 0), moved(lease(6), "lost", "")}, func(m *mock) {
			m.MatchExpectationsInOrder(false) // of the two notifications
			m.shape("other", layout113)
			m.answers(move, values{"{1,4}", "{2,2}", fences(2), `{NULL,"x"}`, "jobs/"}, failed(2, false))
			m.answers(jobs.settle, values{"{2,5}", "{2,2}", fences(2), "{1,2}", "{0,0}", "{NULL,NULL}"})
			m.shape("old", layout14)
			m.noQueue("lost")
			for _, q := range []string{"other", "jobs", "old", "lost"} {
				m.notifies(q)
			}
		}, []error{ok, ok, driver.ErrNotSupported, stale, ok, driver.ErrQueueNotFound}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mocked(t, func(t *testing.T, m *mock) {
				m.known("jobs", layout113)
				tt.script(m)
				err := m.Settle(t.Context(), "jobs", tt.s)
				if tt.want == nil {
					m.must(err)
					return
				}
				requireItems(t, err, tt.want...)
			})
		})
	}
}

// TestSettleWholeErrors: an error of the only statement says that nothing was
// done. With more than one the others may have done something.
func TestSettleWholeErrors(t *testing.T) {
	for _, tt := range []struct {
		name   string
		l      layout
		s      []driver.Settlement
		script func(m *mock)
		want   error
	}{
		{"no archive", layoutAlone, []driver.Settlement{ack(lease(1)), archived(lease(2), "")}, func(*mock) {}, driver.ErrNotSupported},
		{"to a queue without headers", layout113, []driver.Settlement{moved(lease(1), "old", "")}, func(m *mock) { m.shape("old", layoutTS) }, driver.ErrNotSupported},
		{"to a queue that is not there", layout113, []driver.Settlement{moved(lease(1), "none", "")}, func(m *mock) { m.noQueue("none") }, driver.ErrQueueNotFound},
		{"not a number", layout113, []driver.Settlement{ack(lease(1)), ack(lease(2))}, func(m *mock) {
			m.answers(jobs.ack, values{"{1,2}", "{2,2}", fences(2)}, values{secret, true})
		}, nil},
		{"one column", layout113, []driver.Settlement{ack(lease(1)), ack(lease(2))}, func(m *mock) {
			m.answers(jobs.ack, values{"{1,2}", "{2,2}", fences(2)}, values{int64(1)})
		}, nil},
		{"asking what became of it", layout113, []driver.Settlement{ack(lease(1))}, func(m *mock) {
			m.answers(jobs.ackOne, values{1, 2, sentMicros})
			m.fails(jobs.exists, values{1}, errLost)
		}, driver.ErrBadConn},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mocked(t, func(t *testing.T, m *mock) {
				m.known("jobs", tt.l)
				tt.script(m)
				err := m.Settle(t.Context(), "jobs", tt.s)
				var batch *driver.BatchError
				if err == nil || errors.As(err, &batch) || strings.Contains(err.Error(), secret) {
					t.Fatalf("error is %v", err)
				}
				if tt.want != nil {
					requireErr(t, err, tt.want)
				}
				m.released()
			})
		})
	}
}

// TestSettlePartErrors: one of two statements fails.
func TestSettlePartErrors(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		m.known("jobs", layout113)
		m.known("other", layout113)
		m.fails(jobs.ackOne, values{1, 2, sentMicros}, errLost)
		m.answers(move, values{"{2}", "{2}", fences(1), "{NULL}", "jobs/"})
		m.notifies("other")
		err := m.Settle(t.Context(), "jobs", []driver.Settlement{ack(lease(1)), moved(lease(2), "other", "")})
		requireItems(t, err, driver.ErrUnavailable, nil)
	})
}

// TestSettleMoveForgets: the queue that is not as it was may be the one that
// messages are moved to.
func TestSettleMoveForgets(t *testing.T) {
	for _, code := range []string{"42P01", "42703"} {
		mocked(t, func(t *testing.T, m *mock) {
			m.known("jobs", layout113)
			m.known("other", layout113)
			m.fails(move, values{"{2}", "{2}", fences(1), "{NULL}", "jobs/"}, pgxError(code, "ERROR", ""))
			if err := m.Settle(t.Context(), "jobs", []driver.Settlement{moved(lease(2), "other", "")}); err == nil {
				t.Error("it succeeds")
			}
			for _, name := range []string{"jobs", "other"} {
				if _, ok := m.queues.Load(name); ok {
					t.Errorf("after %s queue %q is not looked up again", code, name)
				}
			}
		})
	}
}

// TestSettleWakes: a group may be free after any settlement, and a message
// visible after a nack.
func TestSettleWakes(t *testing.T) {
	for _, tt := range []struct {
		s     driver.Settlement
		plain bool
	}{{ack(lease(1)), false}, {nack(lease(1), 0), true}, {nack(lease(1), driver.AtTimeout), false}} {
		mocked(t, func(t *testing.T, m *mock) {
			q := m.known("jobs", layout113)
			plain, group := q.hub.join(false), q.hub.join(true)
			switch {
			case tt.s.Op == driver.OpAck:
				m.answers(jobs.ackOne, values{1, 2, sentMicros}, values{int64(1)})
			case tt.plain:
				m.answers(jobs.settle, values{"{1}", "{2}", fences(1), "{2}", "{0}", "{NULL}"})
				m.notifies("jobs")
			}
			m.must(m.Settle(t.Context(), "jobs", []driver.Settlement{tt.s}))
			if len(group.ch) != 1 || len(plain.ch) == 1 != tt.plain {
				t.Errorf("after %v it wakes %d plain receivers and %d of groups", tt.s.Op, len(plain.ch), len(group.ch))
			}
		})
	}
}

func TestExtend(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		m.known("jobs", layout113)
		rs := []driver.Receipt{lease(1), "x", lease(1), Unfenced("jobs", "2"), lease(3)}
		m.answers(jobs.extend, values{"{1,2,3}", "{2,NULL,2}", "{1700000000123456,NULL,1700000000123456}", 1501}, failed(2, true), failed(3, false))
		err := m.Extend(t.Context(), "jobs", rs, 1500*time.Microsecond+1)
		requireItems(t, err, nil, driver.ErrInvalidReceipt, driver.ErrMessageNotFound, driver.ErrMessageNotFound, driver.ErrStaleReceipt)

		m.answers(jobs.extend, values{"{1}", "{2}", fences(1), 1_000_000})
		m.must(m.Extend(t.Context(), "jobs", rs[:1], time.Second))

		requireItems(t, m.Extend(t.Context(), "jobs", rs[1:2], time.Second), driver.ErrInvalidReceipt)
	})
}

// TestSettleLarge is a batch of the largest size, all of which fails.
func TestSettleLarge(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		m.known("jobs", layout113)
		var s []driver.Settlement
		var ids, reads array
		var rows []values
		var want []error
		for i := int64(1); i <= 1000; i++ {
			s, rows, want = append(s, ack(lease(i))), append(rows, failed(i, true)), append(want, driver.ErrMessageNotFound)
			ids.int(i)
			reads.int(2)
		}
		m.answers(jobs.ack, values{ids.String(), reads.String(), fences(1000)}, rows...)
		err := m.Settle(t.Context(), "jobs", s)
		requireItems(t, err, want...)
		if !strings.HasPrefix(err.Error(), "1000 of 1000 failed") {
			t.Error(fmt.Sprint(err)[:100])
		}
	})
}

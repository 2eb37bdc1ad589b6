package pgmq

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

// caller is a program's own transaction, seen by a provider.
type caller struct {
	*mock
	tx *sql.Tx
	driver.TxProvider
}

func (m *mock) begin() caller {
	m.t.Helper()
	m.ExpectBegin()
	tx, err := m.db.Begin()
	m.must(err)
	m.t.Cleanup(func() { _ = tx.Rollback() }) // of a test that failed
	p, err := m.Tx(tx)
	m.must(err)
	return caller{m, tx, p}
}

// Send is that of the transaction.
func (c caller) Send(ctx context.Context, name string, msgs []driver.Message) ([]string, error) {
	return c.TxProvider.Send(ctx, name, msgs)
}

// Settle is that of the transaction.
func (c caller) Settle(ctx context.Context, name string, s []driver.Settlement) error {
	return c.TxProvider.Settle(ctx, name, s)
}

func (c caller) commits() {
	c.t.Helper()
	c.ExpectCommit()
	c.must(c.tx.Commit())
}

func (c caller) rollsBack() {
	c.t.Helper()
	c.ExpectRollback()
	c.must(c.tx.Rollback())
}

// aborts adds the statement that keeps a transaction from being committed.
func (m *mock) aborts() { m.fails(sqlAbort, nil, pgxError("22012", "ERROR", "")) }

func TestTxSend(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		c := m.begin()
		m.shape("jobs", layout113) // inside the transaction: the pool has no other connection
		m.answers(jobs.insertOneNotifying, values{0, "1", nil, jobsChannel}, values{int64(7)})
		ids, err := c.Send(t.Context(), "jobs", []driver.Message{body("1")})
		if m.must(err); len(ids) != 1 || ids[0] != "7" {
			t.Errorf("ids are %q", ids)
		}
		time.Sleep(notifyEvery)
		m.answers(jobs.insertNotifying, values{nil, `{"2","3"}`, nil, jobsChannel}, values{int64(8)}, values{int64(9)})
		ids, err = c.Send(t.Context(), "jobs", []driver.Message{body("2"), body("3")})
		if m.must(err); len(ids) != 2 || ids[1] != "9" {
			t.Errorf("ids are %q", ids)
		}
		c.commits()
	})
}

// TestTxSendWakes: what a transaction sends takes effect when it commits,
// wake-ups included, however long that takes, and however short ago the
// process has notified: the receivers of other processes have looked by then.
func TestTxSendWakes(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		q := m.known("jobs", layout113)
		q.hub.carry() // somebody else of the process has just sent
		c := m.begin()
		m.answers(jobs.insertOneNotifying, values{0, "1", nil, jobsChannel}, values{int64(7)})
		_, err := c.Send(t.Context(), "jobs", []driver.Message{body("1")})
		m.must(err)
		time.Sleep(time.Minute)
		c.commits()
	})
}

func TestTxSettle(t *testing.T) {
	for _, tt := range []struct {
		name   string
		s      []driver.Settlement
		script func(m *mock)
	}{
		{"ack", []driver.Settlement{ack(lease(7))}, func(m *mock) {
			m.answers(jobs.ack, values{"{7}", "{2}", fences(1)})
		}},
		{"nack", []driver.Settlement{nack(lease(7), time.Second)}, func(m *mock) {
			m.answers(jobs.settle, values{"{7}", "{2}", fences(1), "{2}", "{1000000}", "{NULL}"})
			m.notifies("jobs")
		}},
		{"nacks", []driver.Settlement{nack(lease(7), 0), nack(lease(8), 0)}, func(m *mock) {
			m.answers(jobs.settle, values{"{7,8}", "{2,2}", fences(2), "{2,2}", "{0,0}", "{NULL,NULL}"})
			m.notifies("jobs") // once
		}},
		{"nothing to do", []driver.Settlement{nack(lease(7), driver.AtTimeout)}, func(*mock) {}},
		{"archive", []driver.Settlement{archived(lease(7), "no")}, func(m *mock) {
			m.answers(jobs.settle, values{"{7}", "{2}", fences(1), "{3}", "{0}", `{"no"}`})
		}},
		{"move and nack", []driver.Settlement{moved(lease(7), "other", ""), nack(lease(8), 0), moved(lease(9), "other", "")}, func(m *mock) {
			m.shape("other", layout113)
			m.answers(move, values{"{7,9}", "{2,2}", fences(2), "{NULL,NULL}", "jobs/"})
			m.answers(jobs.settle, values{"{8}", "{2}", fences(1), "{2}", "{0}", "{NULL}"})
			m.notifies("other")
			m.notifies("jobs")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mocked(t, func(t *testing.T, m *mock) {
				c := m.begin()
				m.shape("jobs", layout113)
				tt.script(m)
				m.must(c.Settle(t.Context(), "jobs", tt.s))
				c.commits()
			})
		})
	}
}

// TestTxAborts: a call that failed must not be committed as if it had not.
func TestTxAborts(t *testing.T) {
	for _, tt := range []struct {
		name   string
		script func(m *mock)
		call   func(ctx context.Context, c caller) error
		want   error
	}{
		{"stale", func(m *mock) {
			m.shape("jobs", layout113)
			m.answers(jobs.ack, values{"{7}", "{2}", fences(1)}, failed(1, false))
		}, acks(lease(7)), driver.ErrStaleReceipt},
		{"gone", func(m *mock) {
			m.shape("jobs", layout113)
			m.answers(jobs.ack, values{"{7,8}", "{2,2}", fences(2)}, failed(2, true))
		}, acks(lease(7), lease(8)), driver.ErrMessageNotFound},
		{"invalid receipt", func(m *mock) { m.shape("jobs", layout113) }, acks("x"), driver.ErrInvalidReceipt},
		{"a stale nack", func(m *mock) {
			m.shape("jobs", layout113)
			m.answers(jobs.settle, values{"{7}", "{2}", fences(1), "{2}", "{0}", "{NULL}"}, failed(1, false))
		}, func(ctx context.Context, c caller) error {
			return c.Settle(ctx, "jobs", []driver.Settlement{nack(lease(7), 0)})
		}, driver.ErrStaleReceipt},
		{"no queue", func(m *mock) { m.noQueue("jobs") }, acks(lease(7)), driver.ErrQueueNotFound},
		{"no queue to send to", func(m *mock) { m.noQueue("jobs") }, sends(body("1")), driver.ErrQueueNotFound},
		{"no headers", func(m *mock) { m.shape("jobs", layout14) }, sends(driver.Message{Group: secret}), driver.ErrNotSupported},
		{"no archive", func(m *mock) { m.shape("jobs", layoutAlone) }, func(ctx context.Context, c caller) error {
			return c.Settle(ctx, "jobs", []driver.Settlement{archived(lease(7), secret)})
		}, driver.ErrNotSupported},
		{"no queue to move to", func(m *mock) {
			m.shape("jobs", layout113)
			m.noQueue("other")
		}, func(ctx context.Context, c caller) error {
			return c.Settle(ctx, "jobs", []driver.Settlement{moved(lease(7), "other", "")})
		}, driver.ErrQueueNotFound},
		{"a transaction that is aborted", func(m *mock) {
			m.fails(sqlShape, values{"q_jobs", "a_jobs"}, pqError("25P02", "ERROR", ""))
		}, sends(body("1")), nil},
		{"a statement", func(m *mock) {
			m.shape("jobs", layout113)
			m.fails(jobs.insertOneNotifying, values{0, "1", nil, jobsChannel}, pgxError("25P02", "ERROR", ""))
		}, sends(body("1")), nil},
		{"a notification", func(m *mock) {
			m.shape("jobs", layout113)
			m.answers(jobs.settle, values{"{7}", "{2}", fences(1), "{2}", "{0}", "{NULL}"})
			m.fails(sqlNotify, values{jobsChannel}, io.ErrUnexpectedEOF)
		}, func(ctx context.Context, c caller) error {
			return c.Settle(ctx, "jobs", []driver.Settlement{nack(lease(7), 0)})
		}, driver.ErrUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mocked(t, func(t *testing.T, m *mock) {
				c := m.begin()
				tt.script(m)
				m.aborts()
				err := tt.call(t.Context(), c)
				if err == nil {
					t.Fatal("it succeeds")
				}
				if text := err.Error(); !strings.HasSuffix(text, " (roll the transaction back)") || strings.Contains(text, secret) {
					t.Errorf("error is %v", err)
				}
				if tt.want != nil {
					requireErr(t, err, tt.want)
				}
				c.rollsBack()
				m.released()
			})
		})
	}
}

// TestTxMoveForgets: the queue that is not as it was may be the one that
// messages are moved to.
func TestTxMoveForgets(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		m.known("jobs", layout113)
		m.known("other", layout113)
		c := m.begin()
		m.fails(move, values{"{2}", "{2}", fences(1), "{NULL}", "jobs/"}, pgxError("42703", "ERROR", ""))
		m.aborts()
		if err := c.Settle(t.Context(), "jobs", []driver.Settlement{moved(lease(2), "other", "")}); err == nil {
			t.Error("it succeeds")
		}
		c.rollsBack()
		for _, name := range []string{"jobs", "other"} {
			if _, ok := m.queues.Load(name); ok {
				t.Errorf("queue %q is not looked up again", name)
			}
		}
	})
}

func acks(rs ...driver.Receipt) func(context.Context, caller) error {
	return func(ctx context.Context, c caller) error {
		var s []driver.Settlement
		for _, r := range rs {
			s = append(s, ack(r))
		}
		return c.Settle(ctx, "jobs", s)
	}
}

func sends(msgs ...driver.Message) func(context.Context, caller) error {
	return func(ctx context.Context, c caller) error {
		_, err := c.Send(ctx, "jobs", msgs)
		return err
	}
}

// TestTxEnded: a call whose ctx has ended runs nothing of its own, but what the
// transaction did before must not be committed without it.
func TestTxEnded(t *testing.T) {
	for name, call := range map[string]func(context.Context, caller) error{"Send": sends(body("1")), "Settle": acks(lease(7))} {
		for _, known := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				mocked(t, func(t *testing.T, m *mock) {
					if known {
						m.known("jobs", layout113)
					}
					c := m.begin()
					m.aborts()
					if err := call(canceled(), c); !errors.Is(err, context.Canceled) {
						t.Errorf("error is %v", err)
					}
					c.rollsBack()
				})
			})
		}
	}
}

// TestTxClosed: nothing may be run for a provider that is closed, but for what
// keeps the transaction from being committed.
func TestTxClosed(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		m.known("jobs", layout113)
		c := m.begin()
		m.must(m.Close())
		m.aborts()
		requireErr(t, sends(body("1"))(t.Context(), c), driver.ErrClosed)
		m.aborts()
		requireErr(t, acks(lease(7))(t.Context(), c), driver.ErrClosed)
		c.rollsBack()
		_, err := m.Tx(c.tx)
		requireErr(t, err, driver.ErrClosed)
	})
}

// TestTxLeaves no trace in the process: no follow-up, and nobody is woken by
// what may be rolled back.
func TestTxLeaves(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		q := m.known("jobs", layout113)
		w := q.hub.join(false)
		c := m.begin()
		m.answers(jobs.insertOneNotifying, values{0, "1", nil, jobsChannel}, values{int64(7)})
		m.must(sends(body("1"))(t.Context(), c))
		m.answers(jobs.settle, values{"{7}", "{2}", fences(1), "{2}", "{0}", "{NULL}"})
		m.notifies("jobs")
		m.must(c.Settle(t.Context(), "jobs", []driver.Settlement{nack(lease(7), 0)}))
		time.Sleep(time.Second)
		synctest.Wait()
		if len(w.ch) > 0 {
			t.Error("a receiver is woken")
		}
		c.rollsBack()
	})
}

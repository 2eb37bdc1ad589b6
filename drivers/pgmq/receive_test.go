package pgmq

import (
	"context"
	"errors"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/DATA-DOG/go-sqlmock"

	"github.com/portmq/mq/driver"
)

var oneMinute = driver.ReceiveRequest{Max: 10, Visibility: time.Minute}

func TestReceive(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		m.known("jobs", layout113)
		m.answers(jobs.claim, values{10, 60_000_000},
			leased(9),
			values{int64(3), int64(1), nil, dueAt, nil, nil},
			values{int64(8), int64(4), sentAt, dueAt, []byte(`{"mq:base64": "/w=="}`), []byte(`{"n": 1}`)})
		ds, err := m.Receive(t.Context(), "jobs", oneMinute)
		m.must(err)
		want := []driver.Delivery{
			{ID: "3", Receipt: "p1:3:1:-:jobs", ReadCount: 1, VisibleAt: dueAt},
			{
				Message: driver.Message{Body: []byte("\xff"), Headers: driver.Headers{"n": "1"}},
				ID:      "8", Receipt: "p1:8:4:1700000000123456:jobs", ReadCount: 4, EnqueuedAt: sentAt, VisibleAt: dueAt,
			},
			{
				Message: driver.Message{Body: []byte(`{"a":1}`), Headers: driver.Headers{"k": "v"}, Group: "g"},
				ID:      "9", Receipt: "p1:9:2:1700000000123456:jobs", ReadCount: 2, EnqueuedAt: sentAt, VisibleAt: dueAt,
			},
		}
		if !reflect.DeepEqual(ds, want) {
			t.Errorf("it receives\n%+v\nwant\n%+v", ds, want)
		}
	})
}

func TestReceiveNothing(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		m.known("jobs", layout113)
		m.answers(jobs.claim, values{10, 1}) // less than a microsecond is rounded up
		ds, err := m.Receive(t.Context(), "jobs", driver.ReceiveRequest{Max: 10, Visibility: 1})
		if m.must(err); len(ds) != 0 {
			t.Errorf("it receives %v", ds)
		}
	})
}

// TestReceiveFarTimes: the fence compares microseconds, and a time that is too
// far away to count them exactly is left out of it.
func TestReceiveFarTimes(t *testing.T) {
	for _, tt := range []struct {
		sent time.Time
		want fence
	}{
		{sentAt, byLease},
		{time.UnixMicro(-1), byLease},
		{time.UnixMicro(1 << 53), byLease},
		{time.UnixMicro(1<<53 + 1), byReads},
		{time.UnixMicro(math.MaxInt64), byReads},
	} {
		r := receiptOf(1, 2, &tt.sent)
		if r.fence != tt.want || r.fence == byLease && r.sentAt != tt.sent.UnixMicro() {
			t.Errorf("sent %v: the receipt is %+v, want fence %d", tt.sent, r, tt.want)
		}
	}
}

func TestReceiveErrors(t *testing.T) {
	for _, tt := range []struct {
		name string
		rows func() *sqlmock.Rows
		want error
	}{
		{"too few columns", func() *sqlmock.Rows { return rowsOf(values{int64(1)}) }, nil},
		{"not a time", func() *sqlmock.Rows { return rowsOf(values{int64(1), int64(1), "infinity" + secret, dueAt, nil, nil}) }, nil},
		{"cut off before a row", func() *sqlmock.Rows { return rowsOf(leased(1)).RowError(0, pgxError("57P01", "FATAL", "")) }, driver.ErrBadConn},
		{"cut off after a row", func() *sqlmock.Rows { return rowsOf(leased(1), leased(2)).RowError(1, pqError("57P01", "FATAL", "")) }, driver.ErrUnavailable},
	} {
		for _, pop := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				mocked(t, func(t *testing.T, m *mock) {
					m.known("jobs", layout113)
					var ds []driver.Delivery
					var err error
					if pop {
						m.expect(jobs.pop, 10).WillReturnRows(tt.rows()).RowsWillBeClosed()
						ds, err = m.Pop(t.Context(), "jobs", 10)
					} else {
						m.expect(jobs.claim, 10, 60_000_000).WillReturnRows(tt.rows()).RowsWillBeClosed()
						ds, err = m.Receive(t.Context(), "jobs", oneMinute)
					}
					if err == nil || ds != nil {
						t.Fatalf("it returns %v, %v", ds, err)
					}
					checkIs(t, tt.name, err, tt.want)
					m.released()
				})
			})
		}
	}
}

func TestPop(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		m.known("jobs", layout113)
		m.answers(jobs.pop, values{3}, leased(9), values{int64(3), int64(0), nil, nil, nil, nil})
		ds, err := m.Pop(t.Context(), "jobs", 3)
		m.must(err)
		want := []driver.Delivery{
			{ID: "3", ReadCount: 1},
			{
				Message: driver.Message{Body: []byte(`{"a":1}`), Headers: driver.Headers{"k": "v"}, Group: "g"},
				ID:      "9", ReadCount: 3, EnqueuedAt: sentAt,
			},
		}
		if !reflect.DeepEqual(ds, want) {
			t.Errorf("it pops\n%+v\nwant\n%+v", ds, want)
		}
	})
}

// TestReceiveLingers: what a claim has leased when its ctx ends would be lost
// until the timeout.
func TestReceiveLingers(t *testing.T) {
	for _, tt := range []struct {
		name string
		took time.Duration // by the server
		ends time.Duration // of the ctx; 0 = never
		lost time.Duration // when the claim is given up; 0 = it is not
	}{
		{"within the grace", 1090 * time.Millisecond, 100 * time.Millisecond, 0},
		{"longer", 1110 * time.Millisecond, 100 * time.Millisecond, 1100 * time.Millisecond},
		{"no end", claimLimit - time.Millisecond, 0, 0},
		{"a server that hangs", claimLimit + time.Millisecond, 0, claimLimit},
	} {
		for name, run := range claims {
			t.Run(tt.name+", "+name, func(t *testing.T) {
				mocked(t, func(t *testing.T, m *mock) {
					call := run(m, tt.took, tt.lost > 0)
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					if tt.ends > 0 {
						time.AfterFunc(tt.ends, cancel)
					}
					start := time.Now()
					ds, err := call(ctx)
					took := time.Since(start)
					if tt.lost == 0 {
						if m.must(err); len(ds) != 1 || took != tt.took {
							t.Errorf("it receives %v after %v", ds, took)
						}
						return
					}
					if ds != nil || err == nil || took != tt.lost || errors.Is(err, driver.ErrBadConn) && name != "groups" {
						t.Errorf("it returns %v, %v after %v, want an end after %v", ds, err, took, tt.lost)
					}
				})
			})
		}
	}
}

// claims are calls that lease: each writes its script, in which the last
// statement takes some time, and may be lost.
var claims = map[string]func(m *mock, took time.Duration, lost bool) func(context.Context) ([]driver.Delivery, error){
	"receive": func(m *mock, took time.Duration, _ bool) func(context.Context) ([]driver.Delivery, error) {
		m.known("jobs", layout113)
		m.answers(jobs.claim, values{10, 60_000_000}, leased(1)).WillDelayFor(took)
		return func(ctx context.Context) ([]driver.Delivery, error) { return m.Receive(ctx, "jobs", oneMinute) }
	},
	"pop": func(m *mock, took time.Duration, _ bool) func(context.Context) ([]driver.Delivery, error) {
		m.known("jobs", layout113)
		m.answers(jobs.pop, values{10}, leased(1)).WillDelayFor(took)
		return func(ctx context.Context) ([]driver.Delivery, error) { return m.Pop(ctx, "jobs", 10) }
	},
	"groups": func(m *mock, took time.Duration, lost bool) func(context.Context) ([]driver.Delivery, error) {
		m.known("jobs", layout113)
		g := groupingOf(layout113, driver.GroupBy{})
		m.ExpectBegin()
		m.answers(g.choose, values{10}, values{"[]", ""})
		m.answers(g.claim, values{10, 60_000_000}, leased(1, "g")).WillDelayFor(took)
		if lost {
			m.ExpectRollback()
		} else {
			m.ExpectCommit()
		}
		return func(ctx context.Context) ([]driver.Delivery, error) {
			return m.ReceiveGroups(ctx, "jobs", driver.GroupRequest{ReceiveRequest: oneMinute})
		}
	},
}

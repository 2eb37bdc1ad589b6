package pgmq

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/DATA-DOG/go-sqlmock"

	"github.com/portmq/mq/driver"
)

const jobsChannel = "pgmq.q_jobs.INSERT"

func body(text string) driver.Message { return driver.Message{Body: []byte(text)} }

// TestSend checks what a first send, which notifies, runs and returns.
func TestSend(t *testing.T) {
	old := layout14.texts("jobs")
	delayed := driver.Message{Body: []byte("1"), Delay: time.Microsecond + 1}
	grouped := driver.Message{Body: []byte("2"), Group: `g"\`, Headers: driver.Headers{"k": "v"}}
	for _, tt := range []struct {
		name string
		l    layout
		cfg  Config
		msgs []driver.Message
		text string
		args values
	}{
		{"one", layout113, Config{}, []driver.Message{body(`{"a":1}`)}, jobs.insertOneNotifying, values{0, `{"a":1}`, nil}},
		{"delayed", layout113, Config{}, []driver.Message{delayed}, jobs.insertOneNotifying, values{2, "1", nil}},
		{"grouped", layout113, Config{}, []driver.Message{grouped}, jobs.insertOneNotifying, values{0, "2", `{"k":"v","x-pgmq-group":"g\"\\"}`}},
		{"longest delay", layout113, Config{}, []driver.Message{{Delay: math.MaxInt64}}, jobs.insertOneNotifying, values{int64(math.MaxInt64/1000 + 1), `{"mq:text":""}`, nil}},
		{"exact", layout113, Config{ExactBodies: true}, []driver.Message{body("1")}, jobs.insertOneNotifying, values{0, `{"mq:text":"1"}`, nil}},

		{"two", layout113, Config{}, []driver.Message{body(`{"a": "\"x\\"}`), body("hi")}, jobs.insertNotifying, values{
			nil, `{"{\"a\": \"\\\"x\\\\\"}","{\"mq:text\":\"hi\"}"}`, nil,
		}},
		{"mixed", layout113, Config{}, []driver.Message{body("0"), delayed, grouped}, jobs.insertNotifying, values{
			"{0,2,0}", `{"0","1","2"}`, `{NULL,NULL,"{\"k\":\"v\",\"x-pgmq-group\":\"g\\\"\\\\\"}"}`,
		}},
		{"a header first", layout113, Config{}, []driver.Message{{Body: []byte("1"), Headers: driver.Headers{"k": "v"}}, body("2")}, jobs.insertNotifying, values{
			nil, `{"1","2"}`, `{"{\"k\":\"v\"}",NULL}`,
		}},
		{"a group last", layout113, Config{}, []driver.Message{body("1"), {Body: []byte("2"), Group: "g"}}, jobs.insertNotifying, values{
			nil, `{"1","2"}`, `{NULL,"{\"x-pgmq-group\":\"g\"}"}`,
		}},
		{"a delay first", layout113, Config{}, []driver.Message{{Body: []byte("1"), Delay: time.Second}, body("2")}, jobs.insertNotifying, values{
			"{1000000,0}", `{"1","2"}`, nil,
		}},
		{"exact batch", layout113, Config{ExactBodies: true}, []driver.Message{body("1"), body("\xff")}, jobs.insertNotifying, values{
			nil, `{"{\"mq:text\":\"1\"}","{\"mq:base64\":\"/w==\"}"}`, nil,
		}},

		{"one, 1.4", layout14, Config{}, []driver.Message{delayed}, old.insertOneNotifying, values{2, "1"}},
		{"two, 1.4", layout14, Config{}, []driver.Message{body("1"), body("2")}, old.insertNotifying, values{nil, `{"1","2"}`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mockedWith(t, tt.cfg, func(t *testing.T, m *mock) {
				m.known("jobs", tt.l)
				rows, want := []values{}, []string{}
				for i := range tt.msgs {
					rows, want = append(rows, values{int64(7 + i)}), append(want, fmt.Sprint(7+i))
				}
				m.answers(tt.text, append(tt.args, jobsChannel), rows...)
				ids, err := m.Send(t.Context(), "jobs", tt.msgs)
				m.must(err)
				if !slices.Equal(ids, want) {
					t.Errorf("ids are %q, want %q", ids, want)
				}
			})
		})
	}
}

// TestSendRefuses is what fails without a statement.
func TestSendRefuses(t *testing.T) {
	headers := driver.Message{Headers: driver.Headers{"k": secret}}
	big := body(strings.Repeat("x", maxInsert/4))
	for _, tt := range []struct {
		name string
		l    layout
		msgs []driver.Message
		want error
		text string
	}{
		{"headers in 1.4", layout14, []driver.Message{headers}, driver.ErrNotSupported, `queue "jobs" has no headers`},
		{"headers in a batch", layoutTS, []driver.Message{body("1"), headers}, driver.ErrNotSupported, "Install adds them"},
		{"group in 1.4", layout14, []driver.Message{{Group: secret}}, driver.ErrNotSupported, `queue "jobs" has no headers`},
		{"the group's header", layout113, []driver.Message{body("1"), {Headers: driver.Headers{headerGroup: secret}}}, driver.ErrInvalid, "message 1: "},
		{"a batch too large", layout113, []driver.Message{big, big, big, big, body("x")}, driver.ErrTooLarge, "512 MiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mocked(t, func(t *testing.T, m *mock) {
				m.known("jobs", tt.l)
				ids, err := m.Send(t.Context(), "jobs", tt.msgs)
				requireErr(t, err, tt.want)
				if text := err.Error(); ids != nil || !strings.Contains(text, tt.text) || strings.Contains(text, secret) {
					t.Errorf("Send returns %q, %v", ids, err)
				}
			})
		})
	}
}

// TestSendNotifies checks that a burst of sends notifies at once and at its
// end, and at most every 5 ms.
func TestSendNotifies(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		m.known("jobs", layout113)
		send := func(carries bool) {
			t.Helper()
			text, args := jobs.insertOne, values{0, "1", nil}
			if carries {
				text, args = jobs.insertOneNotifying, append(args, jobsChannel)
			}
			m.answers(text, args, values{int64(1)})
			_, err := m.Send(t.Context(), "jobs", []driver.Message{body("1")})
			m.must(err)
		}
		send(true)
		time.Sleep(time.Millisecond)
		send(false)
		send(false)
		time.Sleep(time.Millisecond)
		send(false)
		m.notified("jobs") // what follows is within 5 ms of this one, at 6 ms
		send(false)
		m.notified("jobs")
		time.Sleep(notifyEvery)
		send(true)
		m.timeline(
			"0s shape", "0s insert notifying", "1ms insert", "1ms insert", "2ms insert", "6ms notify",
			"7ms insert", "12ms notify", "17ms insert notifying",
		)
	})
}

// TestSendFailedNotifies: a send that failed has carried nothing, and the next
// one makes up for it.
func TestSendFailedNotifies(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		m.known("jobs", layout113)
		args := values{0, "1", nil, jobsChannel}
		m.fails(jobs.insertOneNotifying, args, pgxError("40001", "ERROR", ""))
		_, err := m.Send(t.Context(), "jobs", []driver.Message{body("1")})
		requireErr(t, err, driver.ErrBadConn)
		m.answers(jobs.insertOne, args[:3], values{int64(1)})
		_, err = m.Send(t.Context(), "jobs", []driver.Message{body("1")})
		m.must(err)
		m.notified("jobs")
	})
}

// TestSendLongName: the name of a channel must not be longer than an
// identifier, or pg_notify fails, and the send with it.
func TestSendLongName(t *testing.T) {
	for _, name := range []string{strings.Repeat("n", maxName), strings.Repeat("値", maxName/3), "x" + strings.Repeat("値", maxName/3), strings.Repeat("n", 49)} {
		if ch := channel(name); len(ch) > 63 || strings.ToValidUTF8(ch, "?") != ch || !strings.HasPrefix(ch, "pgmq.q_"+name[:40]) {
			t.Errorf("queue %q has channel %q, %d bytes", name, ch, len(ch))
		}
	}
	if ch := channel(strings.Repeat("n", maxNewName)); !strings.HasSuffix(ch, "n.INSERT") {
		t.Errorf("the longest name that PGMQ takes has channel %q", ch)
	}
}

// TestSendScanError: the ids are lost, and so nobody can say that nothing was
// stored.
func TestSendRowErrors(t *testing.T) {
	for _, tt := range []struct {
		name string
		rows *sqlmock.Rows
		want error
	}{
		{"not a number", rowsOf(values{"x" + secret}), nil},
		{"cut off after a row", rowsOf(values{int64(1)}, values{int64(2)}).RowError(1, pgxError("57P01", "FATAL", "")), driver.ErrUnavailable},
		{"cut off before a row", rowsOf(values{int64(1)}).RowError(0, pqError("57P01", "FATAL", "")), driver.ErrBadConn},
		{"cut off before a row, 57P02", rowsOf(values{int64(1)}).RowError(0, pgxError("57P02", "FATAL", "")), driver.ErrBadConn},
		{"lost before a row", rowsOf(values{int64(1)}).RowError(0, errLost), driver.ErrUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mocked(t, func(t *testing.T, m *mock) {
				m.known("jobs", layout113)
				m.expect(jobs.insertNotifying, nil, `{"1","2"}`, nil, jobsChannel).WillReturnRows(tt.rows).RowsWillBeClosed()
				ids, err := m.Send(t.Context(), "jobs", []driver.Message{body("1"), body("2")})
				if err == nil || ids != nil {
					t.Fatalf("Send returns %q, %v", ids, err)
				}
				checkIs(t, tt.name, err, tt.want)
				m.released()
			})
		})
	}
}

// TestSendWakes checks that a send wakes who waits in the same process.
func TestSendWakes(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		q := m.known("jobs", layout113)
		plain, group := q.hub.join(false), q.hub.join(true)
		m.answers(jobs.insertOneNotifying, values{0, "1", nil, jobsChannel}, values{int64(1)})
		_, err := m.Send(t.Context(), "jobs", []driver.Message{body("1")})
		m.must(err)
		if len(plain.ch) != 1 || len(group.ch) != 1 {
			t.Error("a receiver that waits is not woken")
		}
	})
}

// TestSendFollowFails: a notification that fails is no more than a late one.
func TestSendFollowFails(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		h := m.known("jobs", layout113).hub
		m.fails(sqlNotify, values{jobsChannel}, errors.New(secret))
		h.landed(m.Provider, false)
		time.Sleep(notifyEvery)
		synctest.Wait()
		if log := m.log.take(); !strings.Contains(log, "notifying receivers failed") || strings.Contains(log, secret) {
			t.Errorf("it logs %q", log)
		}
	})
}

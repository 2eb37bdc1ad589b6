package pgmq

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

const jobsChannel = "pgmq.q_jobs.INSERT"

func body(text string) driver.Message { return driver.Message{Body: []byte(text)} }

// TestInsertion checks what an insert is given: values, or arrays of which one
// that would hold nothing is left out.
func TestInsertion(t *testing.T) {
	delayed := driver.Message{Body: []byte("1"), Delay: time.Microsecond + 1}
	grouped := driver.Message{Body: []byte("2"), Group: `g"\`, Headers: driver.Headers{"k": "v"}}
	attrs := `{"k":"v","x-pgmq-group":"g\"\\"}`
	for _, tt := range []struct {
		name  string
		l     layout
		exact bool
		msgs  []driver.Message
		want  []any
	}{
		{"delayed", layout113, false, []driver.Message{delayed}, []any{int64(2), text("1"), nil}},
		{"grouped", layout113, false, []driver.Message{grouped}, []any{int64(0), text("2"), attrs}},
		{"longest delay", layout113, false, []driver.Message{{Delay: math.MaxInt64}}, []any{int64(math.MaxInt64/1000 + 1), text(`{"mq:text":""}`), nil}},
		{"exact", layout113, true, []driver.Message{body("1")}, []any{int64(0), text(`{"mq:text":"1"}`), nil}},
		{"1.4", layout14, false, []driver.Message{delayed}, []any{int64(2), text("1")}},

		{"two", layout113, false, []driver.Message{body("1"), body("hi")}, []any{nil, textArray{[]byte("1"), []byte(`{"mq:text":"hi"}`)}, nil}},
		{"mixed", layout113, false, []driver.Message{body("0"), delayed, grouped}, []any{
			"{0,2,0}", textArray{[]byte("0"), []byte("1"), []byte("2")}, `{NULL,NULL,"{\"k\":\"v\",\"x-pgmq-group\":\"g\\\"\\\\\"}"}`,
		}},
		{"attributes first", layout113, false, []driver.Message{{Headers: driver.Headers{"k": "v"}, Delay: time.Second}, body("2")}, []any{
			"{1000000,0}", textArray{[]byte(`{"mq:text":""}`), []byte("2")}, `{"{\"k\":\"v\"}",NULL}`,
		}},
		{"two, 1.4", layout14, true, []driver.Message{body("1"), body("2")}, []any{nil, textArray{[]byte(`{"mq:text":"1"}`), []byte(`{"mq:text":"2"}`)}}},
	} {
		p, q := &Provider{cfg: Config{ExactBodies: tt.exact}}, &queue{name: "jobs", names: tt.l.names("jobs"), texts: tt.l.texts("jobs")}
		i, err := p.insertion(q, tt.msgs)
		if err != nil {
			t.Fatal(err)
		}
		texts := map[bool]string{true: q.texts.insertOne, false: q.texts.insert}
		if got, args := i.statement(q, false); got != texts[i.one] || !reflect.DeepEqual(args, tt.want) {
			t.Errorf("%s: it is given %q, want %q: %s", tt.name, args, tt.want, got)
		}
		texts = map[bool]string{true: q.texts.insertOneNotifying, false: q.texts.insertNotifying}
		if got, args := i.statement(q, true); got != texts[i.one] || !reflect.DeepEqual(args, append(tt.want, jobsChannel)) {
			t.Errorf("%s, notifying: it is given %q: %s", tt.name, args, got)
		}
	}
}

// TestInsertionRefused is what fails without a statement.
func TestInsertionRefused(t *testing.T) {
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
		_, err := new(Provider).insertion(&queue{name: "jobs", names: tt.l.names("jobs")}, tt.msgs)
		if requireErr(t, err, tt.want); !strings.Contains(err.Error(), tt.text) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: error is %v", tt.name, err)
		}
	}
}

// TestSendNotifies: a burst of sends notifies at once and at its end, and at
// most every 5 ms.
func TestSendNotifies(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		for _, pause := range []time.Duration{0, ms, 0, ms, 5 * ms, 10 * ms} {
			time.Sleep(pause)
			r.must(sends(body("1"))(r))
		}
		time.Sleep(time.Second)
		r.follows(
			"0s shape", "0s insert notifying", "1ms insert", "1ms insert", "2ms insert", "6ms notify",
			"7ms insert", "12ms notify", "17ms insert notifying",
		)
	})
}

// TestSendFailedNotifies: a send that failed has notified nobody, and the next
// one makes up for it.
func TestSendFailedNotifies(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		r.add(jobs.insertOneNotifying, queued{err: pgxError("40001", "ERROR", "")})
		requireErr(t, sends(body("1"))(r), driver.ErrBadConn)
		r.must(sends(body("1"))(r))
		time.Sleep(time.Second)
		r.follows("0s shape", "0s insert notifying", "0s insert", "6ms notify")
	})
}

// TestSendFollowFails: a notification that fails is no more than a late one.
func TestSendFollowFails(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		r.add(sqlNotify, queued{err: errors.New(secret)})
		r.hub("jobs").inserted(r.Provider, false)
		time.Sleep(time.Second)
		if log := r.log.take(); !strings.Contains(log, "notifying receivers failed") || strings.Contains(log, secret) {
			t.Errorf("it logs %q", log)
		}
	})
}

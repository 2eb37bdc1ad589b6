package rabbitmq

import (
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/portmq/mq/driver"
)

// TestCopyFor: what a copy notes of the message that it replaces.
func TestCopyFor(t *testing.T) {
	tests := map[string]struct {
		headers amqp.Table
		s       driver.Settlement
		want    amqp.Table // nil: it is not there
	}{
		"nack": {
			amqp.Table{"k": "v", "x-delivery-count": int64(2)},
			driver.Settlement{Op: driver.OpNack, Delay: time.Second},
			amqp.Table{"k": "v", "x-delivery-count": nil, headerReads: int64(5), headerAnswered: int64(5), headerUncounted: nil, driver.HeaderError: nil},
		},
		"uncounted": {
			amqp.Table{headerUncounted: int64(2)},
			driver.Settlement{Op: driver.OpNack, Uncounted: true},
			amqp.Table{headerReads: int64(5), headerAnswered: int64(5), headerUncounted: int64(3), driver.HeaderError: nil},
		},
		"counted after an uncounted one": {
			amqp.Table{headerUncounted: int64(2)},
			driver.Settlement{Op: driver.OpNack, Delay: time.Second},
			amqp.Table{headerAnswered: int64(5), headerUncounted: int64(2)},
		},
		"uncounted is not a number": {
			amqp.Table{headerUncounted: "many"},
			driver.Settlement{Op: driver.OpNack, Uncounted: true},
			amqp.Table{headerUncounted: int64(1)},
		},
		"reason": {
			amqp.Table{driver.HeaderError: "EOF"},
			driver.Settlement{Op: driver.OpNack, Reason: "card declined"},
			amqp.Table{driver.HeaderError: "card declined"},
		},
		"no reason": {
			amqp.Table{driver.HeaderError: "EOF"},
			driver.Settlement{Op: driver.OpNack, Uncounted: true},
			amqp.Table{driver.HeaderError: "EOF"},
		},
		"archive": {
			amqp.Table{driver.HeaderError: "EOF", headerUncounted: int64(2), headerAnswered: int64(4)},
			driver.Settlement{Op: driver.OpArchive, Reason: "too often"},
			amqp.Table{driver.HeaderError: "EOF", driver.HeaderReason: "too often", headerUncounted: int64(2), headerAnswered: int64(4)},
		},
		"back from the archive": {
			amqp.Table{headerArchived: int64(1), driver.HeaderError: "EOF", driver.HeaderReason: "too often", headerUncounted: int64(2), headerAnswered: int64(4)},
			driver.Settlement{Op: driver.OpNack, Uncounted: true},
			amqp.Table{headerArchived: nil, driver.HeaderError: nil, driver.HeaderReason: nil, headerUncounted: int64(1), headerAnswered: int64(5)},
		},
	}
	for name, tt := range tests {
		d := &amqp.Delivery{Headers: tt.headers, Body: []byte("body")}
		l := &lease{native: d, reads: 5, uncounted: int(noted(d, headerUncounted)), answered: int(noted(d, headerAnswered))}
		o, err := l.copyFor("q", &tt.s)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for key, want := range tt.want {
			if got := o.Headers[key]; got != want {
				t.Errorf("%s: header %s is %v, want %v", name, key, got, want)
			}
		}
	}
}

// TestTrim: texts are cut first, so that counts survive.
func TestTrim(t *testing.T) {
	o := outgoing{Publishing: amqp.Publishing{Headers: amqp.Table{
		driver.HeaderError: strings.Repeat("日", 40_000), driver.HeaderReason: strings.Repeat("r", 40_000),
		headerReads: int64(5), headerUncounted: int64(1), headerAnswered: int64(4),
	}}}
	if err := o.trim(); err != nil || o.propertyBytes() > maxProperties {
		t.Fatalf("%d bytes are left, %v", o.propertyBytes(), err)
	}
	failed, _ := o.Headers[driver.HeaderError].(string)
	if failed == "" || strings.Trim(failed, "日") != "" || len(o.Headers[driver.HeaderReason].(string)) != 40_000 {
		t.Errorf("%d bytes of the error are left, with %.20q at its end", len(failed), failed[max(0, len(failed)-8):])
	}
	for _, name := range []string{headerReads, headerUncounted, headerAnswered} {
		if o.Headers[name] == nil {
			t.Errorf("%s is left out", name)
		}
	}
}

// TestAttempts: what others may have written does not make them absurd.
func TestAttempts(t *testing.T) {
	for _, tt := range []struct {
		headers             amqp.Table
		attempt, unanswered int
	}{
		{nil, 1, 0},
		{amqp.Table{headerReads: int64(4)}, 5, 4},
		{amqp.Table{headerReads: int64(4), headerUncounted: int64(2), headerAnswered: int64(3)}, 3, 1},
		{amqp.Table{headerReads: int64(4), headerUncounted: int64(9), headerAnswered: int64(9)}, 1, 0},
		{amqp.Table{headerReads: int64(4), headerUncounted: int64(-9), headerAnswered: int64(-9)}, 5, 4},
		{amqp.Table{headerReads: int64(4), headerUncounted: "2", headerAnswered: "3"}, 5, 4},
		{amqp.Table{headerReads: int64(4), headerUncounted: int64(2), headerAnswered: int64(3), headerArchived: int64(1)}, 1, 0},
	} {
		c := &channel{q: &queue{p: newProvider(options{}, nil), name: "q"}, s: &session{}}
		d := c.lease([]amqp.Delivery{{DeliveryTag: 1, Headers: tt.headers}}, time.Minute)[0]
		if d.Attempt != tt.attempt || d.Unanswered != tt.unanswered || d.Headers != nil {
			t.Errorf("%v: attempt %d, unanswered %d, headers %v, want %d and %d", tt.headers, d.Attempt, d.Unanswered, d.Headers, tt.attempt, tt.unanswered)
		}
	}
}

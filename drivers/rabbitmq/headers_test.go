package rabbitmq

import (
	"errors"
	"maps"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/portmq/mq/driver"
)

func TestHeaders(t *testing.T) {
	want := driver.Headers{"k": "v", "CC": "a", "BCC": "b", "x-death": "c", "x-first-death-queue": "d", "mq-header-CC": "e", "x-mine": "f", "": "g"}
	table, err := encodeHeaders(want)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"CC", "BCC", "x-death"} {
		if _, has := table[name]; has {
			t.Errorf("the broker sees %s", name)
		}
	}
	table[headerEnqueued], table["x-delivery-count"] = int64(1), int64(2)
	if got := decodeHeaders(&amqp.Delivery{Headers: table}); !maps.Equal(got, want) {
		t.Errorf("headers came as %v, want %v", got, want)
	}
	if got := decodeHeaders(&amqp.Delivery{}); got != nil {
		t.Errorf("no headers came as %v", got)
	}
	if got := decodeHeaders(&amqp.Delivery{ContentType: "text/plain"}); got[contentType] != "text/plain" {
		t.Errorf("the content type came as %v", got)
	}
}

func TestHeadersRefused(t *testing.T) {
	for _, tt := range []struct {
		h    driver.Headers
		want error
	}{
		{driver.Headers{strings.Repeat("k", 256): ""}, driver.ErrInvalid},
		{driver.Headers{"k": strings.Repeat("v", maxHeaders)}, driver.ErrTooLarge},
		{driver.Headers{strings.Repeat("k", 255): strings.Repeat("v", 100_000)}, nil},
	} {
		if _, err := encodeHeaders(tt.h); !errors.Is(err, tt.want) {
			t.Errorf("got %v, want %v", err, tt.want)
		}
	}
}

func TestHeaderText(t *testing.T) {
	for _, tt := range []struct {
		v    any
		want string
	}{
		{nil, ""},
		{"a\x00b\xff", "ab\uFFFD"},
		{[]byte("text"), "text"},
		{[]byte{0xff, 0xfe}, "//4="},
		{true, "true"},
		{int8(-1), "-1"},
		{uint8(200), "200"},
		{math.Inf(1), "+Inf"},
		{float32(0.1), "0.1"},
		{time.Unix(0, 0), "1970-01-01T00:00:00Z"},
		{amqp.Decimal{Scale: 2, Value: 12345}, "123.45"},
		{amqp.Decimal{Scale: 3, Value: -1}, "-0.001"},
		{amqp.Decimal{Value: 7}, "7"},
		{amqp.Decimal{Scale: 1, Value: math.MinInt32}, "-214748364.8"},
		{[]any{amqp.Table{"k": math.NaN()}, []byte("b"), int64(1) << 60}, `[{"k":"NaN"},"b",1152921504606846976]`},
	} {
		if got := headerText(tt.v); got != tt.want {
			t.Errorf("headerText(%#v) = %q, want %q", tt.v, got, tt.want)
		}
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add("CC", "v", []byte("b"))
	f.Fuzz(func(t *testing.T, k, v string, b []byte) {
		got := decodeHeaders(&amqp.Delivery{Headers: amqp.Table{k: v, "b": b, "t": amqp.Table{k: []any{v, b}}}, ContentType: v})
		for k, v := range got {
			if !isText(k) || !isText(v) {
				t.Errorf("header %q: %q", k, v)
			}
		}
		if !isText(k) || !isText(v) {
			return
		}
		table, err := encodeHeaders(driver.Headers{k: v})
		if err != nil || ours(k) {
			return
		}
		if got := decodeHeaders(&amqp.Delivery{Headers: table}); got[k] != v {
			t.Errorf("header %q: %q came as %v", k, v, got)
		}
	})
}

func isText(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// TestIntegers: every integer of AMQP is one, nested in a table or as a count.
func TestIntegers(t *testing.T) {
	for _, v := range []any{byte(7), int8(7), int16(7), uint16(7), int32(7), uint32(7), int64(7)} {
		if got := headerText([]any{v}); got != "[7]" {
			t.Errorf("[]any{%T(7)} became %s", v, got)
		}
		if n, ok := integer(v); n != 7 || !ok {
			t.Errorf("integer(%T(7)) = %d, %v", v, n, ok)
		}
	}
}

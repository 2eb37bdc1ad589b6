package pgmq

import (
	"errors"
	"math"
	"testing"

	"github.com/portmq/mq/driver"
)

func TestReceiptText(t *testing.T) {
	tests := []struct {
		receipt receipt
		queue   string
		want    driver.Receipt
	}{
		{receipt{id: 42, reads: 3, sentAt: 1753900000123456}, "orders", "p1:42:3:1753900000123456:orders"},
		{receipt{id: 42, reads: 3, fence: byReads}, "orders", "p1:42:3:-:orders"},
		{receipt{id: 42, fence: byNone}, "orders", "p1:42:-:-:orders"},
		{receipt{id: 1, reads: 0, sentAt: -5}, "a:b:-", "p1:1:0:-5:a:b:-"},
		{receipt{id: -3, reads: -1, sentAt: 7}, "q", "p1:-3:-1:7:q"}, // others may write such rows
		{receipt{id: math.MaxInt64, reads: math.MaxInt32, sentAt: math.MinInt64}, "q", "p1:9223372036854775807:2147483647:-9223372036854775808:q"},
	}
	for _, tt := range tests {
		if got := tt.receipt.encode(tt.queue); got != tt.want {
			t.Errorf("%+v is %q, want %q", tt.receipt, got, tt.want)
		}
		if got, err := parseReceipt(tt.queue, tt.want); err != nil || got != tt.receipt {
			t.Errorf("%q is %+v, %v, want %+v", tt.want, got, err, tt.receipt)
		}
	}
}

func TestParseReceiptRejects(t *testing.T) {
	tests := map[string]driver.Receipt{
		"empty":           "",
		"queue only":      "q",
		"a bare id":       "42",
		"version only":    "p1:",
		"other version":   "p2:42:3:7:q",
		"no version":      "42:3:7:q",
		"upper case":      "P1:42:3:7:q",
		"no time":         "p1:42:3:q",
		"no queue":        "p1:42:3:7:",
		"truncated":       "p1:42:3:7",
		"other queue":     "p1:42:3:7:p",
		"longer queue":    "p1:42:3:7:qq",
		"queue behind":    "p1:42:3:7:x:q",
		"five numbers":    "p1:42:3:7:7:q",
		"leading zero":    "p1:042:3:7:q",
		"zeros of reads":  "p1:42:03:7:q",
		"zeros of time":   "p1:42:3:07:q",
		"plus":            "p1:+42:3:7:q",
		"plus of reads":   "p1:42:+3:7:q",
		"minus zero":      "p1:42:3:-0:q",
		"space":           "p1: 42:3:7:q",
		"space behind":    "p1:42:3:7:q ",
		"underscore":      "p1:4_2:3:7:q",
		"hexadecimal":     "p1:0x2a:3:7:q",
		"no id":           "p1::3:7:q",
		"id left out":     "p1:-:3:7:q",
		"id too large":    "p1:9223372036854775808:3:7:q",
		"reads too large": "p1:42:2147483648:7:q",
		"time too large":  "p1:42:3:9223372036854775808:q",
		"no reads":        "p1:42::7:q",
		"time alone":      "p1:42:-:7:q",
		"not a number":    "p1:42:3:x:q",
		"two hyphens":     "p1:42:3:--:q",
		"not text":        "p1:42:3:7\xff:q",
	}
	if _, err := parseReceipt("q", "p1:42:3:7:q"); err != nil {
		t.Fatal(err)
	}
	for name, text := range tests {
		if r, err := parseReceipt("q", text); !errors.Is(err, driver.ErrInvalidReceipt) || r != (receipt{}) {
			t.Errorf("%s: %q is %+v, %v", name, text, r, err)
		}
	}
}

func TestUnfenced(t *testing.T) {
	for _, queue := range []string{"orders", "Orders"} {
		got, err := parseReceipt("orders", Unfenced(queue, "42"))
		if want := (receipt{id: 42, fence: byNone}); err != nil || got != want {
			t.Errorf("of %q: %+v, %v, want %+v", queue, got, err, want)
		}
	}
	for _, id := range []string{"", "+1", "01", "1 ", "x", "-", "1:2:3", "9223372036854775808", "\xff"} {
		if _, err := parseReceipt("orders", Unfenced("orders", id)); !errors.Is(err, driver.ErrInvalidReceipt) {
			t.Errorf("id %q: %v", id, err)
		}
	}
}

func TestReceiptAllocates(t *testing.T) {
	r := receipt{id: 42, reads: 3, sentAt: 1753900000123456}
	var text driver.Receipt
	if n := testing.AllocsPerRun(100, func() { text = r.encode("orders") }); n > 1 {
		t.Errorf("encode: %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { r, _ = parseReceipt("orders", text) }); n > 0 {
		t.Errorf("parse: %v allocations", n)
	}
}

func FuzzParseReceipt(f *testing.F) {
	f.Add("q", "p1:42:3:1753900000123456:q", int64(42), int32(3), int64(7), uint8(0))
	f.Add("a:b", "p1:1:1:-:a:b", int64(1), int32(0), int64(-7), uint8(1))
	f.Add("", "p1:1:-:-:", int64(-1), int32(-1), int64(0), uint8(2))
	f.Fuzz(func(t *testing.T, queue, text string, id int64, reads int32, sentAt int64, kind uint8) {
		if r, err := parseReceipt(queue, driver.Receipt(text)); err == nil && string(r.encode(queue)) != text {
			t.Errorf("%q is a second text of %+v", text, r)
		}
		made := receipt{id: id, fence: fence(kind % 3)}
		if made.fence != byNone {
			made.reads = reads
		}
		if made.fence == byLease {
			made.sentAt = sentAt
		}
		got, err := parseReceipt(queue, made.encode(queue))
		if err != nil || got != made {
			t.Errorf("%+v came back as %+v, %v", made, got, err)
		}
	})
}

func BenchmarkReceiptEncode(b *testing.B) {
	r := receipt{id: 123456789, reads: 3, sentAt: 1753900000123456}
	b.ReportAllocs()
	for b.Loop() {
		r.encode("orders")
	}
}

func BenchmarkParseReceipt(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseReceipt("orders", "p1:123456789:3:1753900000123456:orders"); err != nil {
			b.Fatal(err)
		}
	}
}

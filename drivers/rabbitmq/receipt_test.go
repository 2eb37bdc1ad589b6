package rabbitmq

import (
	"errors"
	"testing"

	"github.com/portmq/mq/driver"
)

func TestReceipt(t *testing.T) {
	r := receipt{channel: 0xbeef, tag: 42}
	text := r.encode("q:1")
	if want := driver.Receipt("r1:000000000000beef:42:q:1"); text != want {
		t.Errorf("encode = %q, want %q", text, want)
	}
	if got, err := parseReceipt("q:1", text); got != r || err != nil {
		t.Errorf("parseReceipt = %v, %v", got, err)
	}
	for _, bad := range []driver.Receipt{
		"", "r1:", "r1:000000000000beef:42:q", "r1:000000000000beef:42:q:2", "r1:000000000000beef:0:q:1", "r1:000000000000beef:042:q:1",
		"r1:000000000000BEEF:42:q:1", "r1:beef:42:q:1", "r2:000000000000beef:42:q:1", "r1:000000000000beef:-1:q:1", text + " ", " " + text,
		"r1:000000000000beef:18446744073709551616:q:1",
	} {
		if _, err := parseReceipt("q:1", bad); !errors.Is(err, driver.ErrInvalidReceipt) {
			t.Errorf("parseReceipt(%q): %v", bad, err)
		}
	}
}

func FuzzReceipt(f *testing.F) {
	f.Add("q", "r1:000000000000beef:42:q")
	f.Add("a:b", "r1:0:1:a:b")
	f.Fuzz(func(t *testing.T, queue, text string) {
		r, err := parseReceipt(queue, driver.Receipt(text))
		if err == nil && string(r.encode(queue)) != text {
			t.Errorf("parseReceipt(%q, %q) = %v, which is written otherwise", queue, text, r)
		}
	})
}

func TestIDs(t *testing.T) {
	a, b := newIDSource(), newIDSource()
	last := ""
	for range 1000 {
		id, at := a.next()
		if other, _ := b.next(); id <= last || other == id || len(id) != 26 || at.IsZero() {
			t.Fatalf("id %s after %s, the other source's %s", id, last, other)
		}
		last = id
	}
}

package mem

import (
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

func TestReceiptText(t *testing.T) {
	r := receipt{0x0123456789abcdef, 2, 0xff, 1<<64 - 1}
	const want = "orders-0123456789abcdef-0000000000000002-00000000000000ff-ffffffffffffffff"
	if got := string(r.append(nil, "orders")); got != want {
		t.Errorf("text is %q, want %q", got, want)
	}
	if got, ok := parseReceipt("orders", want); !ok || got != r {
		t.Errorf("parsed %v, %v", got, ok)
	}
}

func TestParseReceiptRejects(t *testing.T) {
	const good = "q-0123456789abcdef-0000000000000002-00000000000000ff-0000000000000001"
	tests := map[string]string{
		"empty":         "",
		"queue only":    "q",
		"truncated":     good[:len(good)-1],
		"cut in front":  good[1:],
		"longer":        good + "0",
		"other queue":   "p" + good[1:],
		"longer queue":  "q" + good,
		"upper case":    "q" + strings.ToUpper(good[1:]),
		"no hyphen":     strings.Replace(good, "-", "_", 1),
		"moved hyphen":  "q-0123456789abcde-f0000000000000002-00000000000000ff-0000000000000001",
		"sign":          "q-+123456789abcdef-0000000000000002-00000000000000ff-0000000000000001",
		"not a digit":   "q-0123456789abcdeg-0000000000000002-00000000000000ff-0000000000000001",
		"no such lease": "q-0123456789abcdef-0000000000000002-00000000000000ff-0000000000000000",
		"not text":      "q-0123456789abcdef-0000000000000002-00000000000000ff-00000000000000\xff1",
	}
	if _, ok := parseReceipt("q", good); !ok {
		t.Fatal("the good receipt was rejected")
	}
	for name, r := range tests {
		if _, ok := parseReceipt("q", driver.Receipt(r)); ok {
			t.Errorf("%s: %q was accepted", name, r)
		}
	}
}

// TestReceipts settles and extends with receipts that name no lease of the
// queue, and requires that nothing happens.
func TestReceipts(t *testing.T) {
	c, other := open(t), open(t)
	c.ensure("p")
	other.send("q", text("a"))
	c.send("p", text("a"))
	c.send("q", texts("a", "b")...)

	foreign, elsewhere := other.one("q").Receipt, c.one("p").Receipt
	old := c.one("q")
	acked := c.one("q")
	c.settle("q", driver.Settlement{Receipt: acked.Receipt, Op: driver.OpAck})
	c.settle("q", driver.Settlement{Receipt: old.Receipt, Op: driver.OpNack})
	held := c.one("q")

	tests := []struct {
		name    string
		receipt driver.Receipt
		check   func(testing.TB, error)
	}{
		{"malformed", "x", requireInvalid},
		{"altered", "q" + elsewhere[1:], requireStale},
		{"of another queue", elsewhere, requireInvalid},
		{"of another client", foreign, requireStale},
		{"nacked", old.Receipt, requireStale},
		{"acked", acked.Receipt, requireGone},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, op := range []driver.Op{driver.OpAck, driver.OpNack, driver.OpArchive, driver.OpMove} {
				s := driver.Settlement{Receipt: tt.receipt, Op: op, To: "p"}
				tt.check(t, itemErr(c.Settle(t.Context(), "q", []driver.Settlement{s})))
			}
			tt.check(t, itemErr(c.Extend(t.Context(), "q", []driver.Receipt{tt.receipt}, time.Hour)))
			s := c.stats("q")
			if s.Total != 1 || s.Leased != 1 || s.Archived != 0 {
				t.Errorf("the queue has changed: %+v", s)
			}
		})
	}
	c.settle("q", driver.Settlement{Receipt: held.Receipt, Op: driver.OpAck})
}

func requireInvalid(t testing.TB, err error) {
	t.Helper()
	requireErr(t, err, driver.ErrInvalidReceipt)
}

func TestReceiptOfDroppedQueue(t *testing.T) {
	c := open(t)
	c.send("q", text("a"))
	d := c.one("q")
	c.must(c.DropQueue(t.Context(), "q"))
	c.ensure("q")
	c.send("q", text("a"))
	if again := c.one("q"); again.ID != d.ID {
		t.Fatalf("id %q, want the same as before, %q", again.ID, d.ID)
	}
	requireStale(t, itemErr(c.Settle(t.Context(), "q", []driver.Settlement{{Receipt: d.Receipt, Op: driver.OpAck}})))
}

func FuzzParseReceipt(f *testing.F) {
	f.Add("q", "q-0123456789abcdef-0000000000000002-00000000000000ff-0000000000000001", uint64(1))
	f.Add("", "-0123456789abcdef-0000000000000002-00000000000000ff-0000000000000001", uint64(1<<63))
	f.Add("q", "q", uint64(0))
	f.Fuzz(func(t *testing.T, queue, text string, n uint64) {
		if r, ok := parseReceipt(queue, driver.Receipt(text)); ok && string(r.append(nil, queue)) != text {
			t.Errorf("%q is a second text of %v", text, r)
		}
		made := receipt{n, ^n, n >> 7, n}
		r, ok := parseReceipt(queue, driver.Receipt(made.append(nil, queue)))
		if ok != (n != 0) || ok && r != made {
			t.Errorf("%v came back as %v, %v", made, r, ok)
		}
	})
}

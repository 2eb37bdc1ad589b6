package driver

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseDSN(t *testing.T) {
	for _, tt := range []struct{ dsn, want string }{
		{"toy://app:hunter2@db:5432/shop?sslmode=off", ""},
		{"toy://", ""},
		{"toy://db?sslmod=off", `unknown parameter "sslmod" (did you mean "sslmode"?)`},
		{"toy://db?nonsense=1", `unknown parameter "nonsense" (have: sslmode, driver)`},
		{"toy://db?driver=a&driver=b", `parameter "driver" is given 2 times`},
		{"toy://db?driver=%zz", `malformed DSN: the query is not URL-encoded`},
		{"toy://app:hunter2@db:port/", `malformed DSN: invalid port`},
		{"toy://app:hunter 2@db/", `malformed DSN: invalid userinfo`},
		{"toy://app:hunter%2@db/", `malformed DSN: invalid URL escape`},
		{"toy://db/hunter2\x00", `malformed DSN: invalid control character`},
		{"://hunter2", `malformed DSN: missing protocol scheme`},
		{"toy://[hunter2", `malformed DSN: not a URL`},
	} {
		u, err := ParseDSN(tt.dsn, "sslmode", "driver")
		switch {
		case tt.want == "" && (err != nil || u.Scheme != "toy"):
			t.Errorf("ParseDSN(%q) = %v, %v", tt.dsn, u, err)
		case tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want)):
			t.Errorf("ParseDSN(%q): %v, want %s", tt.dsn, err, tt.want)
		}
		if strings.Contains(fmt.Sprint(err), "hunter") {
			t.Errorf("error leaks: %v", err)
		}
	}
	if _, err := ParseDSN("toy://db?x=1"); err == nil || !strings.Contains(err.Error(), "there are none") {
		t.Errorf("no parameters: %v", err)
	}
}

type options struct{ n int }

func (options) DriverName() string { return "toy" }

type foreign struct{}

func (foreign) DriverName() string { return "other" }

func TestOptionsOf(t *testing.T) {
	for _, tt := range []struct {
		all  []DriverOptions
		want int
		fail error
	}{
		{nil, 0, nil},
		{[]DriverOptions{foreign{}}, 0, nil},
		{[]DriverOptions{foreign{}, options{7}}, 7, nil},
		{[]DriverOptions{&options{7}}, 0, ErrInvalid}, // would be lost without a word
	} {
		got, err := OptionsOf[options](QueueOptions{Drivers: tt.all})
		if got.n != tt.want || !errors.Is(err, tt.fail) {
			t.Errorf("OptionsOf(%v) = %v, %v, want %d, %v", tt.all, got, err, tt.want, tt.fail)
		}
	}
}

func TestParseHosts(t *testing.T) {
	for _, tt := range []struct {
		dsn  string
		want []Host
		fail string
	}{
		{"toy://", []Host{{}}, ""},
		{"toy:///path?a=1", []Host{{}}, ""},
		{"TOY://app:hunter2@db", []Host{{"db", ""}}, ""},
		{"toy://app:a@b@db:1/", []Host{{"db", "1"}}, ""},
		{"toy://app@h1:1,h2,[::1]:3,[fe80::1%25eth0]/x", []Host{{"h1", "1"}, {"h2", ""}, {"::1", "3"}, {"fe80::1%eth0", ""}}, ""},
		{"toy://%2Frun%2Fdb:5?a=1", []Host{{"/run/db", "5"}}, ""},
		{"toy://h:", []Host{{"h", ""}}, ""},
		{"toy:db", nil, "not of the form"},
		{"toy/x?a=://hunter2", nil, "not of the form"},
		{"toy://app:hun/ter2@db", nil, "percent-encode special"},
		{"toy://app:5?hunter2@db", nil, "percent-encode special"},
		{"toy://app:5#hunter2@db", nil, "percent-encode special"},
		{"toy://app:hunter 2@db", nil, "invalid userinfo"},
		{"toy://app:hunter2@db:port", nil, "invalid port"},
		{"toy://app:hunter2@db:0", nil, "invalid port"},
		{"toy://app:hunter2@db:65536", nil, "invalid port"},
		{"toy://app:hunter2@::1", nil, "invalid port"},
		{"toy://app:hunter2@[::1", nil, "invalid IPv6"},
		{"toy://app:hunter2@[::1]5", nil, "invalid IPv6"},
		{"toy://app:hunter2@d%zz", nil, "invalid host"},
		{"toy://app:hunter2@d b", nil, "invalid host"},
		{"toy://app:hunter2@db?b=1", nil, `unknown parameter "b"`},
	} {
		u, got, err := ParseHosts(tt.dsn, "a")
		switch {
		case tt.fail == "" && (err != nil || u.Scheme != "toy" || u.Host != "" || !slices.Equal(got, tt.want)):
			t.Errorf("ParseHosts(%q) = %v, %q, %v, want %q", tt.dsn, u, got, err, tt.want)
		case tt.fail != "" && (err == nil || !strings.Contains(err.Error(), tt.fail) || strings.Contains(err.Error(), "hunter")):
			t.Errorf("ParseHosts(%q): %v, want %s", tt.dsn, err, tt.fail)
		}
	}
}

func FuzzParseDSN(f *testing.F) {
	f.Add("toy://app:hunter2secret@db/shop?x=1")
	f.Add("toy://app:hunter2secret@db:x/?a=1")
	f.Fuzz(func(t *testing.T, dsn string) {
		const secret = "hunter2secret"
		dsn = strings.ReplaceAll(dsn, "?", "") // the names of parameters may be shown
		if _, err := ParseDSN(dsn, "x"); err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("ParseDSN(%q): %v", dsn, err)
		}
		if _, hosts, err := ParseHosts(dsn, "x"); err != nil && strings.Contains(err.Error(), secret) || err == nil && len(hosts) == 0 {
			t.Errorf("ParseHosts(%q) = %q, %v", dsn, hosts, err)
		}
	})
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 1}, {"", "abc", 3}, {"sslmod", "sslmode", 1}, {"kitten", "sitting", 3}, {"ab", "ba", 2}, {"same", "same", 0},
	} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestBatchError(t *testing.T) {
	bad := errors.New("bad")
	if err := Batch([]error{nil, nil}); err != nil {
		t.Errorf("Batch without errors = %v", err)
	}
	err := Batch([]error{nil, bad, ErrMessageNotFound})
	if err == nil || err.Error() != "2 of 3 failed: bad" {
		t.Errorf("Batch = %v", err)
	}
	if errors.Is(err, bad) || errors.Is(err, ErrStaleReceipt) {
		t.Errorf("errors.Is takes an item for the whole of %v", err)
	}
	if err := Batch([]error{ErrStaleReceipt, ErrMessageNotFound}); !errors.Is(err, ErrStaleReceipt) || errors.Is(err, ErrMessageNotFound) {
		t.Errorf("errors.Is does not see what all items of %v are", err)
	}
	if errors.Is(new(BatchError), ErrStaleReceipt) {
		t.Error("an empty batch is stale")
	}
	if got := new(BatchError).Error(); got != "no item failed" {
		t.Errorf("empty batch error = %q", got)
	}
}

func TestSentinels(t *testing.T) {
	for _, tt := range []struct{ err, is error }{
		{ErrNotSupported, errors.ErrUnsupported},
		{ErrTooLarge, ErrInvalid},
		{ErrMessageNotFound, ErrStaleReceipt},
	} {
		if !errors.Is(tt.err, tt.is) || errors.Is(tt.is, tt.err) {
			t.Errorf("%v and %v: want the first to be the second, and not the reverse", tt.err, tt.is)
		}
	}
}

func TestValues(t *testing.T) {
	for op, want := range map[Op]string{OpAck: "ack", OpNack: "nack", OpArchive: "archive", OpMove: "move", 0: "Op(0)", 9: "Op(9)"} {
		if got := op.String(); got != want {
			t.Errorf("Op %d = %q, want %q", int8(op), got, want)
		}
	}
	for o, want := range map[Order]string{Unordered: "unordered", OrderDue: "due", OrderID: "id", 9: "Order(9)"} {
		if got := o.String(); got != want {
			t.Errorf("Order %d = %q, want %q", int8(o), got, want)
		}
	}
	h := make(Headers)
	h.Set("a", "1")
	h.Set("b", "2")
	keys := h.Keys()
	slices.Sort(keys)
	if h.Get("a") != "1" || h.Get("c") != "" || !slices.Equal(keys, []string{"a", "b"}) {
		t.Errorf("headers = %v, keys %v", h, keys)
	}
	r := Record{Message: Message{Headers: Headers{HeaderReason: "why"}}}
	if r.Reason() != "why" || new(Record).Reason() != "" {
		t.Errorf("reason = %q", r.Reason())
	}
	if (Caps{}).FlightLimit() != DefaultFlights || (Caps{Flights: 7}).FlightLimit() != 7 {
		t.Error("FlightLimit")
	}
	if (Caps{}).BatchLimit() != DefaultMaxBatch || (Caps{MaxBatch: 7}).BatchLimit() != 7 {
		t.Error("BatchLimit is wrong")
	}
	if AtTimeout >= 0 || AtTimeout == -time.Nanosecond {
		t.Error("AtTimeout could be meant as a delay")
	}
}

package pgmq

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/portmq/mq/driver"
)

func TestEncodeHeaders(t *testing.T) {
	tests := []struct {
		headers driver.Headers
		group   string
		want    string
	}{
		{nil, "", ""},
		{driver.Headers{}, "", ""},
		{nil, "g", `{"x-pgmq-group":"g"}`},
		{driver.Headers{"b": "2", "a": ""}, "", `{"a":"","b":"2"}`},
		{driver.Headers{"z": "1"}, `"g\`, `{"z":"1","x-pgmq-group":"\"g\\"}`},
		{driver.Headers{"": "ü\n"}, "", `{"":"ü\n"}`},
	}
	for _, tt := range tests {
		got, ok := encodeHeaders(tt.headers, tt.group)
		if got != tt.want || ok != (tt.want != "") {
			t.Errorf("%v of group %q: got %s, %v, want %s", tt.headers, tt.group, got, ok, tt.want)
		}
	}
}

// TestEncodeHeadersKeepsThem: they are the caller's.
func TestEncodeHeadersKeepsThem(t *testing.T) {
	h := driver.Headers{"a": "1"}
	encodeHeaders(h, "g")
	if len(h) != 1 {
		t.Errorf("the headers have become %v", h)
	}
}

func TestCheckHeaders(t *testing.T) {
	good := driver.Message{Headers: driver.Headers{"X-PGMQ-Group": "g"}, Group: "g"}
	bad := driver.Message{Headers: driver.Headers{headerGroup: ""}}
	tests := []struct {
		msgs []driver.Message
		want string
	}{
		{nil, ""},
		{[]driver.Message{{}, good}, ""},
		{[]driver.Message{bad}, "invalid argument: header x-pgmq-group"},
		{[]driver.Message{good, bad, bad}, "message 1: invalid argument: header x-pgmq-group"},
	}
	for _, tt := range tests {
		err := checkHeaders(tt.msgs)
		if tt.want == "" {
			if err != nil {
				t.Errorf("%v: %v", tt.msgs, err)
			}
			continue
		}
		if !errors.Is(err, driver.ErrInvalid) || !strings.HasPrefix(err.Error(), tt.want) || !strings.Contains(err.Error(), "set Message.Group") {
			t.Errorf("%v: %v", tt.msgs, err)
		}
	}
}

func TestDecodeHeaders(t *testing.T) {
	tests := []struct {
		stored string
		want   driver.Headers
		group  string
	}{
		{"", nil, ""},
		{"null", nil, ""},
		{"{}", nil, ""},
		{" { } ", nil, ""},
		{`[1]`, nil, ""},
		{`"a"`, nil, ""},
		{`7`, nil, ""},
		{`{"a"`, nil, ""},
		{`{"a": "1",`, nil, ""},
		{`{"a": "1", "b": ""}`, driver.Headers{"a": "1", "b": ""}, ""},
		{`{"a\"": "\u00fc\n", "": "\\"}`, driver.Headers{`a"`: "ü\n", "": `\`}, ""},
		{`{"n": 7, "f": 1.50, "t": true, "o": {"a": [1, "x"]}, "l": [], "z": null}`, driver.Headers{"n": "7", "f": "1.50", "t": "true", "o": `{"a": [1, "x"]}`, "l": "[]", "z": "null"}, ""},
		{`{"x-pgmq-group": "g"}`, nil, "g"},
		{`{"a": "1", "x-pgmq-group": "\"g\"", "b": "2"}`, driver.Headers{"a": "1", "b": "2"}, `"g"`},
		{`{"x-pgmq-group": ""}`, nil, ""},
		{`{"x-pgmq-group": 7}`, nil, "7"},
		{`{"x-pgmq-group": null}`, nil, ""},
		{`{"x-pgmq-group": "null"}`, nil, "null"},
		{`{"x-pgmq-group": false}`, nil, "false"},
		{`{"x-pgmq-group": {"a": 1}}`, nil, `{"a": 1}`},
		{`{"a": ` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + `}`, driver.Headers{"a": strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth)}, ""},
	}
	for _, tt := range tests {
		got, group, _ := decodeHeaders([]byte(tt.stored))
		if !maps.Equal(got, tt.want) || (got == nil) != (tt.want == nil) || group != tt.group {
			t.Errorf("%s: got %v of group %q, want %v of %q", tt.stored, got, group, tt.want, tt.group)
		}
	}
	if h, group, _ := decodeHeaders(nil); h != nil || group != "" {
		t.Errorf("NULL: got %v of group %q", h, group)
	}
}

// TestNotes: what is not a small number, as only other programs write it, is 0.
func TestNotes(t *testing.T) {
	tests := []struct {
		answered, uncounted string
		reads               int
		attempt, unanswered int
	}{
		{"0", "0", 1, 1, 0},
		{"1", "1", 2, 1, 0},
		{"2", "1", 5, 4, 2},
		{"5", "5", 3, 0, 0},
		{"999999999", "999999999", 3, 0, 0},
		{"9999999999", "1000000000", 3, 3, 2},
		{"-1", "-1", 3, 3, 2},
		{"1.0", "1.5", 3, 3, 2},
		{`"1"`, `"1"`, 3, 3, 2},
		{"null", "true", 3, 3, 2},
		{"[1]", `{"a": 1}`, 3, 3, 2},
	}
	for _, tt := range tests {
		stored := `{"a": "1", "mq-answered": ` + tt.answered + `, "mq-uncounted": ` + tt.uncounted + `}`
		h, _, n := decodeHeaders([]byte(stored))
		if n.attempt(tt.reads) != tt.attempt || n.unanswered(tt.reads) != tt.unanswered || len(h) != 1 {
			t.Errorf("%s at read %d: attempt %d, unanswered %d, headers %v", stored, tt.reads, n.attempt(tt.reads), n.unanswered(tt.reads), h)
		}
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add("a", "1", "b", "", "g")
	f.Add("", "\"\\\n", "ü", "<\u2028>", "")
	f.Add("x", "null", "x-pgmq-groups", "7", "null")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2, group string) {
		if !utf8.ValidString(k1+"|"+v1+"|"+k2+"|"+v2+"|"+group) || k1 == headerGroup || k2 == headerGroup {
			return
		}
		if strings.Contains(k1+v1+k2+v2+group, "\x00") {
			return
		}
		want := driver.Headers{k1: v1, k2: v2}
		delete(want, headerAnswered)
		delete(want, headerUncounted)
		text, ok := encodeHeaders(want, group)
		stored, err := asJSONB(text)
		if !ok || err != nil {
			t.Fatalf("%q are stored as %s, %v, %v", want, text, ok, err)
		}
		if got, g, _ := decodeHeaders(stored); !maps.Equal(got, want) || g != group {
			t.Errorf("%q of %q are stored as %s and come back as %q of %q", want, group, stored, got, g)
		}
	})
}

func FuzzDecodeHeaders(f *testing.F) {
	f.Add([]byte(`{"a": "1", "x-pgmq-group": 7}`))
	f.Add([]byte(`{"a": "\ud83d", "b": [1, {"c": null}]}`))
	f.Fuzz(func(t *testing.T, stored []byte) {
		if h, _, _ := decodeHeaders(stored); h != nil && len(h) == 0 {
			t.Errorf("%q has an empty map", stored)
		}
	})
}

func BenchmarkEncodeHeaders(b *testing.B) {
	h := driver.Headers{"tenant": "acme", "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
	b.ReportAllocs()
	for b.Loop() {
		encodeHeaders(h, "customer-17")
	}
}

func BenchmarkDecodeHeaders(b *testing.B) {
	stored := []byte(`{"tenant": "acme", "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "x-pgmq-group": "customer-17"}`)
	b.ReportAllocs()
	for b.Loop() {
		decodeHeaders(stored)
	}
}

// TestNotesOf: notes of a later read were copied with the headers, and where nothing
// can be noted nothing is unanswered.
func TestNotesOf(t *testing.T) {
	for _, tt := range []struct {
		stored              string
		reads               int
		attempt, unanswered int
	}{
		{`{"mq-answered": 2, "mq-uncounted": 1, "mq-unanswered": 1}`, 3, 2, 1},
		{`{"mq-answered": 2, "mq-uncounted": 1, "mq-unanswered": 1}`, 4, 3, 2},
		{`{"mq-answered": 30, "mq-uncounted": 12, "mq-unanswered": 9}`, 1, 1, 0},
		{`{"mq-answered": 30, "mq-uncounted": 12, "mq-unanswered": 9}`, 4, 4, 3},
		{`{"mq-answered": 1, "mq-unanswered": 999999999}`, 3, 3, 2},
		{`[1]`, 5, 5, 0},
		{`null`, 5, 5, 0},
		{``, 5, 5, 4},
	} {
		_, _, n := decodeHeaders([]byte(tt.stored))
		n = n.of(tt.reads)
		if got := n.attempt(tt.reads); got != tt.attempt || n.unanswered(tt.reads) != tt.unanswered {
			t.Errorf("%s at read %d: attempt %d, unanswered %d, want %d and %d", tt.stored, tt.reads, got, n.unanswered(tt.reads), tt.attempt, tt.unanswered)
		}
	}
}

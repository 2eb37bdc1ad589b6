package mqui

import (
	"strings"
	"testing"
	"time"
)

func TestBody(t *testing.T) {
	for _, c := range []struct{ in, kind, want string }{
		{`{"n":12345678901234567890.10,"e":1e400}`, "JSON", "{\n  \"n\": 12345678901234567890.10,\n  \"e\": 1e400\n}"},
		{`"a"`, "JSON", `"a"`},
		{`{"a":1}}`, "text", `{"a":1}}`},
		{"grüße\n", "text", "grüße\n"},
		{"", "text", ""},
		{"{\"a\":\"\xff\"}", "binary", "00000000  7b 22 61 22 3a 22 ff 22  7d                       |{\"a\":\".\"}|\n"},
		{"abc\xc3", "binary", "00000000  61 62 63 c3                                       |abc.|\n"}, // not cut: it ends so
		{"\x00\x01\xff", "binary", "00000000  00 01 ff                                          |...|\n"},
	} {
		b := newBody([]byte(c.in), len(c.in), bodyShown)
		equal(t, c.in, b.Kind, c.kind)
		equal(t, c.in, b.Text, c.want)
		equal(t, c.in, b.More, false)
	}
}

// TestBodyCut shows the beginning of a long body, whole characters of it.
func TestBodyCut(t *testing.T) {
	long := strings.Repeat("ü", bodyShown)
	b := newBody([]byte(long), len(long), bodyShown-1)
	equal(t, "kind", b.Kind, "text")
	equal(t, "bytes", len(b.Text), bodyShown-2)
	equal(t, "more", b.More, true)
	// The backend has cut this one within a character.
	b = newBody([]byte(long)[:maxBody/8-1], len(long), bodyShown)
	equal(t, "kind", b.Kind, "text")
	equal(t, "text", strings.Trim(b.Text, "ü"), "")
	equal(t, "more", b.More, true)
	binary := strings.Repeat("\x00", maxBody)
	b = newBody([]byte(binary), len(binary), bodyShown)
	equal(t, "dump", strings.Count(b.Text, "\n"), hexShown/16)
	equal(t, "more", b.More, true)
}

// TestBodyDepth does not indent what would take megabytes then.
func TestBodyDepth(t *testing.T) {
	deep := strings.Repeat("[", 5000) + strings.Repeat("]", 5000)
	b := newBody([]byte(deep), len(deep), maxBody)
	equal(t, "text", len(b.Text), len(deep))
	equal(t, "depth", depth([]byte(`{"a[[[":["\"[",{}]}`)), 3)
}

func TestTraceID(t *testing.T) {
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	for header, want := range map[string]string{
		"00-" + id + "-00f067aa0ba902b7-01":      id,
		"00-" + id + "-00f067aa0ba902b7-01-more": id,
		"":                                       "", id: "", "00-short-1-1": "", "00-" + strings.Repeat("/", 32) + "-x-01": "",
		"00-" + strings.ToUpper(id) + "-00f067aa0ba902b7-01": "",
	} {
		equal(t, header, traceID(header), want)
	}
	for text, want := range map[string]bool{
		"": true, "https://t.example.com/{trace}": true, "http://t/{trace}?x": true,
		"https://t.example.com/": false, "javascript:alert('{trace}')": false, "/{trace}": false,
	} {
		_, err := parseTraceURL(text)
		equal(t, text, err == nil, want)
	}
}

func TestFormat(t *testing.T) {
	for in, want := range map[string]string{
		"a\x00b": `a\x00b`, "a\nb": `a\nb`, "\u202ex": `\u202ex`, "\xff": `\xff`, "ü<b>": "ü<b>", "\u00a0": `\u00a0`, "\ufffd": "\ufffd", "a b": "a b",
	} {
		equal(t, in, printable(in), want)
	}
	equal(t, "lines", printableLines("a\n\tb\r"), "a\n\tb\\r")
	for n, want := range map[int64]string{-1: "-", 0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		equal(t, "number", number(n), want)
	}
	for d, want := range map[time.Duration]string{
		-1: "-", 0: "0", 5 * time.Millisecond: "5ms", 59 * time.Second: "59s", 61 * time.Second: "1m01s", 2*time.Hour + time.Minute: "2h01m",
		50 * time.Hour: "2d02h",
	} {
		equal(t, "duration", duration(d), want)
	}
	for text, want := range map[string]time.Duration{"90s": 90 * time.Second, "3d": 72 * time.Hour, "0.5d": 12 * time.Hour, "x": -1, "-1s": -1, "-1d": -1, "NaNd": -1} {
		d, err := parseDuration(text)
		if err != nil {
			d = -1
		}
		equal(t, text, d, want)
	}
}

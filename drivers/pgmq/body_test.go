package pgmq

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestEncodeBody(t *testing.T) {
	const same = "same"
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	tests := []struct{ name, body, want string }{
		{"object", `{"a":1}`, same},
		{"spaces", " {\"a\" :\t[1 ,2 ] }\r\n", same},
		{"number", `17`, same},
		{"numbers", `[0,-0,-1.50,1e999,1E-999,2.5e+007,-0.0]`, same},
		{"string", `"hi"`, same},
		{"null", `null`, same},
		{"literals", `[true,false,null,{},[],{"":[{}]}]`, same},
		{"escapes", `"\"\\\/\b\f\n\r\t\u0001\u20AC\ud83d\uDE00\ufffd\\u0000"`, same},
		{"not ASCII", `{"ключ":"値"}`, same},
		{"same keys", `{"a":1,"a":2}`, same},
		{"deep", nested(maxDepth), same},
		{"wide", "[" + strings.Repeat("[],{},", maxDepth) + "1]", same},
		{"long number", strings.Repeat("1", maxDigits), same},
		{"many values", "[" + strings.Repeat("1,", maxRoom-2) + "1]", same},
		{"envelope key second", `{"a":1,"mq:text":"b"}`, same},
		{"envelope key inside", `[{"mq:text":"a"}]`, same},
		{"key like an envelope's", `{"mq:texts":"a"}`, same},

		{"empty", "", `{"mq:text":""}`},
		{"text", "hello", `{"mq:text":"hello"}`},
		{"text to quote", "\"a\\\n\r\t\b\f\x01\x1f\x7f/<é>", `{"mq:text":"\"a\\\n\r\t\b\f\u0001\u001f` + "\x7f/<é>\"}"},
		{"NUL", "a\x00b", `{"mq:base64":"YQBi"}`},
		{"not UTF-8", "\xff\xfe", `{"mq:base64":"//4="}`},
		{"encoded surrogate", "\xed\xa0\x80", `{"mq:base64":"7aCA"}`},
		{"JSON and NUL", "1\x00", `{"mq:base64":"MQA="}`},

		{"JSON not UTF-8", "\"\xff\"", `{"mq:base64":"Iv8i"}`},
		{"NUL escape", `"\u0000"`, `{"mq:text":"\"\\u0000\""}`},
		{"NUL escape in key", `{"\u0000":1}`, `{"mq:text":"{\"\\u0000\":1}"}`},
		{"high surrogate", `"\ud83d"`, `{"mq:text":"\"\\ud83d\""}`},
		{"two high surrogates", `"\ud83d\ud83d"`, `{"mq:text":"\"\\ud83d\\ud83d\""}`},
		{"low surrogate", `"\ude00"`, `{"mq:text":"\"\\ude00\""}`},
		{"apart", `"\ud83d \ude00"`, `{"mq:text":"\"\\ud83d \\ude00\""}`},
		{"no escape behind", `"\ud83dxude00"`, `{"mq:text":"\"\\ud83dxude00\""}`},
		{"wrong order", `"\ude00\ud83d"`, `{"mq:text":"\"\\ude00\\ud83d\""}`},
		{"large exponent", `1e1000`, `{"mq:text":"1e1000"}`},
		{"small exponent", `1E-1000`, `{"mq:text":"1E-1000"}`},
		{"huge exponent", `1e99999999999999999999`, `{"mq:text":"1e99999999999999999999"}`},
		{"tiny exponent", `1e-99999999999999999999`, `{"mq:text":"1e-99999999999999999999"}`},

		{"envelope", `{"mq:text":"a"}`, `{"mq:text":"{\"mq:text\":\"a\"}"}`},
		{"envelope of base64", ` { "mq:base64" : "YQ==" }`, `{"mq:text":" { \"mq:base64\" : \"YQ==\" }"}`},
		{"escaped envelope", `{"mq\u003atext":"a"}`, `{"mq:text":"{\"mq\\u003atext\":\"a\"}"}`},
		{"all escaped", `{"\u006D\u0071:base64":1}`, `{"mq:text":"{\"\\u006D\\u0071:base64\":1}"}`},
		{"envelope key first", `{"mq:text":"a","b":1}`, `{"mq:text":"{\"mq:text\":\"a\",\"b\":1}"}`},
		{"envelope key twice", `{"mq:text":1,"mq:text":"b"}`, `{"mq:text":"{\"mq:text\":1,\"mq:text\":\"b\"}"}`},
	}
	for _, tt := range tests {
		if tt.want == same {
			tt.want = tt.body
		}
		if got := string(encodeBody([]byte(tt.body), false)); got != tt.want {
			t.Errorf("%s: got %.200s, want %.200s", tt.name, got, tt.want)
		}
	}
	for name, body := range map[string]string{
		"too deep":          nested(maxDepth + 1),
		"too many digits":   strings.Repeat("1", maxDigits+1),
		"too many decimals": "0." + strings.Repeat("1", maxDigits),
		"too many values":   "[" + strings.Repeat("1,", maxRoom-1) + "1]",
		"too many zeros":    "[" + strings.Repeat("1e999,", 5000) + "1]",
	} {
		if got := string(encodeBody([]byte(body), false)); !strings.HasPrefix(got, `{"mq:text":"`) {
			t.Errorf("%s: got %.100s", name, got)
		}
	}
}

func TestEncodeBodyExact(t *testing.T) {
	tests := map[string]string{
		`{"a": 1.0}`: `{"mq:text":"{\"a\": 1.0}"}`,
		"":           `{"mq:text":""}`,
		"\xff":       `{"mq:base64":"/w=="}`,
	}
	for body, want := range tests {
		if got := string(encodeBody([]byte(body), true)); got != want {
			t.Errorf("%q: got %s, want %s", body, got, want)
		}
	}
}

func TestNotJSON(t *testing.T) {
	for _, body := range []string{
		`{`, `}`, `[`, `]`, `[1`, `[1,]`, `[,1]`, `[1 2]`, `[1}`, `{1:2}`, `{a:1}`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{"a" 1}`, `{,}`, `{"a":1]`,
		`1 2`, `01`, `-`, `-a`, `+1`, `.5`, `1.`, `1.e1`, `1e`, `1e+`, `1e+-1`, `0x1`, `1_0`, `Infinity`, `NaN`,
		`tru`, `truee`, `nul`, `True`, `'a'`, `"`, `"a`, `"\`, `"\"`, `"\x"`, `"\u12"`, `"\u12g4"`, `"\u+123"`, `"\ud83d\u"`,
		"\"\n\"", "\"\x1f\"", "\u00a01", "\ufeff1", "\v1", "1\f", "1\x00", `//`, `{"a":1}x`, `"a""b"`,
	} {
		if json.Valid([]byte(body)) {
			t.Errorf("%q is JSON", body)
		}
		if isStorable([]byte(body)) {
			t.Errorf("%q is taken for JSON", body)
		}
	}
}

func TestDecodeBody(t *testing.T) {
	const same = "same"
	tests := []struct{ stored, want string }{
		{`{"mq:text": "a"}`, "a"},
		{`{"mq:text":"a"}`, "a"},
		{" {\n\"mq:text\"\t: \"a\" } ", "a"},
		{`{"mq\u003atext": "a"}`, "a"},
		{`{"mq:text": ""}`, ""},
		{`{"mq:text": "\"a\\ \/\b\f\n\r\t\u0001\u20ac\ud83d\ude00"}`, "\"a\\ /\b\f\n\r\t\x01€😀"},
		{`{"mq:base64": "YQBi"}`, "a\x00b"},
		{`{"mq:base64":"//4="}`, "\xff\xfe"},
		{`{"mq:base64": ""}`, ""},

		{`{"a": 1}`, same},
		{`{}`, same},
		{`"mq:text"`, same},
		{`null`, same},
		{`["mq:text", "a"]`, same},
		{`{"mq:text": 1}`, same},
		{`{"mq:text": null}`, same},
		{`{"mq:text": {"mq:text": "a"}}`, same},
		{`{"mq:text": "a", "mq:base64": "YQ=="}`, same},
		{`{"mq:text": "a", "z": 1}`, same},
		{`{"mq:texts": "a"}`, same},
		{`{"mq:text": "\ud83d"}`, same},
		{`{"mq:base64": ["YQ=="]}`, same},
		{`{"mq:base64": "YQ="}`, same},
		{`{"mq:base64": "YR=="}`, same},
		{`{"mq:base64": "Y-_="}`, same},
		{`{"mq:base64": "YQ==\n"}`, same},
		{`{"mq:base64": "\u0059Q=="}`, same},
		{`{"mq:text": "a"} x`, same},
		{`{"mq:text": "a"`, same},
		{`{"mq:text": "a`, same},
		{`{"mq:text"`, same},
		{`{"mq:text`, same},
	}
	for _, tt := range tests {
		if tt.want == same {
			tt.want = tt.stored
		}
		if got := decodeBody([]byte(tt.stored)); string(got) != tt.want {
			t.Errorf("%s: got %q, want %q", tt.stored, got, tt.want)
		}
	}
	if got := decodeBody(nil); len(got) != 0 {
		t.Errorf("NULL: got %q", got)
	}
}

// asJSONB rewrites JSON about as jsonb does.
func asJSONB(text string) ([]byte, error) {
	v, err := parseJSON([]byte(text))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	writeJSONB(&b, v)
	return b.Bytes(), nil
}

func parseJSON(b []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err = d.Decode(&v); err == nil && d.More() {
		err = fmt.Errorf("two values")
	}
	return v, err
}

func writeJSONB(b *bytes.Buffer, v any) {
	switch v := v.(type) {
	case map[string]any:
		sep := "{"
		for _, k := range slices.Sorted(maps.Keys(v)) {
			b.WriteString(sep)
			b.Write(appendQuoted(nil, k))
			b.WriteString(": ")
			writeJSONB(b, v[k])
			sep = ", "
		}
		if len(v) == 0 {
			b.WriteByte('{')
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			writeJSONB(b, e)
		}
		b.WriteByte(']')
	case string:
		b.Write(appendQuoted(nil, v))
	case nil:
		b.WriteString("null")
	default: // bool and json.Number
		fmt.Fprint(b, v)
	}
}

// equalJSON compares values of parseJSON, numbers by their value.
func equalJSON(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, equalJSON)
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, equalJSON)
	case json.Number:
		b, ok := b.(json.Number)
		x, _ := new(big.Rat).SetString(string(a))
		y, _ := new(big.Rat).SetString(string(b))
		return ok && x != nil && y != nil && x.Cmp(y) == 0
	}
	return a == b
}

var exponents = regexp.MustCompile(`[0-9][eE]`)

func FuzzBody(f *testing.F) {
	for _, s := range []string{
		"", "a", "\xff\x00", `{"a": [1, "\u20ac", null]}`, `{"mq:text":"a"}`, `{"mq\u003abase64":"YQ==","mq:base64":""}`,
		`"\ud83d\ude00\ud83d"`, `[1e999,-0.5E-1000]`, `{"b":1,"a":2,"b":{"":[true,false]}}`, "\"\x01\"", `"\\\u0000"`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, exact := range []bool{false, true} {
			text := string(encodeBody(body, exact))
			stored, err := asJSONB(text)
			if err != nil {
				t.Fatalf("%q is stored as %q: %v", body, text, err)
			}
			if got := decodeBody([]byte(text)); !bytes.Equal(got, body) {
				t.Errorf("%q is stored as %q and comes back as %q", body, text, got)
			}
			got := decodeBody(stored)
			if bytes.Equal(got, body) {
				continue
			}
			v, err := parseJSON(body)
			w, gotErr := parseJSON(got)
			if exact || err != nil || gotErr != nil || !equalJSON(v, w) {
				t.Errorf("%q is stored as %q and comes back as %q", body, stored, got)
			}
		}
	})
}

// FuzzIsStorable compares the scanner with encoding/json.
func FuzzIsStorable(f *testing.F) {
	for _, s := range []string{"", " [1, -0.5, {}]", `{"a": "\n\u20ac"}`, "01", `"\`, "tru", `{"a" 1}`, "[1,]", "1 \x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, want := isStorable(b), json.Valid(b) && utf8.Valid(b)
		if got && !want {
			t.Errorf("%q is taken for JSON", b)
		}
		special := len(b) > maxDepth || exponents.Match(b) || bytes.Contains(b, []byte(`\u`)) || bytes.Contains(b, []byte("mq:"))
		if !got && want && !special {
			t.Errorf("%q is not taken for JSON", b)
		}
	})
}

func FuzzDecodeBody(f *testing.F) {
	f.Add([]byte(`{"mq:text": "a\ud83d\ude00"}`))
	f.Add([]byte(`{"mq:base64": "YQ=="}`))
	f.Add([]byte(`{"mq:text": "\`))
	f.Fuzz(func(t *testing.T, stored []byte) {
		got := decodeBody(stored)
		if bytes.Equal(got, stored) {
			return
		}
		var e map[string]string
		if err := json.Unmarshal(stored, &e); err != nil || len(e) != 1 {
			t.Fatalf("%q is taken for an envelope", stored)
		}
		text, ok := e[textKey]
		if !ok {
			text = base64.StdEncoding.EncodeToString(got)
		}
		if want := e[base64Key]; !ok && text != want || ok && utf8.Valid(stored) && string(got) != text {
			t.Errorf("%q comes as %q", stored, got)
		}
	})
}

// sampleBody returns a JSON object of n bytes.
func sampleBody(n int) []byte {
	const order = `{"order_id":"0f8fad5b-d9cb-469f-a165-70867728950e","customer":"Ada Lovelace","email":"ada@example.com",` +
		`"items":[{"sku":"ab-12","qty":2,"price":19.99},{"sku":"zz-90","qty":1,"price":5},{"sku":"kk-33","qty":7,"price":129.5}],` +
		`"paid":true,"total":174.48,"note":"%s"}`
	return fmt.Appendf(nil, order, strings.Repeat("lorem ipsum ", n)[:n-len(order)+len("%s")])
}

func BenchmarkEncodeBody(b *testing.B) {
	bodies := []struct {
		name  string
		body  []byte
		exact bool
	}{
		{"json", sampleBody(512), false},
		{"exact", sampleBody(512), true},
		{"text", []byte(strings.Repeat("lorem ipsum ", 43)[:512]), false},
		{"binary", bytes.Repeat([]byte{0, 0xff}, 256), false},
	}
	for _, bb := range bodies {
		b.Run(bb.name, func(b *testing.B) {
			b.SetBytes(int64(len(bb.body)))
			b.ReportAllocs()
			for b.Loop() {
				encodeBody(bb.body, bb.exact)
			}
		})
	}
}

func BenchmarkDecodeBody(b *testing.B) {
	for name, stored := range map[string]string{
		"json":   string(sampleBody(512)),
		"exact":  string(encodeBody(sampleBody(512), true)),
		"text":   string(encodeBody([]byte(strings.Repeat("lorem ipsum ", 43)[:512]), false)),
		"binary": string(encodeBody(bytes.Repeat([]byte{0, 0xff}, 256), false)),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				decodeBody([]byte(stored))
			}
		})
	}
}

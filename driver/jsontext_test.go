package driver

import (
	"encoding/json"
	"io"
	"math/big"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTextAt(t *testing.T) {
	path := func(steps ...string) []string { return steps }
	tests := []struct {
		doc  string
		path []string
		want string
		ok   bool
	}{
		{`{"a":"x"}`, path("a"), "x", true},
		{` {"a" : { "b" : "x" } } `, path("a", "b"), "x", true},
		{`{"a":"\u00e9\n\"\\"}`, path("a"), "é\n\"\\", true},
		{`{"a":""}`, path("a"), "", true},
		{`{"":"x"}`, path(""), "x", true},
		{`{"a,b":{"{\"c\"}":1}}`, path("a,b", `{"c"}`), "1", true},
		{`{"a":1.50e+1}`, path("a"), "15.0", true},
		{`{"a":-0}`, path("a"), "0", true},
		{`{"a":12345678901234567890}`, path("a"), "12345678901234567890", true},
		{`{"a":true}`, path("a"), "true", true},
		{`{"a": { "b" : [ 1, "x y" ] } }`, path("a"), `{"b": [1, "x y"]}`, true},
		{`{"a":{"bb":1,"a":[1e2,true,null],"b":"\u00e9\u003c\/\b\f\n\r\t\u0001\u007f\"\\"}}`, path("a"), `{"a": [100, true, null], "b": "é</\b\f\n\r\t\u0001` + "\x7f" + `\"\\", "bb": 1}`, true},
		{`{"a":{"x":1,"x":{"q":2,"q":3}}}`, path("a"), `{"x": {"q": 3}}`, true},
		{`{"a":"\ud83d\ude00"}`, path("a"), "\U0001f600", true},
		{`{"a":"\\u0000"}`, path("a"), `\u0000`, true},
		{`{"a": [ ] }`, path("a"), `[]`, true},
		{`{"a":1,"a":2}`, path("a"), "2", true},
		{`{"A":1,"a":2}`, path("A"), "1", true},
		{`["x","y","z"]`, path("1"), "y", true},
		{`["x","y","z"]`, path("-1"), "z", true},
		{`[["x"]]`, path("0", "0"), "x", true},
		{`{"0":"x"}`, path("0"), "x", true},
		{`"x"`, nil, "x", true},
		{` 1 `, path(), "1", true},
		{`["x","y"]`, path("+1"), "y", true},
		{`["x","y"]`, path(" 1"), "y", true},
		{`["x","y"]`, path("1 "), "", false},
		{`["x","y"]`, path("99999999999999999999"), "", false},
		{`{"a":null}`, path("a"), "", false},
		{`{"a":"\u0000"}`, path("a"), "", false},
		{`{"a":1,"b":"\ud800"}`, path("a"), "", false},
		{`{"a":1,"b":"\ud800\n"}`, path("a"), "", false},
		{`{"a":1,"b":"\ud800\u0041"}`, path("a"), "", false},
		{`{"a":1,"b":"\ude00"}`, path("a"), "", false},
		{"{\"a\":1,\"b\":\"\xff\"}", path("a"), "", false},
		{`{"a":1e1000}`, path("a"), "", false},
		{`{"a":[1e-1000]}`, path("a"), "", false},
		{`{"a":{"b":1e99999999999999999999}}`, path("a"), "", false},
		{`null`, nil, "", false},
		{`{"a":1}`, path("b"), "", false},
		{`{"a":1}`, path("a", "b"), "", false},
		{`{"a":"x"}`, path("a", "0"), "", false},
		{`{"a":null}`, path("a", "b"), "", false},
		{`["x"]`, path("1"), "", false},
		{`["x"]`, path("-2"), "", false},
		{`["x"]`, path("a"), "", false},
		{`["x"]`, path(""), "", false},
		{``, path("a"), "", false},
		{`hello`, path("a"), "", false},
		{`{"a":1`, path("a"), "", false},
		{`{"a":1`, path(), "", false},
		{`tru`, path(), "", false},
		{`1 2`, path(), "", false},
		{`{"a":1} {"a":2}`, path("a"), "", false},
		{"{\"a\":1}\xff", path("a"), "", false},
		{strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000), path("0"), "", false},
	}
	for _, tt := range tests {
		if got, ok := JSONText([]byte(tt.doc), tt.path); got != tt.want || ok != tt.ok {
			t.Errorf("%.40s at %q: %q, %v, want %q, %v", tt.doc, tt.path, got, ok, tt.want, tt.ok)
		}
	}
}

// decode parses all of doc, with numbers as they are written.
func decode(doc string) (v any, ok bool) {
	d := json.NewDecoder(strings.NewReader(doc))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return nil, false
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, false
	}
	return v, true
}

// walk is JSONText on decoded values, except for the text of objects and arrays.
func walk(v any, path []string) any {
	for _, step := range path {
		switch in := v.(type) {
		case map[string]any:
			v = in[step]
		case []any:
			i, err := strconv.Atoi(step)
			if i < 0 {
				i += len(in)
			}
			if err != nil || i < 0 || i >= len(in) {
				return nil
			}
			v = in[i]
		default:
			return nil
		}
	}
	return v
}

// TestJSONTextTable compares the table in the comment of JSONText.
func TestJSONTextTable(t *testing.T) {
	source, err := os.ReadFile("jsontext.go")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^//\t(\S.*?) {2,}(\S.*?) {2,}(\S.*)$`).FindAllStringSubmatch(string(source), -1)
	if len(rows) < 20 {
		t.Fatalf("found %d rows", len(rows))
	}
	for _, row := range rows[1:] {
		want, none := row[3], row[3] == "(none)"
		if none || want == "(empty)" {
			want = ""
		}
		if got, ok := JSONText([]byte(row[1]), strings.Fields(row[2])); got != want || ok == none {
			t.Errorf("%s at %s: %q, %v, want %s", row[1], row[2], got, ok, row[3])
		}
	}
}

func TestJSONTextNumbers(t *testing.T) { // as PostgreSQL 15 writes them
	for number, want := range map[string]string{
		"1.50e+1": "15.0", "1e2": "100", "-0": "0", "-0.0": "0.0", "1E-3": "0.001", "1.5e-3": "0.0015", "0e5": "0",
		"0.00e-3": "0.00000", "0.00e1": "0.0", "12.50e1": "125.0", "1.0": "1.0", "-1e2": "-100", "-0.5e1": "-5", "10e-1": "1.0",
	} {
		if got, ok := JSONText([]byte(number), nil); got != want || !ok {
			t.Errorf("%s is written %q, want %q", number, got, want)
		}
	}
}

func FuzzTextAt(f *testing.F) {
	f.Add(`{"a":{"b":[1,"x",null]}}`, "a/b/1")
	f.Add(`{"a":1.50e+1}`, "a")
	f.Add(`[[true],{"":"\ud800"}]`, "1/")
	f.Add(`{"a":1,"a":{"b":2}}`, "a/b")
	f.Add(` [ ] `, "-1")
	f.Add(`{"a":0}0`, "a")
	f.Fuzz(func(t *testing.T, doc, steps string) {
		path := strings.Split(steps, "/")
		got, ok := JSONText([]byte(doc), path)
		v, valid := decode(doc)
		want := walk(v, path)
		switch {
		case !ok: // other tests say when
			if valid && want != nil && utf8.ValidString(doc) && !strings.Contains(doc, `\u`) && !strings.ContainsAny(doc, "eE") {
				t.Fatalf("%q at %q: no text, want %v", doc, path, want)
			}
			return
		case !valid || want == nil:
			t.Fatalf("%q at %q: %q, want none", doc, path, got)
		}
		if text, isText := want.(string); isText {
			requireText(t, got, text)
			return
		}
		again, _ := decode(got)
		if !reflect.DeepEqual(plain(again), plain(want)) {
			t.Fatalf("%q at %q: %q, want %v", doc, path, got, want)
		}
		repeated, _ := JSONText([]byte(got), nil)
		requireText(t, repeated, got)
	})
}

// plain gives each number one spelling.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key := range v {
			v[key] = plain(v[key])
		}
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case json.Number:
		n, _ := new(big.Rat).SetString(v.String())
		return n.String()
	}
	return v
}

func requireText(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Fatalf("%q, want %q", got, want)
	}
}

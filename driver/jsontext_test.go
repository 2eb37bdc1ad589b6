package driver

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"strconv"
	"strings"
	"testing"
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
		{`{"a":1.50e+1}`, path("a"), "1.50e+1", true},
		{`{"a":-0}`, path("a"), "-0", true},
		{`{"a":12345678901234567890}`, path("a"), "12345678901234567890", true},
		{`{"a":true}`, path("a"), "true", true},
		{`{"a": { "b" : [ 1, "x y" ] } }`, path("a"), `{"b":[1,"x y"]}`, true},
		{`{"a": [ ] }`, path("a"), `[]`, true},
		{`{"a":1,"a":2}`, path("a"), "2", true},
		{`{"A":1,"a":2}`, path("A"), "1", true},
		{`["x","y","z"]`, path("1"), "y", true},
		{`["x","y","z"]`, path("-1"), "z", true},
		{`[["x"]]`, path("0", "0"), "x", true},
		{`{"0":"x"}`, path("0"), "x", true},
		{`"x"`, nil, "x", true},
		{` 1 `, path(), "1", true},
		{`{"a":null}`, path("a"), "", false},
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

// walk is JSONText on decoded values, but for the text of objects and arrays.
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
		if ok != (valid && want != nil) {
			t.Fatalf("%q at %q: %q, %v, want %v", doc, path, got, ok, want)
		}
		switch want := want.(type) {
		case nil:
		case string:
			requireText(t, got, want)
		case json.Number:
			requireText(t, got, want.String())
		case bool:
			requireText(t, got, strconv.FormatBool(want))
		default:
			again, _ := decode(got)
			var compact bytes.Buffer
			if err := json.Compact(&compact, []byte(got)); err != nil || !reflect.DeepEqual(again, want) {
				t.Fatalf("%q at %q: %q, %v", doc, path, got, err)
			}
			requireText(t, got, compact.String())
		}
	})
}

func requireText(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Fatalf("%q, want %q", got, want)
	}
}

package driver

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// JSONText returns the value at path in a JSON document as text, as the operator
// #>> does on PostgreSQL's jsonb. It is the group of a message by GroupBy.Path;
// without one, ok is false, and the message is a group of its own:
//
//	document                       path       text
//	{"a":"x"}                      a          x
//	{"a":1}                        a          1
//	{"a":"1"}                      a          1
//	{"a":true}                     a          true
//	{"a":"true"}                   a          true
//	{"a":""}                       a          (empty)
//	{"a":null}                     a          (none)
//	{"b":1}                        a          (none)
//	{"a":1}                        a b        (none)
//	no JSON                        a          (none)
//	{"a":"\u0000"}                 a          (none)
//	{"a":12345678901234567890}     a          12345678901234567890
//	{"a":12345678901234567891}     a          12345678901234567891
//	{"a":1e2}                      a          100
//	{"a":1.50}                     a          1.50
//	{"a":-0}                       a          0
//	{"a":1,"a":2}                  a          2
//	{"0":"x"}                      0          x
//	["x","y"]                      0          x
//	["x","y"]                      -1         y
//	["x","y"]                      2          (none)
//	["x","y"]                      -3         (none)
//	["x","y"]                      a          (none)
//	{"a":{"b":["x"]}}              a b 0      x
//	{"a":{"cc":[1,2],"b":1e2}}     a          {"b": 100, "cc": [1, 2]}
//
// So the last of duplicate keys counts, numbers lose their exponent and nothing
// else, and an object has its keys in the order of their lengths. A document that
// is not UTF-8, that escapes NUL or half of a surrogate pair, or that has an exponent
// above 999 at the path is like one that is not JSON.
func JSONText(doc []byte, path []string) (text string, ok bool) {
	value := json.RawMessage(bytes.TrimSpace(doc))
	if !json.Valid(value) || !utf8.Valid(value) || !hasCharacters(value) {
		return "", false
	}
	for _, step := range path {
		if value = child(value, step); value == nil {
			return "", false
		}
	}
	switch value[0] {
	case 'n':
		return "", false
	case '"':
		err := json.Unmarshal(value, &text)
		return text, err == nil
	}
	var decoded any
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber()
	if decoder.Decode(&decoded) != nil {
		return "", false
	}
	b, ok := appendJSONB(nil, decoded)
	return string(b), ok
}

// hasCharacters reports whether each escape in valid JSON stands for a character that
// PostgreSQL can store.
func hasCharacters(doc []byte) bool {
	for {
		i := bytes.IndexByte(doc, '\\')
		if i < 0 {
			return true
		}
		r, rest := escape(doc[i:])
		if utf16.IsSurrogate(r) {
			if !bytes.HasPrefix(rest, []byte(`\u`)) {
				return false
			}
			var low rune
			low, rest = escape(rest)
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				return false
			}
		}
		if r == 0 {
			return false
		}
		doc = rest
	}
}

// escape returns the code unit of the escape \uXXXX that doc begins with, or else the
// second byte.
func escape(doc []byte) (unit rune, rest []byte) {
	if !bytes.HasPrefix(doc, []byte(`\u`)) {
		return rune(doc[1]), doc[2:]
	}
	n, _ := strconv.ParseUint(string(doc[2:6]), 16, 16)
	return rune(n), doc[6:]
}

// child returns the value under a key of an object or at a position of an
// array, which counts from the end if it is negative.
func child(value json.RawMessage, step string) json.RawMessage {
	switch value[0] {
	case '{':
		var object map[string]json.RawMessage
		if json.Unmarshal(value, &object) == nil {
			return object[step]
		}
	case '[':
		var array []json.RawMessage
		i, err := strconv.Atoi(strings.TrimLeft(step, " \t\n\v\f\r")) // as C does
		if err != nil || json.Unmarshal(value, &array) != nil {
			return nil
		}
		if i < 0 {
			i += len(array)
		}
		if i >= 0 && i < len(array) {
			return array[i]
		}
	}
	return nil
}

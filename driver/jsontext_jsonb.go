package driver

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// appendJSONB appends a decoded value as jsonb is written.
func appendJSONB(b []byte, value any) (_ []byte, ok bool) {
	switch v := value.(type) {
	case map[string]any:
		return appendObject(b, v)
	case []any:
		return appendArray(b, v)
	case json.Number:
		return appendNumber(b, v.String())
	case string:
		return appendString(b, v), true
	case bool:
		return strconv.AppendBool(b, v), true
	}
	return append(b, "null"...), true
}

func appendObject(b []byte, object map[string]any) (_ []byte, ok bool) {
	keys := slices.SortedFunc(maps.Keys(object), func(x, y string) int {
		return cmp.Or(len(x)-len(y), strings.Compare(x, y))
	})
	b = append(b, '{')
	for i, key := range keys {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(appendString(b, key), ": "...)
		if b, ok = appendJSONB(b, object[key]); !ok {
			return nil, false
		}
	}
	return append(b, '}'), true
}

func appendArray(b []byte, array []any) (_ []byte, ok bool) {
	b = append(b, '[')
	for i, element := range array {
		if i > 0 {
			b = append(b, ", "...)
		}
		if b, ok = appendJSONB(b, element); !ok {
			return nil, false
		}
	}
	return append(b, ']'), true
}

// appendString escapes as little as it can.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for _, c := range []byte(s) {
		switch short := strings.IndexByte("\b\f\n\r\t\"\\", c); {
		case short >= 0:
			b = append(b, '\\', `bfnrt"\`[short])
		case c < ' ':
			b = append(b, `\u00`...)
			b = append(b, "01"[c>>4], "0123456789abcdef"[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// maxExponent keeps a short number from a long text.
const maxExponent = 999

// appendNumber writes a number without an exponent. The zeros behind its point stay.
func appendNumber(b []byte, number string) (_ []byte, ok bool) {
	mantissa, exponent := number, 0
	if e := strings.IndexAny(number, "eE"); e >= 0 {
		var err error
		mantissa = number[:e]
		exponent, err = strconv.Atoi(number[e+1:])
		if err != nil || exponent > maxExponent || exponent < -maxExponent {
			return nil, false
		}
	}
	mantissa, negative := strings.CutPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	zeros := strings.Repeat("0", max(0, 1-len(whole)-exponent)) // in front
	digits := zeros + whole + fraction
	point := len(zeros) + len(whole) + exponent
	digits += strings.Repeat("0", max(0, point-len(digits)))
	whole, fraction = strings.TrimLeft(digits[:point], "0"), digits[point:]
	if negative && strings.Trim(digits, "0") != "" {
		b = append(b, '-')
	}
	if whole == "" {
		whole = "0"
	}
	b = append(b, whole...)
	if fraction != "" {
		b = append(append(b, '.'), fraction...)
	}
	return b, true
}

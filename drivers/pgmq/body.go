package pgmq

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A body that a jsonb column would not give back travels in an envelope: an
// object with one of these keys, and no other.
const (
	textKey   = "mq:text"   // holds the body
	base64Key = "mq:base64" // holds the body in base64
)

var strictBase64 = base64.StdEncoding.Strict()

// encodeBody returns JSON that PostgreSQL takes as jsonb: b itself if it is
// such JSON, unless exact, else an envelope.
func encodeBody(b []byte, exact bool) []byte {
	if !exact && isStorable(b) {
		return b
	}
	e := make([]byte, 0, 32+len(b)+len(b)/2)
	if utf8.Valid(b) && bytes.IndexByte(b, 0) < 0 {
		e = append(e, `{"`+textKey+`":`...)
		e = appendQuoted(e, b)
	} else {
		e = append(e, `{"`+base64Key+`":"`...)
		e = strictBase64.AppendEncode(e, b)
		e = append(e, '"')
	}
	return append(e, '}')
}

// decodeBody undoes encodeBody. What it returns may be part of stored.
func decodeBody(stored []byte) []byte {
	key, value := envelope(stored)
	switch key {
	case textKey:
		return unquote(value)
	case base64Key:
		b, err := strictBase64.AppendDecode(nil, value[1:len(value)-1])
		if err == nil {
			return b
		}
	}
	return stored
}

// envelope returns the key and the value, a string with its quotes, of an
// envelope, and no key for other JSON.
func envelope(stored []byte) (key string, value []byte) {
	s := scanner{text: stored}
	key = s.envelopeKey()
	if key == "" {
		return "", nil
	}
	value = s.string()
	if value == nil || !s.accept('}') || !s.end() {
		return "", nil
	}
	return key, value
}

// isStorable reports whether b is JSON that jsonb gives back but for spacing,
// key order and the spelling of numbers, and that is not taken for an envelope.
func isStorable(b []byte) bool {
	s := scanner{text: b, depth: maxDepth, room: maxRoom}
	if !utf8.Valid(b) || s.envelopeKey() != "" {
		return false
	}
	s.at = 0
	return s.value() && s.end()
}

// What PostgreSQL surely can read, store and write. Its own limits are those of
// the stack, of numeric, of an array's size, and of a value's text.
const (
	maxDepth    = 500
	maxDigits   = 10_000
	maxExponent = 999
	maxRoom     = 1 << 22 // values, and digits that stand for exponents
)

// scanner reads JSON, and stops at what PostgreSQL does not take as jsonb.
type scanner struct {
	text  []byte
	at    int
	depth int // may still be added
	room  int
}

// peek skips white space and returns the byte behind it, 0 at the end.
func (s *scanner) peek() byte {
	for ; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) accept(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.at++
	return true
}

func (s *scanner) end() bool { return s.peek() == 0 && s.at == len(s.text) }

func (s *scanner) value() bool {
	if s.room--; s.room < 0 {
		return false
	}
	switch s.peek() {
	case '"':
		return s.string() != nil
	case '{':
		return s.list('}')
	case '[':
		return s.list(']')
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	}
	return s.number()
}

func (s *scanner) literal(word string) bool {
	ok := bytes.HasPrefix(s.text[s.at:], []byte(word))
	s.at += len(word)
	return ok
}

// list reads an object or an array.
func (s *scanner) list(end byte) bool {
	if s.depth--; s.depth < 0 {
		return false
	}
	s.at++
	empty := s.accept(end)
	for more := !empty; more; more = s.accept(',') {
		if end == '}' && s.key() == nil || !s.value() {
			return false
		}
	}
	s.depth++
	return empty || s.accept(end)
}

// key reads a key and its colon.
func (s *scanner) key() []byte {
	if key := s.string(); s.accept(':') {
		return key
	}
	return nil
}

// member reads a key and its value.
func (s *scanner) member() (key, value []byte) {
	key = s.key()
	s.peek()
	from := s.at
	if key == nil || !s.value() {
		return nil, nil
	}
	return key, s.text[from:s.at]
}

// envelopeKey returns the first key of an object if it is one of an envelope.
func (s *scanner) envelopeKey() string {
	if !s.accept('{') {
		return ""
	}
	key := s.key()
	if key == nil {
		return ""
	}
	switch string(unquote(key)) {
	case textKey:
		return textKey
	case base64Key:
		return base64Key
	}
	return ""
}

// string returns a string with its quotes, nil if there is none.
func (s *scanner) string() []byte {
	if s.peek() != '"' {
		return nil
	}
	b := s.text[s.at:]
	for i := 1; ; {
		i += plain(b[i:])
		switch {
		case i == len(b) || b[i] < ' ':
			return nil
		case b[i] == '"':
			s.at += i + 1
			return b[:i+1]
		}
		_, n := unescape(b[i:])
		if n == 0 {
			return nil
		}
		i += n
	}
}

// plain returns how many bytes there are in front of the first quote,
// backslash or control character, and goes by eight as long as there is none.
func plain(b []byte) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		quote, backslash := x^ones*'"', x^ones*'\\'
		if ((quote-ones)&^quote|(backslash-ones)&^backslash|(x-ones*' ')&^x)&high != 0 {
			break
		}
	}
	for i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= ' ' {
		i++
	}
	return i
}

func (s *scanner) number() bool {
	from := s.at
	s.skip('-')
	if !s.skip('0') && !s.digits() || s.skip('.') && !s.digits() || s.at-from > maxDigits {
		return false
	}
	if s.skip('e') || s.skip('E') {
		return s.exponent()
	}
	return true
}

func (s *scanner) exponent() bool {
	from := s.at
	if !s.skip('-') {
		s.skip('+')
	}
	if !s.digits() {
		return false
	}
	n, err := strconv.Atoi(string(s.text[from:s.at]))
	n = max(n, -n)
	s.room -= n
	return err == nil && n <= maxExponent && s.room >= 0
}

// skip is accept without white space.
func (s *scanner) skip(c byte) bool {
	if s.at == len(s.text) || s.text[s.at] != c {
		return false
	}
	s.at++
	return true
}

func (s *scanner) digits() bool {
	from := s.at
	for s.at < len(s.text) && s.text[s.at]-'0' <= 9 {
		s.at++
	}
	return s.at > from
}

// unescape reads the escape, or the pair of surrogates, that b begins with, and
// returns its length: 0 if it is none that jsonb takes.
func unescape(b []byte) (r rune, n int) {
	if len(b) < 2 {
		return 0, 0
	}
	if i := strings.IndexByte(escapes, b[1]); i >= 0 {
		return rune(escaped[i]), 2
	}
	r = codeUnit(b)
	switch {
	case r == 0:
		return 0, 0
	case !utf16.IsSurrogate(r):
		return r, 6
	}
	if r = utf16.DecodeRune(r, codeUnit(b[6:])); r == utf8.RuneError {
		return 0, 0
	}
	return r, 12
}

const (
	escapes = `"\/bfnrt`
	escaped = "\"\\/\b\f\n\r\t"
)

// codeUnit returns what \uXXXX stands for, 0 if b does not begin with one.
func codeUnit(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0
	}
	n, _ := strconv.ParseUint(string(b[2:6]), 16, 16)
	return rune(n)
}

// unquote returns what a string that the scanner has read stands for.
func unquote(literal []byte) []byte {
	rest := literal[1 : len(literal)-1]
	i := bytes.IndexByte(rest, '\\')
	if i < 0 {
		return rest
	}
	b := make([]byte, 0, len(rest))
	for ; i >= 0; i = bytes.IndexByte(rest, '\\') {
		r, n := unescape(rest[i:])
		b = utf8.AppendRune(append(b, rest[:i]...), r)
		rest = rest[i+n:]
	}
	return append(b, rest...)
}

// appendQuoted appends s, which is UTF-8, as a JSON string.
func appendQuoted[T string | []byte](b []byte, s T) []byte {
	b = append(b, '"')
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[from:i]...)
		from = i + 1
		if j := strings.IndexByte(escaped, c); j >= 0 {
			b = append(b, '\\', escapes[j])
		} else {
			b = append(b, `\u00`...)
			b = append(b, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
		}
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}

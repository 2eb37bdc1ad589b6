package ledger

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// field is a field of a Record in its line: a letter, "=" and the value.
type field struct {
	letter byte
	text   func(*Record) *string
	number func(*Record) *int
	nanos  func(*Record) *int64
}

// fields are in the order in which they are written.
var fields = []field{
	{letter: 'q', text: func(r *Record) *string { return &r.Queue }},
	{letter: 'k', text: func(r *Record) *string { return &r.Key }},
	{letter: 'i', text: func(r *Record) *string { return &r.ID }},
	{letter: 'g', text: func(r *Record) *string { return &r.Group }},
	{letter: 't', text: func(r *Record) *string { return &r.Receipt }},
	{letter: 'o', text: func(r *Record) *string { return &r.Op }},
	{letter: 'n', number: func(r *Record) *int { return &r.Seq }},
	{letter: 'r', number: func(r *Record) *int { return &r.Read }},
	{letter: 'a', number: func(r *Record) *int { return &r.Attempt }},
	{letter: 'u', number: func(r *Record) *int { return &r.Unanswered }},
	{letter: 'f', nanos: func(r *Record) *int64 { return &r.From }},
	{letter: 'd', nanos: func(r *Record) *int64 { return (*int64)(&r.For) }},
	{letter: 'l', nanos: func(r *Record) *int64 { return &r.Until }},
	{letter: 'e', text: func(r *Record) *string { return &r.Note }},
	{letter: 'w', text: func(r *Record) *string { return &r.Worker }},
}

// Append appends the line of r to b. The worker is not in it unless the file is of
// several.
func Append(b []byte, r *Record) []byte {
	b = strconv.AppendInt(b, r.At, 10)
	b = append(append(b, ' '), r.Kind...)
	for _, f := range fields {
		switch {
		case f.text != nil && *f.text(r) != "":
			b = append(b, ' ', f.letter, '=')
			b = appendText(b, *f.text(r))
		case f.number != nil && *f.number(r) != 0:
			b = append(b, ' ', f.letter, '=')
			b = strconv.AppendInt(b, int64(*f.number(r)), 10)
		case f.nanos != nil && *f.nanos(r) != 0:
			b = append(b, ' ', f.letter, '=')
			b = strconv.AppendInt(b, *f.nanos(r), 10)
		}
	}
	return append(b, '\n')
}

// appendText replaces what would end the field or the line.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c <= ' ' {
			b = append(b, '_')
		} else {
			b = append(b, c)
		}
	}
	return b
}

// Parse reads a line without its end.
func Parse(line string) (r Record, err error) {
	at, rest, _ := strings.Cut(line, " ")
	kind, rest, _ := strings.Cut(rest, " ")
	r.Kind = Kind(kind)
	if r.At, err = strconv.ParseInt(at, 10, 64); err != nil || kind == "" {
		return r, fmt.Errorf("ledger: not an event: %.80q", line)
	}
	for rest != "" {
		var one string
		one, rest, _ = strings.Cut(rest, " ")
		if err := r.set(one); err != nil {
			return r, fmt.Errorf("ledger: %w in %.80q", err, line)
		}
	}
	return r, nil
}

func (r *Record) set(text string) error {
	if len(text) < 2 || text[1] != '=' {
		return fmt.Errorf("not a field: %q", text)
	}
	for _, f := range fields {
		if f.letter != text[0] {
			continue
		}
		return f.set(r, text[2:])
	}
	return fmt.Errorf("unknown field: %q", text)
}

func (f *field) set(r *Record, value string) (err error) {
	switch {
	case f.text != nil:
		*f.text(r) = value
	case f.number != nil:
		*f.number(r), err = strconv.Atoi(value)
	default:
		*f.nanos(r), err = strconv.ParseInt(value, 10, 64)
	}
	return err
}

// String is the line of r.
func (r *Record) String() string { return strings.TrimSuffix(string(Append(nil, r)), "\n") }

// Since returns the time between two events.
func Since(from, to int64) time.Duration { return time.Duration(to - from) }

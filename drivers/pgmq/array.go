package pgmq

import (
	sqldriver "database/sql/driver"
	"slices"
	"strconv"
)

// array builds the text of a one-dimensional PostgreSQL array, for a parameter
// that is cast to one: both database drivers take it as it is.
type array struct{ b []byte }

// grow makes room for n bytes more.
func (a *array) grow(n int) { a.b = slices.Grow(a.b, n) }

// next begins an element.
func (a *array) next() []byte {
	if len(a.b) == 0 {
		return append(a.b, '{')
	}
	return append(a.b, ',')
}

// text adds a string, which must not hold a NUL.
func (a *array) text(s string) {
	b := append(a.next(), '"')
	from := 0
	for i := range len(s) {
		if c := s[i]; c == '"' || c == '\\' {
			b = append(b, s[from:i]...)
			b = append(b, '\\')
			from = i
		}
	}
	b = append(b, s[from:]...)
	a.b = append(b, '"')
}

// null adds a NULL.
func (a *array) null() { a.b = append(a.next(), "NULL"...) }

// int adds an integer.
func (a *array) int(n int64) { a.b = strconv.AppendInt(a.next(), n, 10) }

// String returns the array so far.
func (a *array) String() string {
	if len(a.b) == 0 {
		return "{}"
	}
	return string(append(a.b, '}'))
}

// stringArray is an array of strings. pgx takes them as they are, other libraries as
// the text of an array.
type stringArray []string

// Value makes the text.
func (t stringArray) Value() (sqldriver.Value, error) {
	size := 2
	for _, s := range t {
		size += len(s) + len(s)/8 + 3
	}
	var a array
	a.grow(size)
	for _, s := range t {
		a.text(s)
	}
	return a.String(), nil
}

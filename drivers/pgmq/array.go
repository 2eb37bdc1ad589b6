package pgmq

import (
	sqldriver "database/sql/driver"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5/pgtype"
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
func (a *array) text(s string) { addText(a, s) }

// arrayOf returns an array of strings.
func arrayOf(all ...string) string {
	var a array
	for _, s := range all {
		a.text(s)
	}
	return a.String()
}

func addText[T string | []byte](a *array, s T) {
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

// bool adds a truth value.
func (a *array) bool(b bool) { a.b = strconv.AppendBool(a.next(), b) }

// String returns the array so far.
func (a *array) String() string {
	if len(a.b) == 0 {
		return "{}"
	}
	return string(append(a.b, '}'))
}

// textArray is an array of texts. pgx is given it as it is, other libraries the
// text of an array.
type textArray [][]byte

// Value makes the text.
func (t textArray) Value() (sqldriver.Value, error) {
	size := 2
	for _, s := range t {
		size += len(s) + len(s)/8 + 3
	}
	var a array
	a.grow(size)
	for _, s := range t {
		addText(&a, s)
	}
	return a.String(), nil
}

func (t textArray) strings() []string {
	ss := make([]string, len(t))
	for i, s := range t {
		ss[i] = string(s)
	}
	return ss
}

// pgxArray is a textArray as pgx wants it, which then copies no body twice.
type pgxArray textArray

// Dimensions implements pgtype.ArrayGetter.
func (t pgxArray) Dimensions() []pgtype.ArrayDimension {
	return []pgtype.ArrayDimension{{Length: int32(len(t)), LowerBound: 1}}
}

// Index implements pgtype.ArrayGetter.
func (t pgxArray) Index(i int) any { return t[i] }

// IndexType implements pgtype.ArrayGetter.
func (t pgxArray) IndexType() any { return []byte(nil) }

// text is one text, which lib/pq would take for a bytea if it were bytes.
type text []byte

// Value returns it as a string.
func (t text) Value() (sqldriver.Value, error) { return string(t), nil }

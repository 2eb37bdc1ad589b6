package driver

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// ParseDSN parses a DSN and checks that it has no other query parameters than
// params, and none twice. Its errors contain neither the DSN nor a value from
// it, only names of parameters.
func ParseDSN(dsn string, params ...string) (*url.URL, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return nil, fmt.Errorf("malformed DSN: %w", cause(err))
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New("malformed DSN: the query is not URL-encoded")
	}
	for name, values := range q {
		if !slices.Contains(params, name) {
			return nil, unknownParameter(name, params)
		}
		if len(values) > 1 {
			return nil, fmt.Errorf("parameter %q is given %d times", name, len(values))
		}
	}
	return u, nil
}

// cause maps what url.Parse says, which quotes its input, to what is safe.
func cause(err error) error {
	text := err.Error()
	for _, known := range []string{"invalid port", "invalid userinfo", "invalid URL escape", "invalid control character", "invalid character", "missing protocol scheme"} {
		if strings.Contains(text, known) {
			return errors.New(known + " (are special characters in the password percent-encoded?)")
		}
	}
	return errors.New("not a URL")
}

func unknownParameter(name string, known []string) error {
	if best := Nearest(name, known); best != "" {
		return fmt.Errorf("unknown parameter %q (did you mean %q?)", name, best)
	}
	if len(known) == 0 {
		return fmt.Errorf("unknown parameter %q (there are none)", name)
	}
	return fmt.Errorf("unknown parameter %q (have: %s)", name, strings.Join(known, ", "))
}

// Nearest returns the one of known that name may be a misspelling of, or "": for
// error messages.
func Nearest(name string, known []string) string {
	best, bestDist := "", 3
	for _, k := range known {
		if d := distance(name, k); d < bestDist {
			best, bestDist = k, d
		}
	}
	return best
}

// distance is the Levenshtein distance of a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			next := diag
			if a[i] != b[j] {
				next = 1 + min(diag, row[j], row[j+1])
			}
			diag, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}

package driver

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
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

// Host is one server that a DSN names.
type Host struct {
	Name string // decoded, and without brackets; "" if the DSN leaves it open
	Port string // 1 to 65535, or "" if the DSN leaves it open
}

// ParseHosts is ParseDSN for DSNs that may name several servers, or sockets by
// their percent-encoded paths, which net/url does not take:
//
//	scheme://user:password@db1:5432,[::1],%2Frun%2Fdb/path?name=value
//
// The URL that it returns has no host. There is at least one Host.
func ParseHosts(dsn string, params ...string) (*url.URL, []Host, error) {
	scheme, rest, ok := strings.Cut(dsn, "://")
	end := strings.IndexAny(rest+"/", "/?#")
	switch {
	case !ok || strings.ContainsAny(scheme, "/?#@"):
		return nil, nil, errors.New("malformed DSN: it is not of the form scheme://user:password@host:port/path?name=value")
	case strings.ContainsAny(rest[end:], "@#"): // of a password, parts of which would be taken for names
		return nil, nil, errors.New("malformed DSN: percent-encode special characters: / as %2F, @ as %40, # as %23")
	}
	at := strings.LastIndex(rest[:end], "@") + 1
	u, err := ParseDSN(scheme+"://"+rest[:at]+rest[end:], params...)
	if err != nil {
		return nil, nil, err
	}
	var hosts []Host
	for item := range strings.SplitSeq(rest[at:end], ",") {
		h, err := parseHost(item)
		if err != nil {
			return nil, nil, err
		}
		hosts = append(hosts, h)
	}
	return u, hosts, nil
}

func parseHost(item string) (h Host, err error) {
	name, port, _ := strings.Cut(item, ":")
	if v6, ok := strings.CutPrefix(item, "["); ok {
		name, port, ok = strings.Cut(v6, "]")
		if !ok || port != "" && port[0] != ':' {
			return h, errors.New("malformed DSN: invalid IPv6 address")
		}
		port = strings.TrimPrefix(port, ":")
	}
	if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0) {
		return h, errors.New("malformed DSN: invalid port (are special characters in the password percent-encoded, and IPv6 addresses in brackets?)")
	}
	name, err = url.PathUnescape(name)
	if err != nil || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' }) {
		return h, errors.New("malformed DSN: invalid host")
	}
	return Host{name, port}, nil
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

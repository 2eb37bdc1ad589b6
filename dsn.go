package mq

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/portmq/mq/driver"
)

const mask = "***"

// openProvider finds the driver of dsn and opens it. None of its errors
// contains a secret of the DSN, whatever the driver says.
func openProvider(dsn string, env driver.Env) (Provider, error) {
	scheme, _, ok := strings.Cut(dsn, ":")
	if !ok || !isScheme(strings.ToLower(scheme)) {
		return nil, errors.New("mq: malformed DSN: it does not begin with a driver's name, as in mem:// (percent-encode special characters)")
	}
	scheme = strings.ToLower(scheme)
	d, err := lookup(scheme)
	if err != nil {
		return nil, err
	}
	p, err := d.Open(dsn, env)
	if err != nil {
		if leaks(err.Error(), dsn) {
			err = errors.New("the driver rejected the DSN (its message contains a secret and is withheld)")
		}
		return nil, fmt.Errorf("mq: open %s: %w", redact(dsn), err)
	}
	return p, nil
}

// redact returns dsn without its secrets. Where it is not sure what is secret
// it keeps the scheme only.
func redact(dsn string) string {
	scheme, rest, _ := strings.Cut(dsn, ":")
	all := scheme + "://" + mask
	u, err := url.Parse(dsn)
	if err != nil || u.Opaque != "" || strings.Contains(u.Path+u.RawQuery+u.Fragment, "@") || strings.Count(rest, "@") > 1 {
		return all
	}
	var b strings.Builder
	b.WriteString(u.Scheme + "://")
	if u.User != nil {
		b.WriteString(url.User(u.User.Username()).String())
		if _, has := u.User.Password(); has {
			b.WriteString(":" + mask)
		}
		b.WriteString("@")
	}
	b.WriteString(u.Host + u.EscapedPath())
	return b.String() + redactQuery(u.RawQuery)
}

func redactQuery(query string) string {
	if query == "" {
		return ""
	}
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		if name, _, _ := strings.Cut(pair, "="); secretParameter(name) {
			pairs[i] = name + "=" + mask
		}
	}
	return "?" + strings.Join(pairs, "&")
}

// secretParameter errs on the side of hiding: a name may be mistyped.
func secretParameter(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"pas", "pwd", "word", "secret", "token", "key", "cred", "auth"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// leaks reports whether text shows the DSN or a secret in it.
func leaks(text, dsn string) bool {
	for _, s := range append(secrets(dsn), dsn) {
		if s != "" && strings.Contains(text, s) {
			return true
		}
	}
	return false
}

// secrets returns what is secret in dsn, both as written and decoded.
func secrets(dsn string) []string {
	var found []string
	add := func(raw string) {
		found = append(found, raw)
		if s, err := url.PathUnescape(raw); err == nil {
			found = append(found, s)
		}
		if s, err := url.QueryUnescape(raw); err == nil {
			found = append(found, s)
		}
	}
	_, rest, _ := strings.Cut(dsn, "://")
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		if _, password, ok := strings.Cut(rest[:at], ":"); ok {
			add(password)
		}
	}
	_, query, _ := strings.Cut(rest, "?")
	for pair := range strings.SplitSeq(query, "&") {
		if name, value, _ := strings.Cut(pair, "="); secretParameter(name) {
			add(value)
		}
	}
	return found
}

package mq

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/portmq/mq/driver"
)

func TestRedact(t *testing.T) {
	for dsn, want := range map[string]string{
		"mem://":                                 "mem://",
		"mem://orders":                           "mem://orders",
		"pgmq://app@db/shop":                     "pgmq://app@db/shop",
		"pgmq://app:hunter2@db:5432/shop?x=1":    "pgmq://app:***@db:5432/shop?x=1",
		"pgmq://app:hunter2@db/shop?sslmod=on":   "pgmq://app:***@db/shop?sslmod=on",
		"pgmq://db/shop?password=hunter2&x=1":    "pgmq://db/shop?password=***&x=1",
		"pgmq://db/shop?x=1&sslpassword=hunter2": "pgmq://db/shop?x=1&sslpassword=***",
		"pgmq://db/shop?apiKey=hunter2":          "pgmq://db/shop?apiKey=***",
		"pgmq://db/shop?pasword=hunter2":         "pgmq://db/shop?pasword=***",
		"pgmq://db/shop?psword=hunter2":          "pgmq://db/shop?psword=***",
		"pgmq://app:hun@ter2@db/shop":            "pgmq://***",
		"pgmq://app:hun/ter2@db/shop":            "pgmq://***",
		"pgmq://app:12/ter2@db/shop":             "pgmq://***",
		"pgmq://app:12?ter2@db/shop":             "pgmq://***",
		"pgmq://app:12#ter2@db/shop":             "pgmq://***",
		"pgmq://app:hunter%zz@db/shop":           "pgmq://***",
		"pgmq://app:hunter 2@db/shop":            "pgmq://***",
		"pgmq:app:hunter2@db":                    "pgmq://***",
	} {
		if got := redact(dsn); got != want {
			t.Errorf("redact(%q) = %q, want %q", dsn, got, want)
		}
	}
}

// leaky is a driver that breaks the rule: it echoes what it was given.
type leaky struct{ text func(dsn string) string }

func (l leaky) Open(dsn string, _ driver.Env) (Provider, error) { return nil, errors.New(l.text(dsn)) }

func TestOpenNeverLeaks(t *testing.T) {
	register(t, "leaky-dsn", leaky{func(dsn string) string { return "cannot parse " + dsn }})
	register(t, "leaky-password", leaky{func(dsn string) string {
		u, _ := url.Parse(dsn)
		p, _ := u.User.Password()
		return "bad password " + p
	}})
	for _, dsn := range []string{
		"leaky-dsn://app:hunter2@db/shop",
		"leaky-dsn://db/shop?password=hunter2",
		"leaky-password://app:hunter2@db/shop",
		"leaky-password://app:hunt%65r2@db/shop",
	} {
		_, err := Open(dsn)
		if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "hunt%65r2") {
			t.Errorf("Open(%q) = %v", dsn, err)
		}
	}
}

func TestOpenUnknownDriver(t *testing.T) {
	register(t, "known-for-test", leaky{})
	_, err := Open("nosuch://app:hunter2@x")
	for _, want := range []string{`unknown driver "nosuch"`, "forgotten import?", "known-for-test"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not contain %q", err, want)
		}
	}
	if strings.Contains(fmt.Sprint(err), "hunter2") {
		t.Errorf("error leaks the password: %v", err)
	}
	for _, dsn := range []string{"", "mem", "://x", "0x://y", "user:pw@host/db"} {
		if _, err := Open(dsn); err == nil || strings.Contains(err.Error(), "pw") {
			t.Errorf("Open(%q) = %v, want an error without the DSN", dsn, err)
		}
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("pgmq://app:", "hunter2secret", "@db/shop?x=1")
	f.Add("pgmq://db/shop?password=", "hunter2secret", "&x=1")
	f.Fuzz(func(t *testing.T, before, secret, after string) {
		// A short secret may stand elsewhere in the DSN by chance.
		if len(secret) < 8 || !strings.HasPrefix(before, "pgmq://") || strings.Contains(before+after, secret) {
			return
		}
		isUser := strings.HasSuffix(before, ":") && !strings.ContainsAny(before, "@?#") && strings.HasPrefix(after, "@")
		isParameter := strings.HasSuffix(before, "?password=") && strings.HasPrefix(after, "&") && !strings.ContainsAny(secret, "&#")
		if got := redact(before + secret + after); (isUser || isParameter) && strings.Contains(got, secret) {
			t.Errorf("redact(%q) = %q", before+secret+after, got)
		}
	})
}

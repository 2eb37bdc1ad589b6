package server

import (
	"net/url"
	"strings"
	"testing"
)

// User makes a user who has these rights in a vhost, and returns the vhost's
// DSN for that user. The rights are regular expressions, as rabbitmqctl
// set_permissions takes them.
func (b *Broker) User(tb testing.TB, dsn, configure, write, read string) string {
	tb.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		tb.Fatal(err)
	}
	name, password := fresh(), secret()
	call := func(path string, body string2any) {
		tb.Helper()
		if err := b.call("PUT", path, body, nil); err != nil {
			tb.Fatal(err)
		}
	}
	call("users/"+name, string2any{"password": password, "tags": ""})
	tb.Cleanup(func() { _ = b.call("DELETE", "users/"+name, nil, nil) })
	vhost := url.PathEscape(strings.TrimPrefix(u.Path, "/"))
	call("permissions/"+vhost+"/"+name, string2any{"configure": configure, "write": write, "read": read})
	u.User = url.UserPassword(name, password)
	return u.String()
}

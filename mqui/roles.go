package mqui

import (
	"cmp"
	"net"
	"net/http"
)

// Role is what a request may do.
type Role int8

// The roles, each with the rights of the one before.
const (
	RoleNone    Role = iota // nothing: every request is answered with 403
	RoleLook                // see the pages
	RoleOperate             // use actions
)

// viewer is who makes a request.
type viewer struct {
	role   Role
	user   string // "" if unknown
	remote string // the address, without its port
}

// key tells one viewer from another.
func (v viewer) key() string { return cmp.Or(v.user, v.remote) }

type viewerKey struct{}

// viewerOf returns who makes a request that has passed looking.
func viewerOf(r *http.Request) viewer {
	v, _ := r.Context().Value(viewerKey{}).(viewer) // without one, nobody
	return v
}

// ask asks the program who makes a request, once.
func (u *UI) ask(r *http.Request) viewer {
	v := viewer{role: RoleLook, remote: r.RemoteAddr}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		v.remote = host
	}
	if u.opts.Authorize != nil {
		v.role = u.opts.Authorize(r)
	}
	if u.opts.User != nil {
		v.user = u.opts.User(r)
	} else {
		v.user = CredentialUser(r)
	}
	return v
}

package mqui

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// policy lets a page use the UI's own files and nothing else: no inline script or style,
// no frame, no other host.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// guarded lets a request pass if it names an expected host, comes from no other origin
// and its role may look.
func (u *UI) guarded(next http.Handler) http.Handler {
	next = http.NewCrossOriginProtection().Handler(u.looking(next))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secureHeaders(w.Header())
		switch {
		case u.ctx.Err() != nil:
			http.Error(w, "closed", http.StatusServiceUnavailable)
		case !hostAllowed(r, u.opts.Hosts):
			http.Error(w, "this host name is not allowed (see mqui.Options.Hosts)", http.StatusForbidden)
		default:
			r.Body = http.MaxBytesReader(w, r.Body, maxForm)
			next.ServeHTTP(w, r)
		}
	})
}

// CheckHost passes requests to h if their Host is a loopback address, the address at which
// they came in, or one of hosts, without a port; "*" is any. Others are answered with 403.
// A UI does this itself: CheckHost is for handlers that are served beside it.
func CheckHost(h http.Handler, hosts []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !hostAllowed(r, hosts) {
			secureHeaders(w.Header())
			http.Error(w, "this host name is not allowed", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// looking refuses those who may not even look.
func (u *UI) looking(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := u.ask(r)
		if v.role < RoleLook {
			http.Error(w, "forbidden", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), viewerKey{}, v)))
	})
}

func secureHeaders(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// hostAllowed keeps out requests of a foreign page whose name was pointed at this address
// (DNS rebinding): they carry that name.
func hostAllowed(r *http.Request, hosts []string) bool {
	host := hostName(r.Host)
	if isLoopback(host) || isLocalAddr(host, r) {
		return true
	}
	return slices.ContainsFunc(hosts, func(allowed string) bool {
		return allowed == "*" || host != "" && strings.EqualFold(hostName(allowed), host)
	})
}

// hostName takes the port and the brackets off.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

// isLoopback reports whether host is a name or an address of this machine alone.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// isLocalAddr reports whether host is the very address at which the request came in. An
// address needs no DNS, so nobody can point it elsewhere.
func isLocalAddr(host string, r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	a, err := netip.ParseAddr(host)
	at, err2 := netip.ParseAddrPort(local.String())
	return err == nil && err2 == nil && a.Unmap() == at.Addr().Unmap()
}

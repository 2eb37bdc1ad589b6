package mqui

import (
	"net/http"
	"net/url"
	"path"
)

// routes returns the handler of all requests. What every request must pass is around it.
func (u *UI) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, build := range u.pages() {
		mux.Handle("GET "+pattern, u.page(build))
	}
	mux.HandleFunc("GET /events", u.events)
	mux.HandleFunc("GET /static/{name}", serveAsset)
	for _, a := range acts {
		mux.Handle("POST /act/"+a.name, u.act(a))
	}
	h := withSlash(mux)
	if u.opts.Prefix != "" {
		h = http.StripPrefix(u.opts.Prefix, h)
	}
	return u.guarded(h)
}

// pages are the pages by their paths. All are in one directory, and the posts one below,
// so that links need not know where the UI is mounted.
func (u *UI) pages() map[string]builder {
	return map[string]builder{
		"/{$}":       u.overview,
		"/queue":     u.queuePage,
		"/message":   u.messagePage,
		"/topics":    u.topicsPage,
		"/schedules": u.schedulesPage,
		"/job":       u.jobPage,
	}
}

// withSlash leads from /prefix to /prefix/, by a relative reference.
func withSlash(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "" {
			next.ServeHTTP(w, r)
			return
		}
		asked, err := url.ParseRequestURI(r.RequestURI)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		redirect(w, "./"+url.PathEscape(path.Base(asked.Path))+"/")
	})
}

// redirect answers a request with a relative reference, which http.Redirect would make
// absolute, and so wrong below a prefix.
func redirect(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

// address is a relative reference to a page, with pairs of names and values. Empty values
// are left out.
func address(page string, pairs ...string) string {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	if len(v) == 0 {
		return page
	}
	return page + "?" + v.Encode()
}

package mqui

import (
	"bytes"
	"compress/gzip"
	"context"
	"embed"
	"errors"
	"html/template"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/portmq/mq"
)

// pageTimeout bounds the calls to a backend that one page makes.
const pageTimeout = 5 * time.Second

// builder collects what a page shows.
type builder func(ctx context.Context, v viewer, r *http.Request) (*page, error)

// page is what the templates are given.
type page struct {
	Template, Title string
	Data            any
	Live            string // the address of the events that renew it, "" for none
	Refresh         int    // seconds until it is loaded again without JavaScript, 0 for never
	Status          int    // 0 is 200

	Operate bool // the viewer may act
	Flash   flash
	Version string
	Style   string
	Icon    string
	Script  string
	Content template.HTML // what Template made of it
}

//go:embed templates
var templateFiles embed.FS

// templates are all pages. Their names are those of the pages and of their parts.
var templates = template.Must(template.New("").Funcs(helpers()).ParseFS(templateFiles, "templates/*.html"))

func helpers() template.FuncMap {
	f := template.FuncMap{
		"show": printable, "lines": printableLines, "number": number, "perSecond": perSecond, "duration": duration,
		"moment": moment, "ago": ago, "cut": cut, "address": address, "plural": func(n int, thing string) string {
			return plural(int64(n), thing)
		},
		"int64":      func(n int) int64 { return int64(n) },
		"pair":       func(a, b any) pair { return pair{a, b} },
		"archiveTab": archiveTab, "faint": faint,
	}
	maps.Copy(f, drawing)
	return f
}

// pair is two values, for a template that needs both.
type pair struct{ First, Second any }

// archiveTab is the list of a queue that a message is in.
func archiveTab(archived bool) string {
	if archived {
		return "archive"
	}
	return "all"
}

// renderPart renders a template by a name that is only known at run time. What it returns
// is the work of html/template, and needs no more escaping.
func renderPart(name string, data any) (template.HTML, error) {
	var b strings.Builder
	err := templates.ExecuteTemplate(&b, name, data)
	return template.HTML(b.String()), err
}

// page returns the handler of one page.
func (u *UI) page(build builder) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), pageTimeout)
		defer cancel()
		v := viewerOf(r)
		p, err := build(ctx, v, r)
		if err != nil {
			p = errorPage(err)
		}
		u.write(w, r, v, p)
	})
}

func (u *UI) write(w http.ResponseWriter, r *http.Request, v viewer, p *page) {
	p.Operate, p.Version = v.role >= RoleOperate, u.opts.Version
	p.Style, p.Script, p.Icon = styleName, scriptName, iconName
	p.Flash = u.flashes.take(r.FormValue("flash"))
	var b bytes.Buffer
	err := p.render(&b)
	if err != nil {
		u.log.Error("mqui: a page cannot be rendered", "page", p.Template, "error", err)
		http.Error(w, "this page cannot be rendered (see the log)", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	send(w, r, p.Status, b.Bytes())
}

func (p *page) render(b *bytes.Buffer) (err error) {
	if p.Content, err = renderPart(p.Template, p); err != nil {
		return err
	}
	return templates.ExecuteTemplate(b, "layout", p)
}

// send writes an answer, compressed if the client takes it.
func send(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	h := w.Header()
	h.Add("Vary", "Accept-Encoding")
	if takesGzip(r) {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(body) // into memory: neither fails
		_ = z.Close()
		h.Set("Content-Encoding", "gzip")
		body = b.Bytes()
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if status != 0 {
		w.WriteHeader(status)
	}
	_, _ = w.Write(body) // the client is gone
}

// takesGzip reports whether to compress. A request that another site has caused gets an
// uncompressed answer: the size of a compressed one might reveal what is on the page.
func takesGzip(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") && r.Header.Get("Sec-Fetch-Site") != "cross-site"
}

// statusError is an error of the request, with its status.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string { return e.text }

func badRequest(text string) error { return &statusError{http.StatusBadRequest, text} }
func notFound(text string) error   { return &statusError{http.StatusNotFound, text} }

// errorPage shows what went wrong.
func errorPage(err error) *page {
	return &page{Template: "error", Title: "Error", Status: statusOf(err), Data: describe(err)}
}

func statusOf(err error) int {
	var own *statusError
	switch {
	case errors.As(err, &own):
		return own.status
	case errors.Is(err, mq.ErrQueueNotFound):
		return http.StatusNotFound
	case errors.Is(err, mq.ErrInvalid):
		return http.StatusBadRequest
	case errors.Is(err, mq.ErrNotSupported):
		return http.StatusNotImplemented
	case errors.Is(err, errBusy):
		return http.StatusTooManyRequests
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout
	}
	return http.StatusBadGateway
}

// describe explains an error of a backend.
func describe(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "The backend did not answer in time: " + errorText(err)
	}
	return errorText(err)
}

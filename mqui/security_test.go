package mqui

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
)

// paths are all pages of a site whose queue has messages.
func (s *site) paths() []string {
	live := s.send(mq.Message{Body: []byte(`{"a":1}`), Group: "g", Headers: mq.Headers{"k": "v"}})
	dead := s.dead("bad", 1)
	paths := []string{
		"/", "/?filter=q", "/topics?source=src", "/message?source=src&queue=q&show=1&id=" + live[0],
		"/message?source=src&queue=q&archive=1&id=" + dead[0],
	}
	for _, tab := range []string{"waiting", "delayed", "leased", "all", "groups", "archive"} {
		paths = append(paths, "/queue?source=src&queue=q&tab="+tab, "/queue?source=src&queue=q&newest=1&reason=bad&tab="+tab)
	}
	return paths
}

func TestHeaders(t *testing.T) {
	s := newSite(t, nil, Options{})
	for _, path := range append(s.paths(), "/nothing", "/queue", "/message?source=src&queue=q&id=none", "/static/"+styleName) {
		h := s.do(request(t.Context(), "GET", path, nil)).Header()
		equal(t, path, h.Get("Content-Security-Policy"), policy)
		equal(t, path, h.Get("X-Content-Type-Options"), "nosniff")
		equal(t, path, h.Get("Referrer-Policy"), "no-referrer")
		if !strings.HasPrefix(path, "/static/") {
			equal(t, path, h.Get("Cache-Control"), "no-store")
		}
	}
}

func TestRoleNone(t *testing.T) {
	s := newSite(t, nil, Options{Authorize: func(*http.Request) Role { return RoleNone }})
	for _, path := range append(s.paths(), "/events?page=overview", "/static/"+scriptName, "/job?id=x") {
		equal(t, path, s.do(request(t.Context(), "GET", path, nil)).Code, http.StatusForbidden)
	}
}

// TestHost refuses names that are not expected: a foreign page may point one at this
// address.
func TestHost(t *testing.T) {
	s := newSite(t, nil, Options{Hosts: []string{"ops.example.com"}})
	local := context.WithValue(t.Context(), http.LocalAddrContextKey, net.Addr(&net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 80}))
	for host, want := range map[string]int{
		"localhost": 200, "LOCALHOST:8080": 200, "127.0.0.1:99": 200, "127.9.9.9": 200, "[::1]:80": 200, "[::1]": 200,
		"ops.example.com": 200, "OPS.example.com:443": 200, "10.1.2.3:80": 200,
		"evil.example.com": 403, "evil.ops.example.com": 403, "10.1.2.4": 403, "localhost.evil.example.com": 403, "": 403, "[": 403,
	} {
		r := request(local, "GET", "/", nil)
		r.Host = host
		equal(t, host, s.do(r).Code, want)
	}
	all := newSite(t, nil, Options{Hosts: []string{"*"}})
	r := request(t.Context(), "GET", "/", nil)
	r.Host = "any.example.com"
	equal(t, "any", all.do(r).Code, 200)
}

func TestCrossOrigin(t *testing.T) {
	s := newSite(t, nil, Options{Authorize: operate})
	s.send(mq.Message{})
	for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example.com"} {
		r := request(t.Context(), "POST", "/act/purge", url.Values{"source": {"src"}, "queue": {"q"}, "confirm": {"q"}})
		r.Header.Set(name, value)
		equal(t, name, s.do(r).Code, http.StatusForbidden)
	}
	equal(t, "messages", s.stats().Total, 1)
	r := request(t.Context(), "GET", "/", nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	r.Header.Set("Accept-Encoding", "gzip")
	equal(t, "compressed for another site", s.do(r).Header().Get("Content-Encoding"), "")
}

// nasty is what a page must show, and not obey. U+202E turns the direction of text.
const nasty = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>javascript:alert(1)\u202e\u2066"

var (
	inline = regexp.MustCompile(`(?i)<script>|<style|[\s"'/](style|on[a-z]+)\s*=|href="\s*(javascript|data|vbscript):|<img|<iframe|<object|<base`)
	hidden = regexp.MustCompile("[\x00-\x08\x0b-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")
)

// TestMarkup puts markup wherever others may put text, and looks at every page.
func TestMarkup(t *testing.T) {
	schedules := fakeSchedules{{Name: nasty, Spec: nasty, Zone: nasty, Queue: nasty, CatchUp: nasty}}
	find := func(context.Context) ([]Finding, error) { return []Finding{{LevelProblem, nasty, nasty}}, nil }
	other := mq.New(mem.New(), mq.Config{Name: nasty})
	defer other.Close()
	s := newSite(t, nil, Options{Authorize: operate, Bodies: ShowAlways, Headers: ShowAlways, Version: nasty},
		Source{Name: nasty, Client: other, Schedules: schedules, Findings: find})
	ctx := t.Context()
	const name = "<b>q</b>&\"'" // a queue's name has no control characters
	q, err := other.EnsureQueue(ctx, name, mq.QueueOptions{AnyName: true})
	ok(t, err)
	_, err = q.Send(ctx, &mq.Message{Body: []byte(nasty + "\x00\xff"), Group: nasty, Headers: mq.Headers{nasty: nasty, "traceparent": nasty, mq.HeaderOrigin: nasty + "/" + nasty}})
	ok(t, err)
	id, err := q.Send(ctx, &mq.Message{Body: []byte(nasty), Group: nasty})
	ok(t, err)
	_, err = q.Override(ctx, []string{id}, mq.Settlement{Op: mq.OpArchive, Reason: nasty})
	ok(t, err)
	ok(t, q.Pause(ctx, nasty))
	s.sources[1].sampler.look(ctx)
	s.until("findings", func() bool { all, _ := s.sources[1].findings.last(); return len(all) > 0 })

	in := "source=" + url.QueryEscape(nasty) + "&queue=" + url.QueryEscape(name)
	pages := []string{"/", "/topics?" + in, "/schedules?" + in, "/message?show=1&id=1&" + in, "/message?show=1&archive=1&id=2&" + in}
	for _, tab := range []string{"all", "archive", "groups", "waiting"} {
		pages = append(pages, "/queue?tab="+tab+"&"+in)
	}
	for _, path := range pages {
		checkMarkup(t, path, s.get(path))
	}
	escaped := url.QueryEscape(nasty)
	for _, path := range []string{
		"/?filter=" + escaped, "/?source=" + escaped + "x", "/queue?source=src&queue=" + escaped, "/message?id=" + escaped + "&source=src&queue=q",
		"/queue?source=src&queue=q&tab=all&text=" + escaped + "&header=" + escaped + "&older=" + escaped, "/job?id=" + escaped,
		"/queue?source=src&queue=q&tab=all&after=" + escaped,
	} {
		checkMarkup(t, path, s.do(request(ctx, "GET", path, nil)).Body.String())
	}
}

func checkMarkup(t *testing.T, path, page string) {
	t.Helper()
	for _, find := range []*regexp.Regexp{hidden} {
		if at := find.FindStringIndex(withoutInputs(page)); at != nil {
			t.Errorf("%s has %q", path, withoutInputs(page)[max(0, at[0]-60):at[1]])
		}
	}
	// Text that looks like an attribute is harmless outside of a tag.
	for _, tag := range regexp.MustCompile(`<[^>]*>`).FindAllString(page, -1) {
		bare := regexp.MustCompile(`(value|href|aria-label|title|content)="[^"]*"`).ReplaceAllStringFunc(tag, func(attr string) string {
			if strings.HasPrefix(attr, "href") {
				return attr
			}
			return ""
		})
		if inline.MatchString(bare) {
			t.Errorf("%s has %s", path, tag)
		}
	}
}

// withoutInputs leaves out the values of inputs, which are sent back as they are.
func withoutInputs(page string) string {
	return regexp.MustCompile(`value="[^"]*"`).ReplaceAllString(page, "")
}

type fakeSchedules []Schedule

func (f fakeSchedules) List(context.Context) ([]Schedule, error)    { return f, nil }
func (f fakeSchedules) Run(context.Context, string) (string, error) { return "42", nil }

// TestHiddenBodies looks for a secret on all pages, and for a search that would tell it.
func TestHiddenBodies(t *testing.T) {
	secretBody := mq.Message{Body: []byte("hunter2"), Headers: mq.Headers{"card": "4111"}}
	never := newSite(t, nil, Options{Bodies: ShowNever, Headers: ShowNever})
	id := never.send(secretBody)[0]
	for _, path := range append(never.paths(), "/message?source=src&queue=q&show=1&all=1&id="+id) {
		lacks(t, never.get(path), "hunter2", "4111")
	}
	for _, query := range []string{"text=hunter", "header=card%3D4111"} {
		page := never.get("/queue?source=src&queue=q&tab=all&" + query)
		contains(t, page, "are hidden")
		lacks(t, page, "message?")
	}
	click := newSite(t, nil, Options{})
	id = click.send(secretBody)[0]
	lacks(t, click.get("/queue?source=src&queue=q&tab=all"), "hunter2", "4111")
	lacks(t, click.get("/message?source=src&queue=q&id="+id), "hunter2", "4111")
	contains(t, click.get("/message?source=src&queue=q&show=1&id="+id), "hunter2", "4111")
	always := newSite(t, nil, Options{Bodies: ShowAlways, Headers: ShowAlways})
	always.send(secretBody)
	contains(t, always.get("/queue?source=src&queue=q&tab=all"), "hunter2", "card=4111")
}

// TestRedact looks for what is redacted on all pages, in counts of reasons, and by
// searching for it.
func TestRedact(t *testing.T) {
	clean := strings.NewReplacer("4111", "xxxx", "4222", "xxxx")
	s := newSite(t, nil, Options{Bodies: ShowAlways, Headers: ShowAlways, Redact: func(_ string, r *mq.Record) {
		r.Body = []byte(clean.Replace(string(r.Body)))
		for name, value := range r.Headers {
			r.Headers[name] = clean.Replace(value)
		}
	}})
	id := s.send(mq.Message{Body: []byte("card 4111"), Headers: mq.Headers{"card": "4111"}})[0]
	s.dead("card 4111 declined", 2)
	s.dead("card 4222 declined", 1)
	for _, path := range append(s.paths(), "/message?source=src&queue=q&id="+id) {
		lacks(t, s.get(path), "4111", "4222")
	}
	archive := s.get("/queue?source=src&queue=q&tab=archive")
	contains(t, archive, "card xxxx declined", `data-label="Count">3<`)
	for query, hit := range map[string]bool{
		"text=4111": false, "header=card%3D4111": false, "reason=4111": false,
		"text=card+xxxx": true, "header=card%3Dxxxx": true,
	} {
		equal(t, query, strings.Contains(s.get("/queue?source=src&queue=q&tab=all&"+query), "Select") ||
			strings.Contains(s.get("/queue?source=src&queue=q&tab=all&"+query), "message?"), hit)
	}
	big := s.send(mq.Message{Body: []byte(strings.Repeat("4111", maxRedacted))})[0]
	page := s.get("/message?source=src&queue=q&id=" + big)
	contains(t, page, "too large to be redacted")
	lacks(t, page, "4111")
}

// TestRedactSize: what Redact leaves is whole, however long the body was.
func TestRedactSize(t *testing.T) {
	s := newSite(t, nil, Options{Redact: func(_ string, r *mq.Record) { r.Body = []byte(`{"card":"***"}`) }})
	id := s.send(mq.Message{Body: []byte(`{"card":"4111111111111111"}`)})[0]
	page := s.get("/message?source=src&queue=q&show=1&id=" + id)
	contains(t, page, "JSON, 14 bytes<")
	if strings.Contains(page, "Show more") {
		t.Errorf("there is more to show of a redacted body:\n%s", page)
	}
}

// TestRedactPanics shows nothing of the message, and harms nobody.
func TestRedactPanics(t *testing.T) {
	s := newSite(t, nil, Options{Authorize: operate, Bodies: ShowAlways, Headers: ShowAlways, Redact: func(string, *mq.Record) { panic("oh") }})
	id := s.send(mq.Message{Body: []byte("hunter2"), Headers: mq.Headers{"k": "hunter2"}, Group: "hunter2"})[0]
	s.dead("hunter2", 1)
	for _, path := range append(s.paths(), "/message?source=src&queue=q&id="+id) {
		lacks(t, s.get(path), "hunter2")
	}
	contains(t, s.log.String(), "Redact panicked")
}

// TestLargeRequests are read no further than a form may go.
func TestLargeRequests(t *testing.T) {
	s := newSite(t, nil, Options{})
	body := strings.NewReader("--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n" + strings.Repeat("x", 4*maxForm))
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/", body)
	r.Host = "localhost"
	r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	s.do(r)
	if read := int(body.Size()) - body.Len(); read > 2*maxForm {
		t.Errorf("%d bytes were read", read)
	}
}

// leaky is a provider whose errors contain a DSN.
type leaky struct{ *mem.Provider }

func (leaky) AllStats(context.Context) (map[string]driver.Stats, error) {
	return nil, errors.New("cannot connect to postgres://admin:hunter2@db:5432/shop")
}

func (leaky) Browse(context.Context, string, driver.BrowseRequest) ([]driver.Record, error) {
	return nil, errors.New("cannot connect to amqp://admin:hun@ter2@db")
}

func TestNoPasswords(t *testing.T) {
	s := newSite(t, leaky{mem.New()}, Options{})
	page := s.get("/")
	contains(t, page, "cannot connect to postgres://…@db")
	lacks(t, page, "hunter2", "admin")
	lacks(t, s.get("/queue?source=src&queue=q&tab=all"), "ter2", "admin")
}

// TestPrefix follows the links of a UI below a prefix that it knows nothing of.
func TestPrefix(t *testing.T) {
	s := newSite(t, nil, Options{Authorize: operate})
	own := newSite(t, nil, Options{Authorize: operate, Prefix: "/a/b"})
	mux := http.NewServeMux()
	mux.Handle("/ops/mq/", http.StripPrefix("/ops/mq", s))
	mux.Handle("/a/b/", own)
	server := httptest.NewServer(mux)
	defer server.Close()
	for _, prefix := range []string{"/ops/mq", "/a/b"} {
		seen := make(map[string]bool)
		follow(t, server, prefix+"/", seen)
		for _, page := range []string{"/", "/queue", "/topics", "/static/" + styleName} {
			if !seen[prefix+page] {
				t.Errorf("no link led to %s%s", prefix, page)
			}
		}
		res, err := server.Client().PostForm(server.URL+prefix+"/act/send", url.Values{"source": {"src"}, "queue": {"q"}})
		ok(t, err)
		ok(t, res.Body.Close())
		equal(t, "after a post", res.StatusCode, 200)
		equal(t, "after a post", res.Request.URL.Path, prefix+"/queue")
	}
	root := httptest.NewServer(http.StripPrefix("/ops", s))
	defer root.Close()
	res, err := root.Client().Get(root.URL + "/ops")
	ok(t, err)
	ok(t, res.Body.Close())
	equal(t, "without a slash", res.Request.URL.Path, "/ops/")
}

func follow(t *testing.T, server *httptest.Server, path string, seen map[string]bool) {
	t.Helper()
	at, err := url.Parse(path)
	ok(t, err)
	if seen[at.Path] {
		return
	}
	seen[at.Path] = true
	res, err := server.Client().Get(server.URL + path)
	ok(t, err)
	equal(t, path, res.StatusCode, 200)
	var b strings.Builder
	_, err = io.Copy(&b, res.Body)
	ok(t, errors.Join(err, res.Body.Close()))
	for _, link := range regexp.MustCompile(`(?:href|src)="([^"#]+)"`).FindAllStringSubmatch(b.String(), -1) {
		to, err := at.Parse(strings.ReplaceAll(link[1], "&amp;", "&"))
		ok(t, err)
		follow(t, server, to.RequestURI(), seen)
	}
}

func TestCheckListen(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:80": true, "localhost:80": true, "[::1]:80": true, "127.1.2.3:1": true,
		":80": false, "0.0.0.0:80": false, "[::]:80": false, "10.0.0.1:80": false, "example.com:80": false,
	} {
		equal(t, addr, CheckListen(addr, false) == nil, want)
		ok(t, CheckListen(addr, true))
	}
	if CheckListen("80", true) == nil {
		t.Error("80 is an address")
	}
}

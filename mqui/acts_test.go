package mqui

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq"
)

// everyAct is a form for each act that would succeed.
func everyAct(s *site) map[string][]string {
	live := s.send(mq.Message{Body: []byte("a")}, mq.Message{Body: []byte("b")}, mq.Message{Body: []byte("c")}, mq.Message{Body: []byte("d")})
	dead := s.dead("bad", 3)
	return map[string][]string{
		"archive":         {"id", live[0], "reason", "why"},
		"remove":          {"id", live[1]},
		"move":            {"id", live[2], "to", "other"},
		"release":         {"id", live[3], "delay", "10m"},
		"redrive":         {"id", dead[0]},
		"remove-archived": {"id", dead[1]},
		"redrive-all":     {},
		"cancel":          {"job", "none"},
		"send":            {"body", "new", "headers", "k=v", "group", "g"},
		"purge":           {"confirm", "q"},
		"purge-archive":   {"confirm", "q"},
		"drop":            {"confirm", "q"},
		"pause":           {"reason", "tests"},
		"resume":          {},
		"bind":            {"pattern", "a.*"},
		"unbind":          {"pattern", "a.*"},
		"run-schedule":    {"name", "nightly"},
	}
}

// TestActsNeedOperate posts each act as somebody who may look, or not even that.
func TestActsNeedOperate(t *testing.T) {
	for _, role := range []Role{RoleNone, RoleLook} {
		s := newSite(t, nil, Options{Authorize: func(*http.Request) Role { return role }})
		_, err := s.client.EnsureQueue(t.Context(), "other", mq.QueueOptions{})
		ok(t, err)
		forms := everyAct(s)
		before := s.stats()
		for _, a := range acts {
			pairs, known := forms[a.name]
			if !known {
				t.Errorf("no form for %s", a.name)
			}
			form := url.Values{"source": {"src"}, "queue": {"q"}}
			for i := 0; i < len(pairs); i += 2 {
				form.Add(pairs[i], pairs[i+1])
			}
			w := s.do(request(t.Context(), "POST", "/act/"+a.name, form))
			equal(t, a.name, w.Code, http.StatusForbidden)
		}
		after := s.stats()
		equal(t, "messages", after.Total, before.Total)
		equal(t, "archived", after.Archived, before.Archived)
		equal(t, "delayed", after.Delayed, before.Delayed)
		equal(t, "sent", after.TotalSent, before.TotalSent)
		paused, err := s.client.Paused(t.Context())
		ok(t, err)
		equal(t, "paused queues", len(paused), 0)
	}
}

// TestActsArePosts asks for each act by GET, as a link or an image would.
func TestActsArePosts(t *testing.T) {
	s := newSite(t, nil, Options{Authorize: operate})
	for _, a := range acts {
		w := s.do(request(t.Context(), "GET", "/act/"+a.name+"?source=src&queue=q&confirm=q", nil))
		equal(t, a.name, w.Code, http.StatusMethodNotAllowed)
	}
	// What a form does not post has no effect.
	s.send(mq.Message{})
	w := s.do(request(t.Context(), "POST", "/act/purge?source=src&queue=q&confirm=q", url.Values{}))
	equal(t, "status", w.Code, http.StatusSeeOther)
	equal(t, "messages", s.stats().Total, 1)
}

// TestActs does each act, and looks at what it says and leaves behind.
func TestActs(t *testing.T) {
	s := newSite(t, nil, Options{Authorize: operate, User: func(*http.Request) string { return "alice" }})
	ctx, q := t.Context(), s.client.Queue("q")
	_, err := s.client.EnsureQueue(ctx, "other", mq.QueueOptions{})
	ok(t, err)
	ids := s.send(mq.Message{Body: []byte("1")}, mq.Message{Body: []byte("2")}, mq.Message{Body: []byte("3")}, mq.Message{Body: []byte("4")})

	equal(t, "archive", s.post("archive", "id", ids[0], "id", "999", "reason", "broken"), "1 message archived")
	dead, err := q.Archived(ctx, mq.BrowseOptions{})
	ok(t, err)
	equal(t, "reason", dead[0].Reason(), "broken")
	equal(t, "remove", s.post("remove", "id", ids[1]), "1 message removed")
	equal(t, "move", s.post("move", "id", ids[2], "to", "other"), "1 message moved")
	equal(t, "release", s.post("release", "id", ids[3], "delay", "1h"), "1 message given back")
	equal(t, "delayed", s.stats().Delayed, 1)
	equal(t, "redrive", s.post("redrive", "id", dead[0].ID), "1 message brought back to the queue")
	more := s.dead("x", 3)
	equal(t, "remove-archived", s.post("remove-archived", "id", more[0]), "1 message removed from the archive")
	equal(t, "purge-archive", s.post("purge-archive", "confirm", "q", "age", "1h"), "0 messages purged from the archive")
	equal(t, "purge-archive", s.post("purge-archive", "confirm", "q"), "2 messages purged from the archive")

	contains(t, s.post("send", "body", "a\r\nb", "headers", "k=v\r\nl=w=x", "group", "g", "delay", "1d"), "sent")
	found, err := q.Search(ctx, mq.SearchOptions{Match: mq.Match{Group: "g"}})
	ok(t, err)
	sent := found.Records[0]
	equal(t, "body", string(sent.Body), "a\nb")
	equal(t, "headers", sent.Headers["k"]+sent.Headers["l"], "vw=x")

	s.post("pause", "reason", "tests")
	paused, err := s.client.Paused(ctx)
	ok(t, err)
	equal(t, "paused by", paused[0].By, "alice: tests")
	equal(t, "resume", s.post("resume"), "resumed")
	s.post("bind", "pattern", "a.*")
	bound, err := q.Bindings(ctx)
	ok(t, err)
	equal(t, "bindings", strings.Join(bound, " "), "a.*")
	s.post("unbind", "pattern", "a.*")

	contains(t, s.post("purge", "confirm", "Q"), "not the name of the queue")
	equal(t, "purge", s.post("purge", "confirm", "q"), "3 messages purged")
	contains(t, s.post("drop", "confirm", ""), "not the name of the queue")
	contains(t, s.post("drop", "confirm", "q"), "queue q dropped")
	names, err := s.client.Queues(ctx)
	ok(t, err)
	equal(t, "queues", strings.Join(names, " "), "other")

	contains(t, s.log.String(), `msg="mqui: action" action=archive user=alice remote=192.0.2.7 source=src queue=q count=1 ids="1 999" idCount=2 note=broken`)
	contains(t, s.log.String(), "action=purge user=alice", `level=WARN msg="mqui: action failed" action=drop`)
}

// The page after an act shows what it has done, however long ago the queues were counted.
func TestActsAreShown(t *testing.T) {
	s := newSite(t, nil, Options{Authorize: operate, Interval: time.Hour})
	s.send(mq.Message{Body: []byte("1")})
	s.post("pause", "reason", "tests")
	contains(t, s.get("/queue?source=src&queue=q"), `action="act/resume"`)
	s.post("purge", "confirm", "q")
	contains(t, s.get("/queue?source=src&queue=q"), "Purge 0 messages")
}

func TestActsRefuse(t *testing.T) {
	s := newSite(t, nil, Options{Authorize: operate})
	contains(t, s.post("archive"), "no message was selected")
	contains(t, s.post("release", "id", "1", "delay", "soon"), "is not a duration")
	contains(t, s.post("move", "id", "1"), "no queue is named")
	contains(t, s.post("send", "headers", "no value"), "name=value")
	contains(t, s.post("run-schedule", "name", "x"), "cannot do that")
	many := make([]string, 0, 2*(maxLimit+1))
	for range maxLimit + 1 {
		many = append(many, "id", "1")
	}
	contains(t, s.post("remove", many...), "too many")
	w := s.do(request(t.Context(), "POST", "/act/send", url.Values{"source": {"src"}, "queue": {"q"}, "body": {strings.Repeat("x", maxForm)}}))
	equal(t, "too large", w.Code, http.StatusBadRequest)
}

// TestFlash shows a result once, and nothing that a link says.
func TestFlash(t *testing.T) {
	s := newSite(t, nil, Options{Authorize: operate})
	w := s.do(request(t.Context(), "POST", "/act/bind", url.Values{"source": {"src"}, "queue": {"q"}, "pattern": {"<b>x</b>"}}))
	to := "/" + strings.TrimPrefix(w.Header().Get("Location"), "../")
	page := s.get(to)
	contains(t, page, "bind failed")
	lacks(t, page, "<b>x")
	lacks(t, s.get(to), "bind failed")
	lacks(t, s.get("/?flash=All+is+lost"), "All is lost")
}

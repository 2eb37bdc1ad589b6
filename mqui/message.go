package mqui

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/portmq/mq"
)

// maxRedacted is the largest body that Options.Redact is given.
const maxRedacted = 1 << 20

// messageData is the page of one message.
type messageData struct {
	Source, Queue string
	Can           *abilities
	Record        mq.Record
	Archived      bool
	Headers       []header
	Body          *body
	BodyURL       string // shows what is shown on a click
	AllURL        string // shows more of a long body
	Trace         string // the address of its trace
	Origin        string // "queue/id" it came from,
	OriginURL     string // if it is there
	Holder        *consumer
	Others        []string
	NeverBody     bool
	TooLarge      bool // to be redacted
}

func (u *UI) messagePage(ctx context.Context, _ viewer, r *http.Request) (*page, error) {
	s, q, err := u.target(r)
	if err != nil {
		return nil, err
	}
	rec, err := u.lookUp(ctx, q, r.FormValue("id"), r.FormValue("archive") != "")
	if err != nil {
		return nil, err
	}
	d := &messageData{Source: s.Name, Queue: q.Name(), Can: s.can, Archived: rec.State == mq.StateArchived, Others: s.sampler.names(q.Name())}
	whole := len(rec.Body) == rec.BodySize
	shown := u.redact(q.Name(), *rec)
	u.content(d, r, shown, whole)
	d.Trace = u.traceURL(&shown)
	d.Origin = shown.Headers[mq.HeaderOrigin]
	ctx, cancel := context.WithTimeout(ctx, pageTimeout/2)
	defer cancel()
	d.OriginURL = u.originURL(ctx, s, d.Origin)
	if rec.State == mq.StateLeased {
		if d.Holder = u.holder(ctx, s, q, rec.ID); d.Holder != nil {
			d.Holder.Error = u.redactError(q.Name(), d.Holder.LastError)
		}
	}
	return &page{Template: "message", Title: "Message " + rec.ID, Data: d}, nil
}

// lookUp finds a message by its ID, in the queue or in its archive, whichever is asked
// for first.
func (u *UI) lookUp(ctx context.Context, q *mq.Queue, id string, archive bool) (*mq.Record, error) {
	if id == "" {
		return nil, badRequest("no message is named")
	}
	o := mq.BrowseOptions{IDs: []string{id}, CutBody: maxBody}
	if u.opts.Redact != nil {
		o.CutBody = maxRedacted
	}
	looks := []func(context.Context, mq.BrowseOptions) ([]mq.Record, error){q.Peek, q.Archived}
	if archive {
		looks[0], looks[1] = looks[1], looks[0]
	}
	for _, look := range looks {
		found, err := look(ctx, o)
		if err != nil {
			return nil, err
		}
		if len(found) > 0 {
			return &found[0], nil
		}
	}
	return nil, notFound("there is no message " + printable(cut(id, 80)) + ": it is done, or was moved or purged")
}

// content fills in the headers and the body, as far as they may be shown.
func (u *UI) content(d *messageData, r *http.Request, rec mq.Record, whole bool) {
	clicked := r.FormValue("show") != ""
	d.Record, d.Headers = rec, u.headers(&rec, u.opts.Headers.allows(clicked))
	again := []string{"source", d.Source, "queue", d.Queue, "id", rec.ID, "archive", r.FormValue("archive"), "show", "1"}
	if !clicked && (u.opts.Bodies == ShowOnClick || u.opts.Headers == ShowOnClick) {
		d.BodyURL = address("message", again...) + "#body"
	}
	d.NeverBody = u.opts.Bodies == ShowNever
	d.TooLarge = !whole && u.opts.Redact != nil
	if !u.opts.Bodies.allows(clicked) || d.TooLarge {
		d.Record.Body = nil
		return
	}
	limit := bodyShown
	if r.FormValue("all") != "" {
		limit = maxBody
	}
	size := rec.BodySize
	if u.opts.Redact != nil {
		size = len(rec.Body) // of what is left
	}
	d.Body = newBody(rec.Body, size, limit)
	if d.Body.More && limit < maxBody {
		d.AllURL = address("message", append(again, "all", "1")...) + "#body"
	}
}

// originURL is where the message that this one was made of still is, or "".
func (u *UI) originURL(ctx context.Context, s *source, origin string) string {
	i := strings.LastIndexByte(origin, '/')
	if i < 0 {
		return ""
	}
	queue, id := origin[:i], origin[i+1:]
	rec, err := u.lookUp(ctx, s.Client.Queue(queue), id, true)
	if err != nil {
		return ""
	}
	return messageURL(s.Name, queue, id, rec.State == mq.StateArchived)
}

// traceTemplate is Options.TraceURL.
type traceTemplate string

const tracePlace = "{trace}"

func parseTraceURL(text string) (traceTemplate, error) {
	secure := strings.HasPrefix(text, "https://") || strings.HasPrefix(text, "http://")
	if text != "" && (!secure || !strings.Contains(text, tracePlace)) {
		return "", errors.New("mqui: TraceURL is not an http or https address with {trace} in it")
	}
	return traceTemplate(text), nil
}

// traceURL returns the address of the message's trace, or "". The ID comes from the
// sender: only a well-formed one gets into an address.
func (u *UI) traceURL(r *mq.Record) string {
	id := traceID(r.Headers["traceparent"])
	if id == "" || u.trace == "" || u.opts.Headers == ShowNever {
		return ""
	}
	return strings.ReplaceAll(string(u.trace), tracePlace, id)
}

// traceID returns the trace of a traceparent, "00-<32 hex digits>-<16 hex digits>-01".
func traceID(traceparent string) string {
	parts := strings.Split(traceparent, "-")
	if len(parts) < 4 || len(parts[1]) != 32 || strings.Trim(parts[1], "0123456789abcdef") != "" {
		return ""
	}
	return parts[1]
}

package mqui

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/portmq/mq"
)

// list is a page of messages.
type list struct {
	Messages []item
	Archive  bool
	AnyState bool // the list has messages in several states
	Newest   bool
	Filter   filter
	Bodies   bool // bodies are shown
	Headers  bool // and header values
	Err      string

	Searched bool  // it is the result of a search,
	Looked   int   // which has looked at that many messages
	Of       int64 // of about that many; -1 if that is not known
	End      bool
	Limit    int

	First, Next, Flip, Clear string // addresses; "" if there is none
}

// item is a message of a list.
type item struct {
	mq.Record
	URL     string
	Why     string // the reason, or the last error
	Preview string
	Shown   []header
}

func (u *UI) list(ctx context.Context, v viewer, r *http.Request, q *mq.Queue, t tab, d *queueData) error {
	want := listing{
		queue: q, archive: t.archive, state: t.state, filter: readFilter(r), newest: r.FormValue("newest") != "",
		after: r.FormValue("after"), limit: limitOf(r, q.Client()),
	}
	found, err := u.find(ctx, v, want)
	d.List = list{
		Archive: t.archive, AnyState: t.state == mq.AnyState && !t.archive, Newest: want.newest, Filter: want.filter,
		Bodies: u.opts.Bodies == ShowAlways && u.opts.Redact == nil, Headers: u.opts.Headers == ShowAlways,
		Searched: want.filter.Set() || t.state != mq.AnyState, Looked: found.Looked, Of: total(d.Row.Stats, t.archive),
		End: found.End, Limit: want.limit,
	}
	if err != nil {
		d.List.Err = describe(err)
	}
	for _, rec := range found.Records {
		d.List.Messages = append(d.List.Messages, u.item(d, rec))
	}
	d.List.links(d, want, found)
	return err
}

func total(s mq.Stats, archive bool) int64 {
	if archive {
		return s.Archived
	}
	return s.Total
}

func (u *UI) item(d *queueData, r mq.Record) item {
	it := item{Record: r, Why: r.Reason(), URL: messageURL(d.Source, d.Queue, r.ID, r.State == mq.StateArchived)}
	if it.Why == "" {
		it.Why = r.LastError()
	}
	if d.List.Bodies {
		it.Preview = cut(string(r.Body), previewBytes/2)
	}
	if d.List.Headers {
		it.Shown = u.headers(&r, true)
	}
	return it
}

func messageURL(source, queue, id string, archive bool) string {
	from := ""
	if archive {
		from = "1"
	}
	return address("message", "source", source, "queue", queue, "id", id, "archive", from)
}

// links sets where the list goes on. A page follows the last message that was looked at,
// whatever has come and gone meanwhile.
func (l *list) links(d *queueData, want listing, found mq.Found) {
	link := func(newest bool, after string, f filter) string {
		pairs := append([]string{"source", d.Source, "queue", d.Queue, "tab", d.Tab, "after", after}, f.pairs()...)
		if newest {
			pairs = append(pairs, "newest", "1")
		}
		if want.limit != defaultLimit {
			pairs = append(pairs, "n", strconv.Itoa(want.limit))
		}
		return address("queue", pairs...) + "#messages"
	}
	l.Flip = link(!want.newest, "", want.filter)
	if want.after != "" {
		l.First = link(want.newest, "", want.filter)
	}
	if !found.End && found.Last != "" && l.Err == "" {
		l.Next = link(want.newest, found.Last, want.filter)
	}
	if want.filter.Set() {
		l.Clear = link(want.newest, "", filter{})
	}
}

// Due is when a message is visible, or was archived.
func (i item) Due() time.Time {
	if i.State == mq.StateArchived {
		return i.ArchivedAt
	}
	return i.VisibleAt
}

package mqui

import (
	"bytes"
	"net/http"
	"strings"
	"time"

	"github.com/portmq/mq"
)

// filter is what the form of a queue's page asks for, as it was typed.
type filter struct {
	Header, Group, Text, Reason, Older, Younger string
}

func readFilter(r *http.Request) filter {
	value := func(name string) string { return strings.TrimSpace(r.FormValue(name)) }
	return filter{
		Header: value("header"), Group: value("group"), Text: r.FormValue("text"), Reason: value("reason"),
		Older: value("older"), Younger: value("younger"),
	}
}

// Set reports whether it asks for anything.
func (f filter) Set() bool { return f != filter{} }

// content reports whether it asks for anything that Options.Redact may change.
func (f filter) content() bool {
	return f.Header != "" || f.Group != "" || f.Text != "" || f.Reason != ""
}

// pairs are the names and values of the filter in an address.
func (f filter) pairs() []string {
	return []string{
		"header", f.Header, "group", f.Group, "text", f.Text, "reason", f.Reason, "older", f.Older, "younger", f.Younger,
	}
}

// match turns the filter into a Match for Search. What is never shown cannot be searched
// for: the number of hits would reveal it.
func (u *UI) match(f filter, state mq.State) (m mq.Match, err error) {
	m = mq.Match{State: state, Group: f.Group, Text: f.Text, Reason: f.Reason}
	switch {
	case f.Text != "" && u.opts.Bodies == ShowNever:
		return m, &statusError{http.StatusForbidden, "bodies are hidden, so they cannot be searched"}
	case f.Header != "" && u.opts.Headers == ShowNever:
		return m, &statusError{http.StatusForbidden, "header values are hidden, so they cannot be searched"}
	}
	if f.Header != "" {
		var ok bool
		if m.Header, m.Value, ok = strings.Cut(f.Header, "="); !ok || m.Header == "" {
			return m, badRequest("give a header as name=value")
		}
	}
	now := time.Now()
	if m.SentBefore, err = before(now, f.Older); err != nil {
		return m, err
	}
	m.SentSince, err = before(now, f.Younger)
	return m, err
}

// before returns the moment that is as long before now as text says.
func before(now time.Time, text string) (t time.Time, err error) {
	if text == "" {
		return t, nil
	}
	d, err := parseDuration(text)
	if err != nil {
		return t, badRequest(err.Error())
	}
	return now.Add(-d), nil
}

// fits is mq.Match for a record as it is shown, redacted.
func fits(m mq.Match, r *mq.Record) bool {
	value, has := r.Headers[m.Header]
	switch {
	case m.State != mq.AnyState && m.State != r.State,
		m.Header != "" && (!has || value != m.Value),
		m.Group != "" && m.Group != r.Group,
		m.Text != "" && !bytes.Contains(r.Body, []byte(m.Text)),
		m.Reason != "" && !strings.Contains(r.Reason(), m.Reason) && !strings.Contains(r.LastError(), m.Reason),
		!m.SentSince.IsZero() && r.EnqueuedAt.Before(m.SentSince),
		!m.SentBefore.IsZero() && !r.EnqueuedAt.Before(m.SentBefore):
		return false
	}
	return true
}

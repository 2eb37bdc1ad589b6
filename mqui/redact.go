package mqui

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"github.com/portmq/mq"
)

// redact returns a record as it may be shown. A body that was cut is neither given to
// Options.Redact, which could not make sense of a part, nor shown. If Redact panics,
// neither body, headers nor group are shown.
func (u *UI) redact(queue string, r mq.Record) (shown mq.Record) {
	if u.opts.Redact == nil {
		return r
	}
	defer func() {
		if p := recover(); p != nil {
			u.log.Error("mqui: Redact panicked, so a message is not shown", "queue", queue, "id", r.ID, "panic", p)
			shown.Body, shown.Headers, shown.Group = nil, nil, ""
		}
	}()
	shown = r
	shown.Headers, shown.Body = maps.Clone(r.Headers), bytes.Clone(r.Body)
	if len(r.Body) < r.BodySize {
		shown.Body = nil
	}
	u.opts.Redact(queue, &shown)
	return shown
}

// redactReason returns a reason as it may be shown.
func (u *UI) redactReason(queue, reason string) string {
	r := u.redact(queue, mq.Record{
		Message: mq.Message{Headers: mq.Headers{mq.HeaderReason: reason}}, State: mq.StateArchived,
	})
	return r.Reason()
}

// redactError returns the error of a consumer as it may be shown.
func (u *UI) redactError(queue, text string) string {
	r := u.redact(queue, mq.Record{Message: mq.Message{Headers: mq.Headers{mq.HeaderError: text}}})
	return r.LastError()
}

// header is one header as it is shown.
type header struct {
	Name, Value string
	Hidden      bool
}

// headers returns the headers of a record, sorted. Values are left out unless they may be
// shown; those of mq itself always may.
func (u *UI) headers(r *mq.Record, values bool) (hs []header) {
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		h := header{Name: name, Value: r.Headers[name]}
		if !values && !strings.HasPrefix(name, "mq-") {
			h.Value, h.Hidden = "", true
		}
		hs = append(hs, h)
	}
	return hs
}

// allows reports whether something may be shown on the page of a message.
func (s Show) allows(clicked bool) bool {
	return s == ShowAlways || s == ShowOnClick && clicked
}

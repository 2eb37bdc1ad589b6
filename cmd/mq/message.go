package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/portmq/mq"
)

// messageLine is the JSON of a message except for its body, which marshal adds.
type messageLine struct {
	Queue      string     `json:"queue"`
	ID         string     `json:"id"`
	Receipt    string     `json:"receipt,omitempty"`
	State      string     `json:"state,omitempty"`
	ReadCount  int        `json:"read_count"`
	EnqueuedAt time.Time  `json:"enqueued_at,omitzero"`
	VisibleAt  time.Time  `json:"visible_at,omitzero"`
	ArchivedAt time.Time  `json:"archived_at,omitzero"`
	Reason     string     `json:"reason,omitempty"`
	Group      string     `json:"group,omitempty"`
	Headers    mq.Headers `json:"headers,omitempty"`

	body []byte
}

func lineOfRecord(queue string, r mq.Record) messageLine {
	m := messageLine{
		Queue: queue, ID: r.ID, ReadCount: r.ReadCount, EnqueuedAt: r.EnqueuedAt, VisibleAt: r.VisibleAt,
		ArchivedAt: r.ArchivedAt, Reason: r.Reason(), Group: r.Group, Headers: r.Headers, body: r.Body,
	}
	if r.State != mq.AnyState && r.ArchivedAt.IsZero() {
		m.State = r.State.String()
	}
	return m
}

func lineOfDelivery(d *mq.Delivery) messageLine {
	queue := d.Queue().Name()
	return messageLine{
		Queue: queue, ID: d.ID, Receipt: receiptText(queue, d.Receipt), ReadCount: d.ReadCount, EnqueuedAt: d.EnqueuedAt,
		VisibleAt: d.VisibleAt, Group: d.Group, Headers: d.Headers, body: d.Body,
	}
}

// marshal returns the message as one line. A body that is JSON stands under
// "body" as it is, byte for byte; json.RawMessage would be compacted. What
// cannot stand in a line so is under "body_base64".
func (m messageLine) marshal() ([]byte, error) {
	line, err := marshalLine(struct {
		messageLine
		Base64 *[]byte `json:"body_base64,omitempty"`
	}{m, m.base64()})
	if err != nil || !embeddable(m.body) {
		return line, err
	}
	line = append(bytes.TrimSuffix(line, []byte("}\n")), `,"body":`...)
	return append(append(line, m.body...), '}', '\n'), nil
}

// base64 returns the body if it is to be encoded.
func (m messageLine) base64() *[]byte {
	if embeddable(m.body) {
		return nil
	}
	body := m.body
	if body == nil {
		body = []byte{}
	}
	return &body
}

// embeddable reports whether body can stand in a line of JSON as it is. Spaces
// around it would be lost to a parser of the line.
func embeddable(body []byte) bool {
	return json.Valid(body) && len(bytes.TrimSpace(body)) == len(body) && utf8.Valid(body) && !bytes.ContainsFunc(body, unicode.IsControl)
}

// maxCell is how many characters of a body or a header fit into a table.
const maxCell = 80

// bodyCell shows the beginning of a body.
func bodyCell(body []byte) string {
	const most = maxCell * utf8.UTFMax
	text := string(body[:min(len(body), most)])
	if utf8.Valid(body) {
		text = strings.ToValidUTF8(text, "") // cut within a character
	}
	return shorten(text)
}

// shorten cuts a text to what fits into a table.
func shorten(text string) string {
	n := 0
	for i := range text {
		if n++; n > maxCell {
			return text[:i] + "..."
		}
	}
	return text
}

// timeCell shows how long ago a time was, or how soon it is; with -o wide the time.
func (a *app) timeCell(t time.Time) string {
	switch ago := time.Since(t); {
	case t.IsZero() || a.wide():
		return stamp(t)
	case ago <= -500*time.Millisecond:
		return "in " + age(-ago)
	default:
		return age(max(ago, 0))
	}
}

// stamp shows a time to the second, in UTC.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

// age shows a duration in the largest unit of which there are two or more.
func age(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0fm", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0fh", d.Hours())
	}
	return fmt.Sprintf("%.0fd", d.Hours()/24)
}

// count shows a figure that may be unknown.
func count(n int64) string {
	if n < 0 {
		return "-"
	}
	return strconv.FormatInt(n, 10)
}

// orDash shows that a cell is empty.
func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

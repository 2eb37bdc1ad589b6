package work

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/chaos/judge"
	"github.com/portmq/mq/internal/chaos/ledger"
	"github.com/portmq/mq/mqcron"
)

// payload is the body of a message of the run. Its key says all else.
type payload struct {
	Key     string `json:"k"`
	Group   string `json:"g,omitempty"`
	Seq     int    `json:"n,omitempty"`
	Length  int    `json:"l,omitempty"`
	Padding string `json:"p,omitempty"`
}

// padding is a text that only this key has.
func padding(key string, n int) string {
	return strings.Repeat(key+" ", n/(len(key)+1)+1)[:n]
}

func (p payload) message() *mq.Message {
	p.Padding = padding(p.Key, p.Length)
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // it is strings and numbers
	}
	return &mq.Message{Body: body, Group: p.Group}
}

// identify returns the record of a message, and what is wrong with it.
func identify(queue string, m *mq.Message) (r ledger.Record, wrong string) {
	r.Queue = queue
	if due := m.Headers[mqcron.HeaderDue]; due != "" {
		at, err := time.Parse(time.RFC3339, due)
		if err != nil {
			return r, "the time of an occurrence: " + due
		}
		r.Key = m.Headers[mqcron.HeaderName] + "@" + due
		r.Group, r.Seq = judge.ScheduleGroup+m.Headers[mqcron.HeaderName], int(at.Unix())
		return r, ""
	}
	var p payload
	if err := json.Unmarshal(m.Body, &p); err != nil || p.Key == "" {
		return r, fmt.Sprintf("%d bytes that are not of the run", len(m.Body))
	}
	r.Key, r.Group, r.Seq = p.Key, p.Group, p.Seq
	switch {
	case p.Padding != padding(p.Key, p.Length):
		wrong = fmt.Sprintf("%d bytes of padding, want %d of another text", len(p.Padding), p.Length)
	case m.Group != p.Group:
		wrong = "group " + m.Group
	}
	return r, wrong
}

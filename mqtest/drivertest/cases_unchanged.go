package drivertest

import (
	"fmt"
	"strings"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

// What nobody asked for does not happen to a message.
var unchangedCases = []testCase{
	{name: "redrive/unchanged", rule: "an archive and a redrive keep body, headers and group as they are (rules 5 and 6)", needs: canRedrive, run: redriveUnchanged},
	{name: "move/unchanged", rule: "a move keeps body, headers and group as they are (rule 6)", needs: moves, run: moveUnchanged},
}

// odd are messages that a provider may be tempted to tidy up.
func (t *tester) odd() (msgs []*mq.Message) {
	for i, body := range []string{
		`{"b": 1.50, "a": 123456789012345678901234567890, "b": 2}`, `"text"`, `3`, `true`, `null`, `[]`, `{}`, ` {"spaced" : 1 } `,
		"", "plain text", "\xff\xfe\x00", `{"nul":"\u0000"}`, "日本語 🐘",
	} {
		m := &mq.Message{Body: []byte(body)}
		if t.caps.Headers {
			m.Headers = mq.Headers{
				"n": fmt.Sprint(i), "empty": "", "UPPER": "1", "upper": "2", "a.b.c": `{"a":[1,null]}`, "with space": " s ",
				"日本": "\u202e", "content-type": "application/json", "quo\"te": "\\n\r\n", "long": strings.Repeat("0123456789", 400),
			}
		}
		if t.caps.Groups && i%2 == 0 {
			m.Group = fmt.Sprintf("group %d", i)
		}
		msgs = append(msgs, m)
	}
	return msgs
}

func redriveUnchanged(t *tester) {
	q := t.queue()
	for _, m := range t.odd() {
		old := t.archive(q, m, "")
		if n, err := q.Redrive(t.ctx, mq.RedriveOptions{}); n != 1 || err != nil {
			t.Fatalf("Redrive returned %d, %v", n, err)
		}
		t.intact(t.one(q), m, mq.Headers{driver.HeaderOrigin: q.Name() + "/" + old.ID})
	}
}

func moveUnchanged(t *tester) {
	from, to := t.queue(), t.queue()
	for _, m := range t.odd() {
		id := t.post(from, m)[0]
		t.ok(t.one(from).Move(t.ctx, to.Name(), "moved"), "move")
		t.intact(t.one(to), m, mq.Headers{driver.HeaderOrigin: from.Name() + "/" + id, driver.HeaderReason: "moved"})
	}
}

// intact checks that d is m, except for extra headers.
func (t *tester) intact(d *mq.Delivery, m *mq.Message, extra mq.Headers) {
	t.Helper()
	t.sameBody(d.Body, m.Body)
	if d.Group != m.Group {
		t.Errorf("the group is %q, want %q", d.Group, m.Group)
	}
	if t.caps.Headers {
		t.sameHeaders(d.Headers, m.Headers, extra)
	}
	t.ok(d.Ack(t.ctx), "ack")
}

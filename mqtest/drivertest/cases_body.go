package drivertest

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

var bodyCases = []testCase{
	{name: "body/empty", rule: "Message.Body: nil and empty are the same", run: bodyEmpty},
	{name: "body/json", rule: "JSON bodies round-trip, exactly under Caps.ExactBodies (rule 8)", run: bodyTable(jsonBodies)},
	{name: "body/not-json", rule: "bodies that are not JSON round-trip exactly (rule 8)", run: bodyTable(otherBodies)},
	{name: "body/bytes", rule: "any bytes round-trip exactly (rule 8)", run: bodyBytes},
	{name: "body/sizes", rule: "bodies of any size up to 1 MiB, or Caps.MaxBody, round-trip (rule 8)", run: bodySizes},
	{name: "body/limit", rule: "Caps.MaxBody: a body of that size works, and one byte more is ErrTooLarge", needs: bodyLimit, run: bodyLimits, serial: true},
	{name: "body/big-batch", rule: "a batch of 4 MiB is stored whole", run: bodyBigBatch},
}

var jsonBodies = []string{
	`null`, `true`, `0`, `-1`, `"text"`, `""`, `{}`, `[]`, `{"id":1}`,
	`{"b":1,"a":[1,2,{"c":null}]}`,
	"{ \"spaced\" :\t1 ,\n \"more\": [ ] }",
	`{"big":12345678901234567890,"small":1e-9,"exp":1E2,"frac":1.50,"neg":-0.0}`,
	`{"int64":9223372036854775807,"float":3.141592653589793}`,
	`{"unicode":"日本語 🐘","escaped":"\u65e5\u672c","quote":"\"\\\/"}`,
	`{"nul":"\u0000"}`,        // no jsonb of PostgreSQL
	`{"surrogate":"\ud800"}`,  // half a character: neither
	`{"twice":1,"twice":2}`,   // one key twice
	`{"":"empty key"}`,        // an empty key
	`{"$b64":"AAAA","mq":{}}`, // looks like an envelope
	"{\"separators\":\"\u2028\u2029\"}",
	strings.Repeat("[", 200) + strings.Repeat("]", 200),
	`{"nested":` + strings.Repeat(`{"a":`, 50) + `1` + strings.Repeat(`}`, 50) + `}`,
}

var otherBodies = []string{
	" ", "\n", "plain text", "{", `{"cut":`, `{'single':1}`, `{"a":1}x`, `{"a":1}{"b":2}`, "NaN", "Infinity", "01", "+1", ".5",
	"\ufeff{}", "it's", `"`, `\`, `\x00`, "a;drop table q;--", "$1 %s {{.}}", "日本語", "🐘", "\u202ertl", "a\tb\r\nc", "undefined", "nil",
	"<xml attr='1'/>", "base64==", "0x10", "True", strings.Repeat("long ", 1000),
}

// bodyTable returns a case that sends bodies and compares what comes.
func bodyTable(texts []string) func(t *tester) {
	return func(t *tester) {
		all := make([][]byte, len(texts))
		for i := range texts {
			all[i] = []byte(texts[i])
		}
		t.roundTripAll(all)
	}
}

// roundTripAll sends bodies and compares what comes.
func (t *tester) roundTripAll(all [][]byte) {
	t.Helper()
	q := t.queue()
	sent := make(map[string][]byte)
	for _, body := range all {
		if limit := t.caps.MaxBody; limit > 0 && len(body) > limit {
			continue
		}
		sent[t.post(q, &mq.Message{Body: body})[0]] = body
	}
	for _, d := range t.receive(q, len(sent)) {
		want, ok := sent[d.ID]
		if !ok {
			t.Errorf("received id %q, which was not sent, or twice", d.ID)
		}
		t.sameBody(d.Body, want)
		delete(sent, d.ID)
	}
}

func bodyEmpty(t *tester) {
	q := t.queue()
	t.post(q, &mq.Message{}, &mq.Message{Body: []byte{}})
	for _, d := range t.receive(q, 2) {
		if len(d.Body) != 0 {
			t.Errorf("an empty body came as %q", d.Body)
		}
	}
}

func bodyBytes(t *tester) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	t.roundTripAll([][]byte{
		{0},
		{0, 0},
		{0xff},
		{0xfe, 0xff},
		{0xc3},
		{0xe2, 0x82},
		{0xed, 0xa0, 0x80},
		every,
		[]byte("{\"a\":\"\xff\"}"), []byte("\x00{}"), []byte("{}\x00"), []byte("\"\x80\""),
		bytes.Repeat([]byte{0}, 1000),
	})
}

func bodySizes(t *tester) {
	var all [][]byte
	for _, size := range []int{1, 2, 100, 1 << 10, 8 << 10, 64 << 10, 1<<18 - 1, 1 << 20} {
		json := bytes.Repeat([]byte("a"), size)
		json[0], json[size-1] = '"', '"'
		all = append(all, randomBytes(size), json)
	}
	t.roundTripAll(all)
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

func bodyLimits(t *tester) {
	q := t.queue()
	t.bear(q, t.caps.MaxBody)
	big := bytes.Repeat([]byte("x"), t.caps.MaxBody+1)
	_, err := q.SendAll(t.ctx, []*mq.Message{{Body: []byte("small")}, {Body: big}})
	t.is(err, "Send of MaxBody + 1 bytes", mq.ErrTooLarge)
	t.is(err, "Send of MaxBody + 1 bytes", mq.ErrInvalid)
	t.none(q, "the batch was refused")
	t.post(q, &mq.Message{Body: big[1:]})
	t.sameBody(t.one(q).Body, big[1:])
}

// bear makes the case patient enough for a message of n bytes, by the time that
// one of a MiB takes here and now.
func (t *tester) bear(q *mq.Queue, n int) {
	t.Helper()
	const probe, margin = 1 << 20, 20
	if n <= probe {
		return
	}
	took := timed(func() { t.roundTrip(q, strings.Repeat("x", probe)) })
	d := time.Duration(margin*n/probe) * took.length()
	t.patience = max(t.patience, min(d, t.long/2))
	t.limit.most = max(t.limit.most, d)
	t.alive()
}

func bodyBigBatch(t *tester) {
	q := t.queue()
	size := 64 << 10
	if limit := t.caps.MaxBody; limit > 0 {
		size = min(size, limit)
	}
	msgs := make([]*mq.Message, 64)
	for i := range msgs {
		msgs[i] = &mq.Message{Body: bytes.Repeat([]byte{'a' + byte(i%26)}, size)}
	}
	ids := t.post(q, msgs...)
	got := t.receive(q, len(msgs))
	t.sameSet(got, ids, msgs)
	if t.caps.Order != driver.Unordered && got[0].ID != ids[0] {
		t.Error("the first message did not come first")
	}
}

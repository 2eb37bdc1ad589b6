package drivertest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"reflect"
	"strings"
	"time"

	"github.com/portmq/mq"
)

// sameMessage checks that what came is what was sent.
func (t *tester) sameMessage(got mq.Message, want *mq.Message) {
	t.Helper()
	t.sameBody(got.Body, want.Body)
	if len(got.Headers)+len(want.Headers) > 0 && !maps.Equal(got.Headers, want.Headers) {
		t.Errorf("headers came as %q, sent as %q", got.Headers, want.Headers)
	}
	if got.Group != want.Group {
		t.Errorf("group came as %q, sent as %q", got.Group, want.Group)
	}
	if got.Delay != 0 {
		t.Errorf("Delay of a delivery is %v, want 0", got.Delay)
	}
	if got.HeadStart != 0 {
		t.Errorf("HeadStart of a delivery is %v, want 0", got.HeadStart)
	}
}

func (t *tester) sameBody(got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) || !t.caps.ExactBodies && sameJSON(got, want) {
		return
	}
	t.Errorf("body came as %.200q (%d bytes), sent as %.200q (%d bytes)", got, len(got), want, len(want))
}

// sameJSON reports whether a and b are one value, whatever the spacing, the
// order of keys and the spelling of numbers.
func sameJSON(a, b []byte) bool {
	x, okA := parseJSON(a)
	y, okB := parseJSON(b)
	return okA && okB && reflect.DeepEqual(x, y)
}

func parseJSON(data []byte) (v any, ok bool) {
	if !json.Valid(data) {
		return nil, false
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if dec.Decode(&v) != nil {
		return nil, false
	}
	return normal(v), true
}

// normal gives each number one spelling.
func normal(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = normal(v[k])
		}
	case []any:
		for i := range v {
			v[i] = normal(v[i])
		}
	case json.Number:
		if r, ok := new(big.Rat).SetString(v.String()); ok {
			return json.Number(r.RatString())
		}
	}
	return v
}

// sameHeaders checks the headers of a message that mq or the provider has
// written some to: want, those in extra, and no others.
func (t *tester) sameHeaders(got, want, extra mq.Headers) {
	t.Helper()
	all := maps.Clone(extra)
	maps.Copy(all, want)
	if !maps.Equal(got, all) {
		t.Errorf("headers are %q, want %q", got, all)
	}
}

// reads checks a read count.
func (t *tester) reads(got, want int) {
	t.Helper()
	if wrong := t.wrongReads(got, want); wrong != "" {
		t.Error(wrong)
	}
}

// wrongReads says what is wrong with a read count, or "".
func (t *tester) wrongReads(got, want int) string {
	switch {
	case t.caps.ExactReadCount && got != want:
		return fmt.Sprintf("read count is %d, want %d", got, want)
	case got < 0: // else it is an estimate
		return fmt.Sprintf("read count is %d", got)
	}
	return ""
}

// bodies returns the bodies of deliveries.
func bodies(ds []*mq.Delivery) []string {
	out := make([]string, len(ds))
	for i, d := range ds {
		out[i] = string(d.Body)
	}
	return out
}

func idsOf(ds []*mq.Delivery) []string {
	out := make([]string, len(ds))
	for i, d := range ds {
		out[i] = d.ID
	}
	return out
}

func receiptsOf(ds []*mq.Delivery) []mq.Receipt {
	out := make([]mq.Receipt, len(ds))
	for i, d := range ds {
		out[i] = d.Receipt
	}
	return out
}

// each makes one settlement of each delivery.
func each(ds []*mq.Delivery, s mq.Settlement) []mq.Settlement {
	out := make([]mq.Settlement, len(ds))
	for i, d := range ds {
		out[i] = s
		out[i].Receipt = d.Receipt
	}
	return out
}

// counts are the figures that Stats must show.
type counts struct{ visible, leased, delayed, blocked, archived int64 }

// counted checks the figures of a queue as far as the provider can tell them,
// and waits for them if it does not promise exact ones.
func (t *tester) counted(q *mq.Queue, want counts) {
	t.Helper()
	if !t.caps.ExactStats {
		t.eventually("Stats with the right figures", func() bool { return t.wrong(q, want) == "" })
		return
	}
	if wrong := t.wrong(q, want); wrong != "" {
		t.Errorf("Stats: %s", wrong)
	}
}

// wrong says what is wrong with the figures of a queue, or "".
func (t *tester) wrong(q *mq.Queue, want counts) string {
	t.Helper()
	s, err := q.Stats(t.ctx)
	t.ok(err, "Stats")
	if s.Approximate && !t.caps.ExactStats {
		return ""
	}
	var wrong []string
	for _, figure := range []struct {
		name      string
		got, want int64
	}{
		{"Visible", s.Visible, want.visible},
		{"Leased", s.Leased, want.leased},
		{"Delayed", s.Delayed, want.delayed},
		{"Blocked", s.Blocked, want.blocked},
		{"Total", s.Total, want.visible + want.leased + want.delayed + want.blocked},
		{"Archived", s.Archived, want.archived},
	} {
		if figure.got != figure.want && (figure.got != -1 || t.caps.ExactStats) {
			wrong = append(wrong, fmt.Sprintf("%s is %d, want %d", figure.name, figure.got, figure.want))
		}
	}
	if s.Approximate {
		wrong = append(wrong, "Approximate under Caps.ExactStats")
	}
	return strings.Join(wrong, ", ")
}

// near checks that a time of the backend is now, give or take the difference
// of two clocks.
func (t *tester) near(got time.Time, what string) {
	t.Helper()
	const skew = 5 * time.Minute
	if off := time.Since(got); off.Abs() > skew {
		t.Errorf("%s is %v, which is %v off", what, got, off)
	}
}

// archived returns the whole archive of a queue.
func (t *tester) archived(q *mq.Queue) []mq.Record {
	t.Helper()
	return t.browse(q.Archived, t.caps.BatchLimit())
}

// peek returns all messages of a queue.
func (t *tester) peek(q *mq.Queue) []mq.Record {
	t.Helper()
	return t.browse(q.Peek, t.caps.BatchLimit())
}

// browse reads page after page.
func (t *tester) browse(page func(context.Context, mq.BrowseOptions) ([]mq.Record, error), limit int) []mq.Record {
	t.Helper()
	var records []mq.Record
	o := mq.BrowseOptions{Limit: limit}
	for {
		rs, err := page(t.ctx, o)
		t.ok(err, "browse after %q", o.After)
		if len(rs) > limit {
			t.Fatalf("a page of %d records, the limit is %d", len(rs), limit)
		}
		if len(rs) == 0 {
			return records
		}
		if records = append(records, rs...); len(records) > 10_000 {
			t.Fatalf("the pages do not end: After %q has no effect", o.After)
		}
		o.After = rs[len(rs)-1].ID
	}
}

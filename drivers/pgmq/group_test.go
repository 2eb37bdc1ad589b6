package pgmq

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

func TestGroupKey(t *testing.T) {
	for _, tt := range []struct {
		path []string
		want string
	}{
		{nil, `(headers ->> 'x-pgmq-group'::text) COLLATE "C"`},
		{[]string{}, `(message #>> E'{}'::text[]) COLLATE "C"`},
		{[]string{"a"}, `(message #>> E'{"a"}'::text[]) COLLATE "C"`},
		{[]string{"a", "-1", ""}, `(message #>> E'{"a","-1",""}'::text[]) COLLATE "C"`},
		{[]string{`it's`}, `(message #>> E'{"it''s"}'::text[]) COLLATE "C"`},
		{[]string{`"a"`}, `(message #>> E'{"\\"a\\""}'::text[]) COLLATE "C"`},
		{[]string{`a\b`}, `(message #>> E'{"a\\\\b"}'::text[]) COLLATE "C"`},
		{[]string{"a,b", "{c}", "NULL"}, `(message #>> E'{"a,b","{c}","NULL"}'::text[]) COLLATE "C"`},
		{[]string{"ключ", " "}, `(message #>> E'{"ключ"," "}'::text[]) COLLATE "C"`},
	} {
		if got := groupKey(driver.GroupBy{Path: tt.path}); got != tt.want {
			t.Errorf("the key of %q is %s, want %s", tt.path, got, tt.want)
		}
	}
}

// TestGroupIndexNames: a name that changes orphans the indexes there are.
func TestGroupIndexNames(t *testing.T) {
	seen := make(map[string]bool)
	for _, tt := range []struct {
		queue        string
		by           driver.GroupBy
		group, lease string
	}{
		{"jobs", driver.GroupBy{}, "mq_group_d78e4d1e48304e5e", "mq_lease_cfa453922ed99452"},
		{"jobs", driver.GroupBy{Path: []string{"customer", "id"}}, "mq_group_9bd4ca292a0342da", "mq_lease_23ead670654e7881"},
		{strings.Repeat("n", maxName), driver.GroupBy{}, "mq_group_5d4bf9cd74c0869a", "mq_lease_c485ad5e3b694467"},
		{"jobs", driver.GroupBy{Limit: 4}, "mq_group_d78e4d1e48304e5e", "mq_due_d78e4d1e48304e5e"},
		{"jobs", driver.GroupBy{Header: "tenant", Limit: 2}, "mq_group_02dd96ae213ba6bc", "mq_due_02dd96ae213ba6bc"},
	} {
		group, lease := groupIndexes(tt.queue, tt.by)
		if group != tt.group || lease != tt.lease || seen[lease] {
			t.Errorf("queue %q by %v has indexes %s and %s, want %s and %s", tt.queue, tt.by, group, lease, tt.group, tt.lease)
		}
		seen[lease] = true
	}
}

// TestReceiveHeadsWindow: how far a search for free groups goes, and from
// where: where the last one ended, unless that failed, and so on too when the
// queue was looked up again.
func TestReceiveHeadsWindow(t *testing.T) {
	l := layout113.indexed(driver.GroupBy{})
	g := groupingOf(l, driver.GroupBy{})
	var args values
	var next string
	var fails error
	p := (&fake{answer: func(_ context.Context, text string, got values) ([]values, error) {
		switch text {
		case sqlShape:
			return []values{l.row()}, nil
		case g.choose:
			args = got
			return []values{{int64(2), next}}, nil
		case g.claim:
			return []values{leased(1, "g")}, fails
		}
		return nil, nil
	}}).open(t)
	for i, tt := range []struct {
		max  int
		to   string
		fail error
		want values
	}{
		{10, "k", nil, values{int64(10), int64(200), int64(300), ""}},
		{10, "m", pgxError("40P01", "ERROR", ""), values{int64(10), int64(200), int64(300), "k"}},
		{100, `n'"`, nil, values{int64(48), int64(200), int64(300), "k"}},
		{1, "", nil, values{int64(1), int64(200), int64(300), `n'"`}},
		{1, "", nil, values{int64(1), int64(200), int64(300), ""}},
	} {
		if i == 3 {
			p.queues.Clear()
		}
		next, fails = tt.to, tt.fail
		_, err := p.ReceiveHeads(t.Context(), "jobs", driver.GroupRequest{ReceiveRequest: driver.ReceiveRequest{Max: tt.max}})
		if (err != nil) != (tt.fail != nil) || !reflect.DeepEqual(args, tt.want) {
			t.Errorf("search %d is given %v, want %v: %v", i, args, tt.want, err)
		}
	}
}

// TestReceiveHeadsLap: a call that claims nothing goes on, with more steps, until
// it has been at all groups.
func TestReceiveHeadsLap(t *testing.T) {
	l := layout113.indexed(driver.GroupBy{})
	g := groupingOf(l, driver.GroupBy{})
	for _, tt := range []struct {
		name  string
		ends  []string // of the walks
		found bool     // at the last
		want  []any    // where they begin, and their steps
	}{
		{"all groups", []string{"p", "t", "", "k", "n"}, false, []any{"m", 300, "p", 5000, "t", 5000, "", 5000, "k", 5000}},
		{"all groups, exactly", []string{"", "m"}, false, []any{"m", 300, "", 5000}},
		{"to the end twice", []string{"", ""}, false, []any{"m", 300, "", 5000}},
		{"found at once", []string{"p"}, true, []any{"m", 300}},
		{"found on the way", []string{"p", "q"}, true, []any{"m", 300, "p", 5000}},
	} {
		r := newRig(t, call{answers: answers{sqlShape: {l.row()}}})
		known, err := r.grouping(t.Context(), "jobs", driver.GroupBy{})
		r.must(err)
		known.cursor.set("m")
		r.ran = nil
		for i, end := range tt.ends {
			r.answers(g.choose, values{int64(2), end})
			if tt.found && i == len(tt.ends)-1 {
				r.answers(g.claim, leased(1, "g"))
			} else {
				r.answers(g.claim)
			}
		}
		_, err = r.claimGroups(t.Context(), known, driver.GroupRequest{ReceiveRequest: driver.ReceiveRequest{Max: 1000}}, unmeasured, time.Now().Add(time.Hour))
		r.must(err)
		var got []any
		for _, e := range r.ran {
			if e.text == g.choose {
				got = append(got, e.args[3], int(e.args[2].(int64)))
			}
		}
		if !reflect.DeepEqual(got, tt.want) || known.cursor.get() != tt.ends[len(tt.ends)-1] {
			t.Errorf("%s: it walks from %v, want %v, and goes on at %q", tt.name, got, tt.want, known.cursor.get())
		}
	}
}

// TestGroupsRefused is what fails without a statement on the queue.
func TestGroupsRefused(t *testing.T) {
	path := driver.GroupBy{Path: []string{"a"}}
	for _, tt := range []struct {
		name    string
		l       layout
		cfg     Config
		by      driver.GroupBy
		holding []driver.Receipt
		want    error
	}{
		{"1.4", layout14, Config{}, driver.GroupBy{}, nil, driver.ErrNotSupported},
		{"exact bodies", layout113, Config{ExactBodies: true}, path, nil, driver.ErrNotSupported},
		{"NUL", layout113, Config{}, driver.GroupBy{Path: []string{"a", "b\x00"}}, nil, driver.ErrInvalid},
		{"receipt", layout113, Config{}, path, []driver.Receipt{lease(1), "x"}, driver.ErrInvalidReceipt},
		{"receipt of another queue", layout113, Config{}, path, []driver.Receipt{Unfenced("other", "1")}, driver.ErrInvalidReceipt},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := (&fake{answer: func(_ context.Context, text string, _ values) ([]values, error) {
				if text == sqlShape {
					return []values{tt.l.row()}, nil
				}
				return nil, nil
			}}).open(t)
			p.cfg.ExactBodies = tt.cfg.ExactBodies
			requireErr(t, second(p.ReceiveGroup(t.Context(), "jobs", driver.GroupDrainRequest{By: tt.by, Holding: tt.holding})), tt.want)
			if tt.holding != nil {
				return
			}
			requireErr(t, second(p.ReceiveHeads(t.Context(), "jobs", driver.GroupRequest{By: tt.by})), tt.want)
			requireErr(t, p.EnsureQueue(t.Context(), "jobs", indexesBy(tt.by)), tt.want)
		})
	}
}

// TestGroupingKept: the statements of a grouping are made once, until the
// queue is another.
func TestGroupingKept(t *testing.T) {
	r := newRig(t, call{})
	r.answers(sqlShape, layout113.row())
	r.answers(sqlShape, layout113.indexed(driver.GroupBy{}).row())
	grouping := func() *grouping {
		g, err := r.grouping(t.Context(), "jobs", driver.GroupBy{})
		r.must(err)
		return g
	}
	first := grouping()
	if grouping() != first {
		t.Error("a grouping is made again")
	}
	r.queues.Delete("jobs")
	if g := grouping(); g == first || !g.indexed || g.cursor != first.cursor {
		t.Errorf("an index that has come is not made use of, or the cursor is lost: %+v", g)
	}
}

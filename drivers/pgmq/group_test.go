package pgmq

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"reflect"
	"strings"
	"testing"

	"github.com/portmq/mq/driver"
)

func TestGroupKey(t *testing.T) {
	for _, tt := range []struct {
		path []string
		want string
	}{
		{nil, `(headers ->> 'x-pgmq-group') COLLATE "C"`},
		{[]string{}, `(message #>> E'{}') COLLATE "C"`},
		{[]string{"a"}, `(message #>> E'{"a"}') COLLATE "C"`},
		{[]string{"a", "-1", ""}, `(message #>> E'{"a","-1",""}') COLLATE "C"`},
		{[]string{`it's`}, `(message #>> E'{"it''s"}') COLLATE "C"`},
		{[]string{`"a"`}, `(message #>> E'{"\\"a\\""}') COLLATE "C"`},
		{[]string{`a\b`}, `(message #>> E'{"a\\\\b"}') COLLATE "C"`},
		{[]string{"a,b", "{c}", "NULL"}, `(message #>> E'{"a,b","{c}","NULL"}') COLLATE "C"`},
		{[]string{"ключ", " "}, `(message #>> E'{"ключ"," "}') COLLATE "C"`},
	} {
		if got := groupKey(driver.GroupBy{Path: tt.path}); got != tt.want {
			t.Errorf("the key of %q is %s, want %s", tt.path, got, tt.want)
		}
	}
}

// TestGroupIndexNames: a name that changes orphans the indexes there are.
func TestGroupIndexNames(t *testing.T) {
	seen := make(map[string]bool)
	for _, tt := range []struct{ queue, key, group, lease string }{
		{"jobs", groupKey(driver.GroupBy{}), "mq_group_d78e4d1e48304e5e", "mq_lease_d78e4d1e48304e5e"},
		{"jobs", groupKey(driver.GroupBy{Path: []string{"customer", "id"}}), "mq_group_9bd4ca292a0342da", "mq_lease_9bd4ca292a0342da"},
		{strings.Repeat("n", maxName), groupKey(driver.GroupBy{}), "mq_group_5d4bf9cd74c0869a", "mq_lease_5d4bf9cd74c0869a"},
	} {
		group, lease := groupIndexes(tt.queue, tt.key)
		if group != tt.group || lease != tt.lease || seen[group] {
			t.Errorf("queue %q by %s has indexes %s and %s, want %s and %s", tt.queue, tt.key, group, lease, tt.group, tt.lease)
		}
		seen[group] = true
	}
}

func TestReceiveGroups(t *testing.T) {
	byPath := driver.GroupBy{Path: []string{"customer"}}
	for _, tt := range []struct {
		name string
		l    layout
		by   driver.GroupBy
		max  int
		args values
	}{
		{"plain", layout113, driver.GroupBy{}, 10, values{10}},
		{"plain by path, 1.4", layout14, byPath, 10, values{10}},
		{"indexed", layout113.indexed(driver.GroupBy{}), driver.GroupBy{}, 10, values{10, 200, 300, ""}},
		{"indexed, many", layout14.indexed(byPath), byPath, 100, values{100, 400, 300, ""}},
		{"indexed for another grouping", layout113.indexed(byPath), driver.GroupBy{}, 10, values{10}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mocked(t, func(t *testing.T, m *mock) {
				m.known("jobs", tt.l)
				g := groupingOf(tt.l, tt.by)
				if g.indexed != strings.HasPrefix(g.choose, "WITH RECURSIVE") || g.indexed != (len(tt.args) > 1) {
					t.Errorf("indexed is %v: %s", g.indexed, g.choose)
				}
				m.ExpectBegin()
				m.answers(g.choose, tt.args, values{[]byte(`["a","b"]`), "b"})
				m.answers(g.claim, values{tt.max, 60_000_000}, leased(9, "b"), leased(4, nil), leased(8, "a"))
				m.ExpectCommit()
				r := driver.GroupRequest{ReceiveRequest: oneMinute, By: tt.by}
				r.Max = tt.max
				ds, err := m.ReceiveGroups(t.Context(), "jobs", r)
				m.must(err)
				var got []string
				for _, d := range ds {
					got = append(got, d.ID+d.GroupKey)
				}
				if !reflect.DeepEqual(got, []string{"4", "8a", "9b"}) {
					t.Errorf("it receives %q", got)
				}
			})
		})
	}
}

// TestReceiveGroupsCursor: the walk goes on where the last one ended, unless
// that failed, and goes on too when the queue was looked up again.
func TestReceiveGroupsCursor(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		l := layout113.indexed(driver.GroupBy{})
		g := groupingOf(l, driver.GroupBy{})
		m.known("jobs", l)
		receive := func(from, to string, fail error) {
			t.Helper()
			m.ExpectBegin()
			m.answers(g.choose, values{10, 200, 300, from}, values{"[]", to})
			if fail == nil {
				m.answers(g.claim, values{10, 60_000_000})
				m.ExpectCommit()
			} else {
				m.fails(g.claim, values{10, 60_000_000}, fail)
				m.ExpectRollback()
			}
			_, err := m.ReceiveGroups(t.Context(), "jobs", driver.GroupRequest{ReceiveRequest: oneMinute})
			if (err != nil) != (fail != nil) {
				t.Fatalf("error is %v: %s", err, chain(err))
			}
		}
		receive("", "k", nil)
		receive("k", "m", pgxError("40P01", "ERROR", ""))
		receive("k", `n'"`, nil)
		m.queues.Delete("jobs")
		m.shape("jobs", l)
		receive(`n'"`, "", nil)
		receive("", "", nil)
	})
}

func TestReceiveGroup(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		m.known("jobs", layout113)
		g := groupingOf(layout113, driver.GroupBy{})
		for _, delayed := range []bool{false, true} {
			m.ExpectBegin()
			m.answers(g.lock, values{`g'"`}, values{""})
			m.answers(g.drain, values{10, 60_000_000, `g'"`, "{7,8,9}", "{2,3,NULL}", "{1700000000123456,NULL,NULL}", delayed}, leased(12, `g'"`), leased(11, `g'"`))
			m.ExpectCommit()
			ds, err := m.ReceiveGroup(t.Context(), "jobs", driver.GroupDrainRequest{
				ReceiveRequest: oneMinute, Value: `g'"`, Holding: []driver.Receipt{lease(7), "p1:8:3:-:jobs", Unfenced("jobs", "9")}, IncludeDelayed: delayed,
			})
			m.must(err)
			if len(ds) != 2 || ds[0].ID != "11" || ds[0].GroupKey != `g'"` {
				t.Errorf("it receives %+v", ds)
			}
		}
		m.ExpectBegin()
		m.answers(g.lock, values{""}, values{""})
		m.answers(g.drain, values{10, 60_000_000, "", "{}", "{}", "{}", false})
		m.ExpectCommit()
		ds, err := m.ReceiveGroup(t.Context(), "jobs", driver.GroupDrainRequest{ReceiveRequest: oneMinute})
		if m.must(err); len(ds) != 0 {
			t.Errorf("it receives %+v", ds)
		}
	})
}

// TestReceiveGroupRefuses is what fails without a transaction.
func TestReceiveGroupRefuses(t *testing.T) {
	nul := driver.GroupBy{Path: []string{"a", "b\x00"}}
	for _, tt := range []struct {
		name    string
		l       layout
		cfg     Config
		by      driver.GroupBy
		holding []driver.Receipt
		want    error
	}{
		{"1.4", layout14, Config{}, driver.GroupBy{}, nil, driver.ErrNotSupported},
		{"exact bodies", layout113, Config{ExactBodies: true}, driver.GroupBy{Path: []string{"a"}}, nil, driver.ErrNotSupported},
		{"NUL", layout113, Config{}, nul, nil, driver.ErrInvalid},
		{"receipt", layout113, Config{}, driver.GroupBy{}, []driver.Receipt{lease(1), "x"}, driver.ErrInvalidReceipt},
		{"receipt of another queue", layout113, Config{}, driver.GroupBy{}, []driver.Receipt{Unfenced("other", "1")}, driver.ErrInvalidReceipt},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mockedWith(t, tt.cfg, func(t *testing.T, m *mock) {
				m.known("jobs", tt.l)
				_, err := m.ReceiveGroup(t.Context(), "jobs", driver.GroupDrainRequest{ReceiveRequest: oneMinute, By: tt.by, Holding: tt.holding})
				requireErr(t, err, tt.want)
				if tt.holding == nil {
					_, err = m.ReceiveGroups(t.Context(), "jobs", driver.GroupRequest{ReceiveRequest: oneMinute, By: tt.by})
					requireErr(t, err, tt.want)
				}
			})
		})
	}
}

// TestGroupingKept: the statements of a grouping are made once, until the
// queue is another.
func TestGroupingKept(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		m.known("jobs", layout113)
		grouping := func() *grouping {
			g, err := m.grouping(t.Context(), "jobs", driver.GroupBy{})
			m.must(err)
			return g
		}
		first := grouping()
		if grouping() != first {
			t.Error("a grouping is made again")
		}
		m.queues.Delete("jobs")
		m.known("jobs", layout113.indexed(driver.GroupBy{}))
		if g := grouping(); g == first || !g.indexed || g.cursor != first.cursor {
			t.Errorf("an index that has come is not made use of, or the cursor is lost: %+v", g)
		}
	})
}

// TestReceiveGroupsIsolation: the second look must see what has been committed
// before it began, whatever the server's default is.
func TestReceiveGroupsIsolation(t *testing.T) {
	var levels []sql.IsolationLevel
	f := &fake{
		isolated: func(o sqldriver.TxOptions) { levels = append(levels, sql.IsolationLevel(o.Isolation)) },
		answer: func(_ context.Context, text string, _ values) ([]values, error) {
			switch {
			case text == sqlShape:
				return []values{layout113.row()}, nil
			case strings.Contains(text, "set_config"):
				return []values{{"[]", ""}}, nil
			}
			return nil, nil
		},
	}
	if _, err := f.open(t).ReceiveGroups(t.Context(), "jobs", driver.GroupRequest{ReceiveRequest: oneMinute}); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(levels, []sql.IsolationLevel{sql.LevelReadCommitted}) {
		t.Errorf("the transactions are %v", levels)
	}
}

func TestReceiveGroupsRowErrors(t *testing.T) {
	for name, row := range map[string]values{"width": {int64(1)}, "type": {int64(1), secret, sentAt, dueAt, nil, nil, "g"}} {
		t.Run(name, func(t *testing.T) {
			mocked(t, func(t *testing.T, m *mock) {
				m.known("jobs", layout113)
				g := groupingOf(layout113, driver.GroupBy{})
				m.ExpectBegin()
				m.answers(g.choose, values{10}, values{"[]", ""})
				m.answers(g.claim, values{10, 60_000_000}, row)
				m.ExpectRollback()
				ds, err := m.ReceiveGroups(t.Context(), "jobs", driver.GroupRequest{ReceiveRequest: oneMinute})
				if err == nil || ds != nil || strings.Contains(err.Error(), secret) {
					t.Errorf("it returns %v, %v", ds, err)
				}
				m.released()
			})
		})
	}
}

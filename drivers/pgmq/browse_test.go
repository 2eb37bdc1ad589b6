package pgmq

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

func TestBrowse(t *testing.T) {
	for _, tt := range []struct {
		name string
		r    driver.BrowseRequest
		text string
		args values
	}{
		{"queue", driver.BrowseRequest{Limit: 3}, jobs.browse, values{math.MinInt64, 3}},
		{"next page", driver.BrowseRequest{Limit: 3, After: "17"}, jobs.browse, values{17, 3}},
		{"archive", driver.BrowseRequest{Limit: 1000, After: "-5", Archive: true}, jobs.browseArchive, values{-5, 1000}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mocked(t, func(t *testing.T, m *mock) {
				m.known("jobs", layout113)
				m.answers(tt.text, tt.args, leased(18, dueAt.Add(time.Hour)), values{int64(19), int64(0), nil, nil, nil, nil, nil})
				records, err := m.Browse(t.Context(), "jobs", tt.r)
				m.must(err)
				want := []driver.Record{
					{
						Message: driver.Message{Body: []byte(`{"a":1}`), Headers: driver.Headers{"k": "v"}, Group: "g"},
						ID:      "18", ReadCount: 2, EnqueuedAt: sentAt, VisibleAt: dueAt, ArchivedAt: dueAt.Add(time.Hour),
					},
					{ID: "19"},
				}
				if !reflect.DeepEqual(records, want) {
					t.Errorf("it shows\n%+v\nwant\n%+v", records, want)
				}
			})
		})
	}
}

func TestBrowseErrors(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		m.known("jobs", layout113)
		for _, id := range []string{"x", "1.5", "9223372036854775808", " 1"} {
			records, err := m.Browse(t.Context(), "jobs", driver.BrowseRequest{After: id, Limit: 1})
			if requireErr(t, err, driver.ErrInvalid); records != nil || !strings.Contains(err.Error(), "is not the ID of a message") {
				t.Errorf("after %q it returns %v, %v", id, records, err)
			}
		}
		m.answers(jobs.browse, values{math.MinInt64, 2}, leased(1, nil), leased(int64(2), secret))
		records, err := m.Browse(t.Context(), "jobs", driver.BrowseRequest{Limit: 2})
		if err == nil || records != nil || strings.Contains(err.Error(), secret) {
			t.Errorf("a row that cannot be read: it returns %v, %v", records, err)
		}
	})
}

func TestRedrive(t *testing.T) {
	old, half := layout14.texts("jobs").redrive, layoutHalf.texts("jobs").redrive
	for _, tt := range []struct {
		name string
		l    layout
		ids  []string
		text string
		args values
		n    int64
	}{
		{"lowest", layout113, nil, jobs.redrive, values{nil, 10, "jobs/"}, 4},
		{"none there", layout113, []string{}, jobs.redrive, values{nil, 10, "jobs/"}, 0},
		{"by id", layout113, []string{"5", "x", "3"}, jobs.redrive, values{"{5,3}", 10, "jobs/"}, 2},
		{"no valid id", layout113, []string{"x"}, jobs.redrive, values{"{}", 10, "jobs/"}, 0},
		{"1.4", layout14, nil, old, values{nil, 10}, 1},
		{"an archive without headers", layoutHalf, nil, half, values{nil, 10}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mocked(t, func(t *testing.T, m *mock) {
				q := m.known("jobs", tt.l)
				w := q.hub.join(false)
				m.answers(tt.text, tt.args, values{tt.n})
				if tt.n > 0 {
					m.notifies("jobs")
				}
				n, err := m.Redrive(t.Context(), "jobs", tt.ids, 10)
				if m.must(err); n != tt.n || len(w.ch) == 1 != (tt.n > 0) {
					t.Errorf("it moves %d messages, want %d, and wakes %d receivers", n, tt.n, len(w.ch))
				}
			})
		})
	}
}

func TestPurgeArchive(t *testing.T) {
	for d, us := range map[time.Duration]int64{0: 0, 1: 1, time.Hour: 3_600_000_000, time.Second + 1: 1_000_001} {
		mocked(t, func(t *testing.T, m *mock) {
			m.known("jobs", layout113)
			m.answers(jobs.purgeArchive, values{us}, values{int64(6)})
			n, err := m.PurgeArchive(t.Context(), "jobs", d)
			if m.must(err); n != 6 {
				t.Errorf("it purges %d, want 6", n)
			}
		})
	}
}

package pgmq

import (
	"reflect"
	"testing"

	"github.com/portmq/mq/driver"
)

func TestParseID(t *testing.T) {
	for _, id := range []string{"", "x", "1.5", "9223372036854775808", " 1"} {
		_, err := parseID(id)
		requireErr(t, err, driver.ErrInvalid)
	}
}

// TestRedriveWhich: no ids are any, and ids that are none are in no archive.
func TestRedriveWhich(t *testing.T) {
	for _, tt := range []struct {
		l    layout
		ids  []string
		want values
	}{
		{layout113, nil, values{nil, int64(10), nil, "jobs/"}},
		{layout113, []string{"5", "x", "3"}, values{"{5,3}", int64(10), nil, "jobs/"}},
		{layout113, []string{"x"}, values{"{}", int64(10), nil, "jobs/"}},
		{layout14, nil, values{nil, int64(10), nil}},
		{layoutHalf, nil, values{nil, int64(10), nil}}, // an archive without headers
	} {
		r := newRig(t, call{answers: answers{sqlShape: {tt.l.row()}}})
		_, err := r.Redrive(t.Context(), "jobs", tt.ids, 10)
		if got := r.ran[len(r.ran)-1]; err != nil || !reflect.DeepEqual(got.args, tt.want) || got.text != tt.l.texts("jobs").redrive {
			t.Errorf("%q: it runs %s with %v, want %v: %v", tt.ids, got.text, got.args, tt.want, err)
		}
	}
}

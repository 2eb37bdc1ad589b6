package pgmq

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/portmq/mq/driver"
)

var jobsRows = statement("rows", layout113.names("jobs"))

func TestRows(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		r.known("jobs")
		r.answers(jobsRows, values{int64(7), "[1.0, null]", "null"}, values{int64(8), nil, nil})
		got, err := r.Rows(r.ctx, "Jobs", "8", "7")
		r.must(err)
		if want := []Row{{"7", []byte("[1.0, null]"), []byte("null")}, {ID: "8"}}; !reflect.DeepEqual(got, want) {
			t.Errorf("rows are %q, want %q", got, want)
		}
		if want := (values{"{8,7}"}); !reflect.DeepEqual(r.ran[0].args, want) {
			t.Errorf("it asks for %v, want %v", r.ran[0].args, want)
		}
		_, err = r.Rows(r.ctx, "jobs", "7", "x")
		requireErr(t, err, driver.ErrInvalid)
		_, err = r.Rows(r.ctx, "", "7")
		requireErr(t, err, driver.ErrInvalid)
	})
}

// TestSendRows: what is stored is what was given, with NULL for nil.
func TestSendRows(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		r.known("jobs")
		r.answers(jobs.insertNotifying, values{int64(1)}, values{int64(2)}, values{int64(3)})
		ids, err := r.SendRows(r.ctx, "JOBS", Row{ID: "7", Message: []byte(`{"a": 1.0}`), Headers: []byte(`["\""]`)}, Row{}, Row{Message: []byte("null")})
		r.must(err)
		if !slices.Equal(ids, []string{"1", "2", "3"}) {
			t.Errorf("ids are %v", ids)
		}
		want := values{nil, `{"{\"a\": 1.0}",NULL,"null"}`, `{"[\"\\\"\"]",NULL,NULL}`, jobsChannel}
		if got := r.ran[0].args; !reflect.DeepEqual(got, want) {
			t.Errorf("it is given %q, want %q", got, want)
		}
		ids, err = r.SendRows(r.ctx, "jobs")
		if ids != nil || err != nil {
			t.Errorf("no rows: %v, %v", ids, err)
		}
	})
}

func TestSendRowsRefuses(t *testing.T) {
	old := &queue{name: "jobs", names: layout14.names("jobs")}
	_, err := insertionOf(old, []Row{{Message: []byte("1")}, {Headers: []byte("{}")}})
	requireErr(t, err, driver.ErrNotSupported)
	if i, err := insertionOf(old, []Row{{Message: []byte("1")}}); err != nil || i.body != `{"1"}` {
		t.Errorf("it is given %v, %v", i.body, err)
	}
	large := []byte(strings.Repeat(" ", maxInsert/8))
	_, err = insertionOf(old, slices.Repeat([]Row{{Message: large}}, 9))
	requireErr(t, err, driver.ErrTooLarge)
}

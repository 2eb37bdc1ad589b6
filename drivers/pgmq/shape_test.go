package pgmq

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

func TestReadShape(t *testing.T) {
	old := []string{"msg_id", "read_ct", "enqueued_at", "vt", "message"}
	for name, tt := range map[string]struct {
		l        layout
		want     shape
		complete bool
	}{
		"1.4":         {layout14, shape{Kept: old}, true},
		"1.5":         {layout15, shape{Headers: true, ArchivedHeaders: true, Kept: append(slices.Clone(old), "headers")}, true},
		"1.10":        {layout113, shape{Headers: true, LastReadAt: true, ArchivedHeaders: true, Kept: archivable, notifies: true}, true},
		"old archive": {layoutHalf, shape{Headers: true, LastReadAt: true, Kept: old}, true},
		"no archive":  {layoutAlone, shape{Headers: true, LastReadAt: true}, false},
		"more columns": {
			layout{queue: "tenant,message,vt,enqueued_at,read_ct,msg_id,x", archive: layout113.archive + ",tenant", indexes: "a,b"},
			shape{ArchivedHeaders: true, Kept: old},
			true,
		},
	} {
		p := (&fake{answer: only(sqlShape, tt.l.row())}).open(t)
		tt.want.indexes, tt.want.UniqueArchive = strings.Split(tt.l.indexes, ","), tt.complete
		if s, complete, err := readShape(t.Context(), p.db, "jobs"); err != nil || !reflect.DeepEqual(s, tt.want) || complete != tt.complete {
			t.Errorf("%s: shape is %+v, %v, want %+v, %v: %v", name, s, complete, tt.want, tt.complete, err)
		}
	}
}

// TestAttach: a queue is looked up once, and again after a while, and each time
// if it is not there.
func TestAttach(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		r.answers(sqlShape, layout14.row())
		first := r.known("jobs")
		time.Sleep(shapeAge - 1)
		if r.known("jobs") != first {
			t.Error("the queue is looked up too early")
		}
		time.Sleep(time.Nanosecond)
		r.answers(sqlShape, layout113.row())
		if second := r.known("jobs"); second == first || !second.names.Headers || second.hub != first.hub {
			t.Error("what has come with an upgrade is not made use of, or the receivers are lost")
		}
		time.Sleep(shapeAge)
		for range 2 {
			r.answers(sqlShape)
			_, err := r.attach(t.Context(), r.db, "jobs")
			requireErr(t, err, driver.ErrQueueNotFound)
		}
		r.answers(sqlShape, layout113.row())
		r.known("jobs")
	})
}

func TestDetach(t *testing.T) {
	p := (&fake{}).open(t)
	for code, forgets := range map[string]bool{"42P01": true, "42703": true, "3F000": true, "0A000": true, "40P01": false, "57P01": false, "": false} {
		for _, err := range []error{pgxError(code, "ERROR", ""), pqError(code, "ERROR", ""), mapError(pqError(code, "ERROR", ""))} {
			p.queues.Store("jobs", nil)
			p.queues.Store("other", nil)
			p.detach("jobs", err)
			_, known := p.queues.Load("jobs")
			if _, other := p.queues.Load("other"); known == forgets || !other {
				t.Errorf("after %v the queue is known: %v, another one: %v", err, known, other)
			}
		}
	}
}

// TestAttachMissing: that there is no such queue is said, not hidden as the
// text of a client library.
func TestAttachMissing(t *testing.T) {
	r := newRig(t, call{answers: answers{sqlShape: {}}})
	if _, err := r.Stats(t.Context(), "jobs"); !errors.Is(err, driver.ErrQueueNotFound) || err.Error() != driver.ErrQueueNotFound.Error() {
		t.Errorf("Stats of a queue that is not there: %v", err)
	}
}

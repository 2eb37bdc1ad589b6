package pgmq

import (
	"errors"
	"testing"

	"github.com/portmq/mq/driver"
)

// TestOverridden: what is not there is not counted, and an error says whether trying again
// would count the same.
func TestOverridden(t *testing.T) {
	gone, locked := driver.ErrMessageNotFound, errLocked
	for _, tt := range []struct {
		errs []error
		want int64
		is   error
	}{
		{nil, 3, nil},
		{[]error{nil, gone, nil}, 2, nil},
		{[]error{gone, gone, gone}, 0, nil},
		{[]error{nil, locked, gone}, 1, driver.ErrUnavailable},
		{[]error{gone, locked, gone}, 0, driver.ErrBadConn},
	} {
		b := &batch{settlements: make([]driver.Settlement, 3), errs: tt.errs}
		n, err := b.overridden()
		if n != tt.want || !errors.Is(err, tt.is) || (err == nil) != (tt.is == nil) {
			t.Errorf("%v: %d, %v", tt.errs, n, err)
		}
	}
}

// TestOverridesOnce: an id counts once, however it is written.
func TestOverridesOnce(t *testing.T) {
	got := overrides("jobs", []string{"7", "x", "007", "", "8", "7"}, driver.Settlement{Op: driver.OpAck})
	if len(got) != 2 || got[0].Receipt != Unfenced("jobs", "7") || got[1].Receipt != Unfenced("jobs", "8") {
		t.Errorf("it settles %v", got)
	}
	r := newRig(t, call{})
	n, err := r.Override(r.ctx, "jobs", []string{"x"}, driver.Settlement{Op: driver.OpAck})
	if r.must(err); n != 0 || len(r.ran) != 1 {
		t.Errorf("it finds %d by %q", n, r.texts())
	}
}

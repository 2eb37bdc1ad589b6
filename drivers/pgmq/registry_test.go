package pgmq

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

var (
	reports = []string{statement("report", false), statement("report", true)}
	forgets = statement("forget report", nil)
	readsIt = statement("consumers", nil)
)

func (r *rig) report(ttl time.Duration) error {
	return r.Report(r.ctx, driver.ConsumerReport{ID: "c", Queue: "jobs", LastError: "a\x00b"}, ttl)
}

// TestReport: one statement, which sometimes removes what has expired, and makes the table
// once. What was never reported needs no table to be removed.
func TestReport(t *testing.T) {
	r := newRig(t, call{answers: answers{hasTable: {{false}}, statement("has schema", nil): {{true, true, true, true, true, true, true, false}}}})
	r.must(r.report(0))
	if made := statement("make consumers", nil); slices.Contains(r.texts(), made) {
		t.Errorf("it runs %q", r.texts())
	}
	r.must(r.report(time.Minute))
	if made := statement("make consumers", nil); !slices.Contains(r.texts(), made) {
		t.Errorf("it runs %q", r.texts())
	}
	r.ran = nil
	swept := 0
	for range 100 * sweepEvery {
		r.must(r.report(time.Minute))
	}
	for _, e := range r.ran {
		if !slices.Contains(reports, e.text) || e.args[0] != "c" || e.args[3] != time.Minute.Microseconds() || strings.Contains(e.args[2].(string), `\u0000`) {
			t.Fatalf("it runs %s with %v", e.text, e.args)
		}
		if e.text == reports[1] {
			swept++
		}
	}
	if swept == 0 || swept > len(r.ran)/2 || len(r.ran) != 100*sweepEvery {
		t.Errorf("%d of %d statements sweep", swept, len(r.ran))
	}
	r.ran = nil
	if r.must(r.report(0)); !slices.Equal(r.texts(), []string{forgets}) {
		t.Errorf("it runs %q", r.texts())
	}
}

// TestReportRefused: where reports cannot be stored that is not tried each time, and an
// error that says nothing of the next report is not remembered.
func TestReportRefused(t *testing.T) {
	for _, tt := range []struct {
		code string
		want error
		once bool
	}{
		{"42501", driver.ErrNotSupported, true}, {"25006", nil, true}, {"0A000", nil, true}, {"57P03", driver.ErrBadConn, false}, {"42P01", driver.ErrBadConn, false},
	} {
		t.Run(tt.code, func(t *testing.T) {
			onRig(t, func(t *testing.T, r *rig) {
				r.call.answers = answers{hasTable: {{true}}}
				r.owned = true // so that a node that can only be read would be left
				for range 2 {
					failing := queued{err: pgxError(tt.code, "ERROR", "")}
					r.mu.Lock()
					r.next = map[string][]queued{reports[0]: {failing}, reports[1]: {failing}}
					r.mu.Unlock()
					err := r.report(time.Minute)
					checkIs(t, tt.code, err, tt.want)
					if err == nil {
						t.Fatal("it succeeds")
					}
					r.mu.Lock()
					clear(r.next)
					r.mu.Unlock()
					again := r.report(time.Minute)
					if tt.once && !errors.Is(again, err) || !tt.once && again != nil {
						t.Errorf("%v: and then %v", err, again)
					}
					time.Sleep(refusedFor)
				}
				r.must(r.report(time.Minute))
				r.owned = false
			})
		})
	}
}

// TestConsumersRead: reports are sorted, and one of another version is left out.
func TestConsumersRead(t *testing.T) {
	row := func(id, queue, report string) values { return values{id, queue, []byte(report), sentAt} }
	r := newRig(t, call{answers: answers{hasTable: {{true}}, readsIt: {
		row("3", "b", `{"name": "x"}`), row("2", "a", `{"name": "y", "age": 5}`), row("1", "a", `{"name": "y"}`), row("0", "a", `{"name": 1}`), row("4", "a", `{"name": "x"}`),
	}}})
	all, err := r.Consumers(r.ctx, "")
	r.must(err)
	var got []string
	for _, c := range all {
		got = append(got, c.Queue+c.Name+c.ID)
	}
	if !slices.Equal(got, []string{"ax4", "ay1", "ay2", "bx3"}) || all[2].Age != 5 || !all[2].At.Equal(sentAt) {
		t.Errorf("it reads %v", all)
	}
}

// TestConsumersMissing: no table is no consumers.
func TestConsumersMissing(t *testing.T) {
	r := newRig(t, call{answers: answers{hasTable: {{false}}}})
	all, err := r.Consumers(r.ctx, "jobs")
	if r.must(err); len(all) > 0 || !slices.Equal(r.texts(), []string{hasTable}) {
		t.Errorf("it reads %v by %q", all, r.texts())
	}
	r = newRig(t, call{answers: answers{hasTable: {{true}}}})
	r.add(readsIt, queued{err: pgxError("42P01", "ERROR", "")})
	if _, err = r.Consumers(r.ctx, "jobs"); err != nil || r.consumers.there.Load() {
		t.Errorf("it believes in the table: %v", err)
	}
}

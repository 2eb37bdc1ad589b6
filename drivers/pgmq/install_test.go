package pgmq

import (
	"slices"
	"strings"
	"testing"

	"github.com/portmq/mq/driver"
)

// installing is what Install finds where there is no PGMQ.
func installing(found layout) call {
	return call{answers: answers{
		statement("has pgmq", nil): {pgmqMissing}, statement("has schema", nil): {{true, true, true, true, true, true, true, true}}, sqlShape: {found.row()},
		statement("condition", nil): {{true, false, strings.Contains(found.indexes, "vt_idx"), false, int64(0)}},
	}}
}

// TestInstallUpgrades: a queue gets what it lacks, and nothing else.
func TestInstallUpgrades(t *testing.T) {
	short := strings.NewReplacer(`ALTER TABLE "pgmq".`, "", "ADD COLUMN IF NOT EXISTS ", "")
	const (
		qHeaders, aHeaders = `"q_jobs" headers jsonb`, `"a_jobs" headers jsonb`
		qRead, aRead       = `"q_jobs" last_read_at timestamptz`, `"a_jobs" last_read_at timestamptz`
		index              = `CREATE INDEX IF NOT EXISTS "q_jobs_vt_idx" ON "pgmq"."q_jobs" (vt)`
	)
	for name, tt := range map[string]struct {
		found layout
		want  []string
	}{
		"1.13":        {layout113, nil},
		"upgraded":    {layoutUpgraded, nil},
		"1.4":         {layout14, []string{qHeaders, aHeaders, qRead, aRead}},
		"1.5":         {layout15, []string{qRead, aRead}},
		"old archive": {layoutHalf, []string{aHeaders, aRead}},
		"pgmq-ts":     {layoutTS, []string{qHeaders, aHeaders, qRead, aRead, index}},
		"no archive":  {layoutAlone, []string{statement("make archive", layoutAlone.names("jobs")), index}},
	} {
		r := newRig(t, installing(tt.found))
		if err := Install(t.Context(), r.db); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, text := range r.texts() {
			if strings.HasPrefix(text, "ALTER") || strings.HasPrefix(text, "CREATE") {
				got = append(got, short.Replace(text))
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("a queue of %s: it runs %q, want %q", name, got, tt.want)
		}
	}
}

// TestInstallUpstream: beside PGMQ only what it does not have is made.
func TestInstallUpstream(t *testing.T) {
	r := newRig(t, call{answers: answers{statement("has schema", nil): {{true, true, true, false, false, false, false, false}}}})
	if err := Install(t.Context(), r.db); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, text := range r.texts() {
		if strings.HasPrefix(text, "CREATE") {
			got = append(got, text)
		}
	}
	if want := []string{statement("make keys", nil), statement("make paused", nil), statement("make consumers", nil)}; !slices.Equal(got, want) {
		t.Errorf("it makes %q, want %q", got, want)
	}
}

// TestInstallDropped: a queue may be dropped in between.
func TestInstallDropped(t *testing.T) {
	c := installing(layout113)
	c.answers[sqlShape] = nil
	r := newRig(t, c)
	err := Install(t.Context(), r.db)
	if requireErr(t, err, driver.ErrQueueNotFound); !strings.HasPrefix(err.Error(), "pgmq: install: ") {
		t.Errorf("error is %v", err)
	}
	r.released()
}

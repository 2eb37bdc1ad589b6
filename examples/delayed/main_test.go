package main

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
)

const want = `reminder: at least 200ms later: true
invoice, try 1: no answer
invoice, try 2: no answer
invoice, try 3: too many mails
invoice, try 4: <nil>
`

func TestRun(t *testing.T) {
	for _, dsn := range []string{"mem://", "rabbitstub://"} {
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			if err := run(t.Context(), dsn, &out); err != nil || out.String() != want {
				t.Errorf("%s: %v\n%s", dsn, err, &out)
			}
		})
	}
}

// On fake time the pauses can be measured: 200 ms, then 10, 20 and 100 ms, of
// which the Backoff varies its own by a fifth.
func TestPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var out bytes.Buffer
		if err := run(t.Context(), "mem://", &out); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 324*time.Millisecond || took > 337*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

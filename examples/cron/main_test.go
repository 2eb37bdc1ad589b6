package main

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
)

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		start := time.Now()
		err := run(t.Context(), "mem://cron", 3, &out)
		if want := "a report: sales\na report: sales\na report: sales\n"; err != nil || out.String() != want {
			t.Errorf("%v\n%s", err, &out)
		}
		if took := time.Since(start).Round(time.Second); took != 6*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

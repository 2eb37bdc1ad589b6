package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestCheck runs the whole suite, which takes no time in a bubble.
func TestCheck(t *testing.T) {
	for _, driver := range []string{"mem", "rabbitstub"} {
		t.Run(driver, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { check(newDesk(t, driver), driver) })
		})
	}
}

func check(d *desk, driver string) {
	d.Helper()
	code, stdout, stderr := d.run("check", d.dsn, "-o", "json")
	if code != exitOK || !strings.Contains(stderr, " passed, 0 failed, ") {
		d.Errorf("exit code %d, %s", code, stderr)
	}
	results := make(map[string]int)
	var capabilities map[string]string
	for line := range strings.Lines(stdout) {
		var got struct {
			Case, Result, Rule, Why string
			Capabilities            map[string]string
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			d.Fatal(err)
		}
		results[got.Result]++
		if got.Result == "failed" {
			d.Error(line)
		}
		if got.Capabilities != nil {
			capabilities = got.Capabilities
		}
	}
	if results["passed"] < 150 || results["skipped"] < 10 || capabilities["driver"] != driver || capabilities["delay"] != "yes" {
		d.Errorf("%v, %v", results, capabilities)
	}
}

func TestCheckInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "mem")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 200*time.Millisecond, errInterrupted)
		defer cancel()
		code, stdout, stderr := d.runIn(ctx, "check")
		if code != exitInterrupted || !strings.HasPrefix(stderr, "mq: interrupted (") || !strings.Contains(stdout, "CAPABILITY") {
			t.Errorf("exit code %d, %s and %s", code, stdout, stderr)
		}
	})
}

func TestInstallPrint(t *testing.T) {
	d := newDesk(t, "mem")
	d.dsn = "" // it needs none
	code, stdout, _ := d.run("install", "-print")
	if code != exitOK || !strings.HasPrefix(stdout, "BEGIN;\n") || !strings.Contains(stdout, "CREATE SCHEMA IF NOT EXISTS pgmq;\n") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
}

package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestCheck(t *testing.T) {
	for _, driver := range []string{"mem", "rabbitstub"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, driver)
			code, stdout, stderr := d.run("check", d.dsn, "-o", "json")
			if code != exitOK || !strings.Contains(stderr, " passed, 0 failed, ") {
				t.Errorf("exit code %d, %s", code, stderr)
			}
			results := make(map[string]int)
			var capabilities map[string]string
			for line := range strings.Lines(stdout) {
				var got struct {
					Case, Result, Rule, Why string
					Capabilities            map[string]string
				}
				if err := json.Unmarshal([]byte(line), &got); err != nil {
					t.Fatal(err)
				}
				results[got.Result]++
				if got.Result == "failed" {
					t.Error(line)
				}
				if got.Capabilities != nil {
					capabilities = got.Capabilities
				}
			}
			if results["passed"] < 150 || results["skipped"] < 10 || capabilities["driver"] != driver || capabilities["delay"] != "yes" {
				t.Errorf("%v, %v", results, capabilities)
			}
		})
	}
}

func TestCheckInterrupted(t *testing.T) {
	d := newDesk(t, "mem")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 200*time.Millisecond, errInterrupted)
	defer cancel()
	code, stdout, stderr := d.runIn(ctx, "check")
	if code != exitInterrupted || !strings.HasPrefix(stderr, "mq: interrupted (") || !strings.Contains(stdout, "CAPABILITY") {
		t.Errorf("exit code %d, %s and %s", code, stdout, stderr)
	}
}

func TestInstallPrint(t *testing.T) {
	d := newDesk(t, "mem")
	d.dsn = "" // it needs none
	code, stdout, _ := d.run("install", "-print")
	if code != exitOK || !strings.HasPrefix(stdout, "BEGIN;\n") || !strings.Contains(stdout, "CREATE SCHEMA IF NOT EXISTS pgmq;\n") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
}

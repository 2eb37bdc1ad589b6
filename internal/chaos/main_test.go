package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq/internal/chaos/work"
)

// TestMain is the main of workers as well.
func TestMain(m *testing.M) {
	if text := os.Getenv(workerVariable); text != "" {
		var cfg work.Config
		if err := json.Unmarshal([]byte(text), &cfg); err != nil {
			panic(err)
		}
		os.Exit(work.Main(cfg))
	}
	os.Exit(m.Run())
}

func run(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	var b bytes.Buffer
	code = chaos(t.Context(), &b, args)
	return code, b.String()
}

// TestSound: a provider that keeps its promises passes.
func TestSound(t *testing.T) {
	for _, name := range []string{"mem", "sqlite"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if code, out := run(t, "-provider", name, "-duration", "8s", "-lease", "2s", "-seed", "7"); code != 0 {
				t.Errorf("exit %d\n%s", code, out)
			}
		})
	}
}

// TestBroken: each way to break a provider is found, and called by its name. Where the
// queues are not emptied there is nothing to wait for.
func TestBroken(t *testing.T) {
	for how, rule := range work.Breaks {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			drain := time.Minute
			if how == "norelisten" {
				drain = 2 * time.Second
			}
			args := []string{"-provider", "mem", "-duration", "4s", "-lease", "1s", "-rate", "150", "-faults", "none", "-break", how, "-drain", drain.String()}
			code, out := run(t, args...)
			if code != 1 || !strings.Contains(out, "BREACH "+rule+": ") {
				t.Errorf("exit %d, want a breach of %q\n%s", code, rule, out)
			}
		})
	}
}

// TestBrokenProcesses: the same where a kill shows it, in several processes.
func TestBrokenProcesses(t *testing.T) {
	t.Parallel()
	code, out := run(t, "-provider", "sqlite", "-duration", "6s", "-lease", "1s", "-faults", "kill -9 a", "-break", "ackfirst")
	if code != 1 || !strings.Contains(out, "BREACH lost: ") {
		t.Errorf("exit %d\n%s", code, out)
	}
}

func TestWrongUse(t *testing.T) {
	for _, tt := range []struct {
		args string
		code int
		text string
	}{
		{"-nosuch", 2, ""},
		{"-provider nosuch", 2, `unknown provider "nosuch" (have: `},
		{"-provider mem -break nosuch", 2, `unknown break "nosuch" (have: ackfirst, `},
	} {
		code, out := run(t, strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(out, tt.text) {
			t.Errorf("%s: exit %d, %s", tt.args, code, out)
		}
	}
}

// TestPlan: the same seed has the same faults, each comes before any comes again, and they
// end in time.
func TestPlan(t *testing.T) {
	faults := []*fault{{"a", 0, time.Second, nil}, {"b", time.Second, 2 * time.Second, nil}, {"c", 0, 0, nil}}
	one, two := plan(1, 0, time.Minute, faults), plan(1, 0, time.Minute, faults)
	if fmt.Sprint(one) != fmt.Sprint(two) {
		t.Errorf("two plans of one seed:\n%v\n%v", one, two)
	}
	if fmt.Sprint(one) == fmt.Sprint(plan(2, 0, time.Minute, faults)) || fmt.Sprint(one) == fmt.Sprint(plan(1, 1, time.Minute, faults)) {
		t.Error("two plans are the same")
	}
	for i := 0; i+3 <= len(one); i += 3 {
		var names []string
		for _, p := range one[i : i+3] {
			names = append(names, p.name)
			if p.hold < p.shortest || p.hold > p.longest || p.at+p.hold > time.Minute {
				t.Errorf("%v", p)
			}
		}
		if slices.Sort(names); strings.Join(names, "") != "abc" {
			t.Errorf("%q, want each once", names)
		}
	}
	if len(one) < 9 {
		t.Errorf("%d faults in a minute", len(one))
	}
	if all := plan(1, 0, time.Minute, nil); all != nil {
		t.Errorf("%v of no faults", all)
	}
}

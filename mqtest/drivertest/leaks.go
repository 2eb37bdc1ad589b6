package drivertest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime/pprof"
	"strings"
	"testing"
	"time"
)

// leakLabel marks the goroutines of one case: a goroutine inherits the labels
// of the one that started it, so that cases may run side by side.
const leakLabel = "drivertest-case"

// watchGoroutines checks, when the case is over and all is closed, that what
// package mq and the provider have started has ended. In a bubble the runtime
// does that.
func (t *tester) watchGoroutines(tb testing.TB) {
	id := fmt.Sprintf("%016x", rand.Uint64())
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels(leakLabel, id)))
	tb.Cleanup(func() {
		pprof.SetGoroutineLabels(context.Background())
		if left := t.leftAfter(t.leaks, id); left != "" {
			tb.Errorf("goroutines are left after Close:\n%s", left)
		}
	})
}

// leftAfter returns what goroutines returns if that is not nothing within d.
func (t *tester) leftAfter(d time.Duration, id string) string {
	for begin := time.Now(); ; {
		left, waited := t.goroutines(id), time.Since(begin)
		if left == "" || waited > d {
			return left
		}
		time.Sleep(max(20*time.Millisecond, waited/20))
	}
}

// goroutines returns the stacks of those labelled id that run code of this
// module or of the provider's package.
func (t *tester) goroutines(id string) string {
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		return ""
	}
	module := packageOf(t.c)
	ours := []string{module + ".", module + "/"}
	if t.p != nil {
		ours = append(ours, packageOf(t.p)+".")
	}
	var left []string
	for stack := range strings.SplitSeq(profile.String(), "\n\n") {
		if strings.Contains(stack, id) && containsAny(stack, ours) {
			left = append(left, stack)
		}
	}
	return strings.Join(left, "\n\n")
}

func containsAny(s string, parts []string) bool {
	for _, part := range parts {
		if strings.Contains(s, part) {
			return true
		}
	}
	return false
}

// packageOf returns the path of the package of v's type.
func packageOf(v any) string {
	typ := reflect.TypeOf(v)
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	return typ.PkgPath()
}

package drivertest

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"time"
)

// recorder is a testing.TB that takes notes. It embeds a nil interface because
// of TB's private method: Chdir and ArtifactDir, which nothing here needs,
// panic.
type recorder struct {
	testing.TB
	name   string
	ctx    context.Context
	cancel context.CancelFunc
	limit  *time.Timer // how long it may still take

	mu       sync.Mutex
	failures []string
	failed   bool
	cleanups []func()
}

// grace is how much longer than its limit a case may take: to clean up, or
// because it hangs.
const grace = 3 * patience

// record runs f on a recorder and returns what failed, also if f panics, ends
// its goroutine or hangs.
func record(ctx context.Context, name string, f func(testing.TB)) []string {
	r := &recorder{name: name}
	r.ctx, r.cancel = context.WithCancel(ctx)
	r.limit = time.NewTimer(patience + grace)
	defer r.limit.Stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer r.cleanup()
		defer r.cancel()
		defer r.recover()
		f(r)
	}()
	select {
	case <-done:
	case <-r.limit.C:
		r.Error("hangs: it does not return")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed && len(r.failures) == 0 {
		return []string{"failed without a word"}
	}
	return append([]string(nil), r.failures...)
}

// recover makes a failure of a panic. It is deferred.
func (r *recorder) recover() {
	if v := recover(); v != nil {
		r.Errorf("panic: %v\n%s", v, debug.Stack())
	}
}

// cleanup runs the cleanups, the last one first, whatever they do.
func (r *recorder) cleanup() {
	r.mu.Lock()
	n := len(r.cleanups)
	if n == 0 {
		r.mu.Unlock()
		return
	}
	f := r.cleanups[n-1]
	r.cleanups = r.cleanups[:n-1]
	r.mu.Unlock()
	defer r.cleanup()
	defer r.recover()
	f()
}

func (r *recorder) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

func (r *recorder) fail(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
	if text != "" {
		r.failures = append(r.failures, text)
	}
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *recorder) Fail() { r.fail("") }

func (r *recorder) FailNow() {
	r.fail("")
	runtime.Goexit()
}

func (r *recorder) Error(args ...any)                 { r.fail(fmt.Sprint(args...)) }
func (r *recorder) Errorf(format string, args ...any) { r.fail(fmt.Sprintf(format, args...)) }

func (r *recorder) Fatal(args ...any) {
	r.fail(fmt.Sprint(args...))
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.fail(fmt.Sprintf(format, args...))
	runtime.Goexit()
}

// What is asked of a recorder is an answer: to skip is to fail.
func (r *recorder) SkipNow()                         { r.Fatal("skipped") }
func (r *recorder) Skip(args ...any)                 { r.Fatal("skipped: " + fmt.Sprint(args...)) }
func (r *recorder) Skipf(format string, args ...any) { r.Fatalf("skipped: "+format, args...) }
func (r *recorder) Skipped() bool                    { return false }

func (r *recorder) Attr(string, string)      {}
func (r *recorder) Context() context.Context { return r.ctx }
func (r *recorder) Helper()                  {}
func (r *recorder) Log(...any)               {}
func (r *recorder) Logf(string, ...any)      {}
func (r *recorder) Name() string             { return r.name }
func (r *recorder) Output() io.Writer        { return io.Discard }

func (r *recorder) Setenv(key, value string) {
	old, had := os.LookupEnv(key)
	if err := os.Setenv(key, value); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() {
		if had {
			_ = os.Setenv(key, old)
			return
		}
		_ = os.Unsetenv(key)
	})
}

func (r *recorder) TempDir() string {
	dir, err := os.MkdirTemp("", "drivertest")
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

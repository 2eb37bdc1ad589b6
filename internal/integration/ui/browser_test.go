package ui

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/chromedp"

	"github.com/portmq/mq/internal/integration/checks"
)

// program returns a Chromium, or skips the test. It fails it if one is required.
func program(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if slices.Contains(strings.Split(os.Getenv("MQ_TEST_REQUIRE"), ","), "browser") {
		t.Fatal("there is no Chromium (install chromium)")
	}
	t.Skip("no browser: there is no Chromium (install chromium)")
	return ""
}

// browser is one tab.
type browser struct {
	*testing.T
	ctx context.Context

	mu       sync.Mutex
	problems []string // what the browser has complained about
}

// openBrowser opens a tab of a browser of its own, until the end of the test.
func openBrowser(t *testing.T) *browser {
	t.Helper()
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.ExecPath(program(t)))
	ctx, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), opts...)
	t.Cleanup(stop)
	ctx, closeTab := chromedp.NewContext(ctx)
	t.Cleanup(closeTab)
	b := &browser{T: t, ctx: ctx}
	checks.OK(t, chromedp.Do(ctx)) // it starts with the first action, and lives as long as its context
	checks.OK(t, chromedp.Listen(ctx, b.listen))
	_, err := b.call(func(ctx context.Context) (any, error) {
		return chromedp.Call(ctx, cdplog.Enable, cdp.Empty{})
	})
	checks.OK(t, err)
	return b
}

// listen notes errors of scripts, of the network and of the security policy.
func (b *browser) listen(event any) {
	if e, ok := event.(*cdplog.EventEntryAdded); ok && e.Entry.Level == "error" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.problems = append(b.problems, e.Entry.Text+" "+e.Entry.URL)
	}
}

// calm checks that the browser has not complained.
func (b *browser) calm(where string) {
	b.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.problems {
		b.Errorf("%s: the browser says: %s", where, p)
	}
	b.problems = nil
}

// call makes a call of the browser with a deadline.
func (b *browser) call(f func(context.Context) (any, error)) (any, error) {
	ctx, cancel := context.WithTimeout(b.ctx, checks.Patience)
	defer cancel()
	return f(ctx)
}

// do does something in the tab.
func (b *browser) do(a chromedp.Action[chromedp.Void]) {
	b.Helper()
	_, err := b.call(func(ctx context.Context) (any, error) { return nil, chromedp.Do(ctx, a) })
	checks.OK(b, err)
}

// visit opens a page, and waits until it is loaded.
func (b *browser) visit(url string) {
	b.Helper()
	b.do(chromedp.Navigate(url))
}

// eval returns the value of an expression.
func eval[V any](b *browser, expression string) (v V) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, checks.Patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[V](expression))
	if err != nil {
		b.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits for an expression to be true.
func (b *browser) until(expression string) {
	b.Helper()
	checks.Eventually(b, expression, func() bool { return eval[bool](b, expression) })
}

// looks sets the size of the window and the colours.
func (b *browser) looks(width, height int64, scheme string) {
	b.Helper()
	b.do(chromedp.EmulateViewport(width, height))
	p := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	_, err := b.call(func(ctx context.Context) (any, error) { return chromedp.Call(ctx, emulation.SetEmulatedMedia, p) })
	checks.OK(b, err)
}

// scripts switches JavaScript on or off, from the next page on.
func (b *browser) scripts(on bool) {
	b.Helper()
	p := emulation.SetScriptExecutionDisabledParams{Value: !on}
	_, err := b.call(func(ctx context.Context) (any, error) {
		return chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, p)
	})
	checks.OK(b, err)
}

// press presses a key.
func (b *browser) press(key string) {
	b.Helper()
	b.do(chromedp.KeyEvent(key))
}

// shot takes a picture of what is in the window.
func (b *browser) shot(file string) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, checks.Patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	checks.OK(b, err)
	if len(png) < 5000 {
		b.Errorf("the picture %s has %d bytes", file, len(png))
	}
	if *update {
		checks.OK(b, os.MkdirAll(images, 0o755))
		checks.OK(b, os.WriteFile(images+"/"+file, png, 0o644))
	}
}

// fits checks that the page is not wider than the window.
func (b *browser) fits(where string) {
	b.Helper()
	if wide := eval[float64](b, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); wide > 0 {
		b.Errorf("%s is %v pixels wider than the window", where, wide)
	}
}

// median returns the middle one of some times.
func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

func row(cells ...string) string { return "| " + strings.Join(cells, " | ") + " |\n" }

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }

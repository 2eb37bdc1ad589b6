package main

import (
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress shows on the error output how far a command has come, if that is a
// terminal. Its methods are safe for concurrent use.
type progress struct{ bar *progressbar.ProgressBar }

// newProgress begins to count up to total, -1 if it is not known. unit is
// plural: "messages".
func (a *app) newProgress(total int64, what, unit string) *progress {
	out := io.Discard
	if isTerminal(a.stderr) && !a.quiet {
		out = a.stderr
	}
	return &progress{progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(out),
		progressbar.OptionSetDescription(what),
		progressbar.OptionSetItsString(unit),
		progressbar.OptionShowIts(),
		progressbar.OptionSetSpinnerChangeInterval(0), // its goroutine races with the bar
		progressbar.OptionShowCount(),
		progressbar.OptionShowBytes(unit == "bytes"),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetRenderBlankState(true),
	)}
}

// add counts n more.
func (p *progress) add(n int) { _ = p.bar.Add(n) }

// to moves on to n, and says what is done.
func (p *progress) to(n int64, what string) {
	p.bar.Describe(what)
	_ = p.bar.Set64(n)
}

// end takes the bar off the screen. It may be called twice.
func (p *progress) end() { _ = p.bar.Finish() }

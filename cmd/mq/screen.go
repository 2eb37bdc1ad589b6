package main

import (
	"os"
	"strconv"

	"golang.org/x/term"
)

// screen is where tables are shown.
type screen struct {
	width  int // 0: nothing is cut
	colour bool
}

// screen finds out about the standard output.
func (a *app) screen() screen {
	switch {
	case a.shown != nil:
		return *a.shown
	case !isTerminal(a.stdout):
		return screen{}
	}
	s := screen{width: columns(a.stdout), colour: a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb"}
	if n, err := strconv.Atoi(a.getenv("COLUMNS")); err == nil && n > 0 {
		s.width = n
	}
	return s
}

// isTerminal reports whether f, a reader or a writer, is a terminal.
func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// columns returns how wide a terminal is, 0 if f is none.
func columns(f any) int {
	if !isTerminal(f) {
		return 0
	}
	width, _, _ := term.GetSize(int(f.(*os.File).Fd()))
	return width
}

// The styles of cells.
const (
	red    = "31"
	yellow = "33"
	dim    = "2"
	bold   = "1"
)

func styled(text, style string) string { return "\x1b[" + style + "m" + text + "\x1b[0m" }

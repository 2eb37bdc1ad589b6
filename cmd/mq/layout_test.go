package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/rivo/uniseg"
)

func TestFit(t *testing.T) {
	cols := columnsOf([]string{"ID", "READ?", "GROUP?", "REASON…", "BODY…"})
	natural := []int{6, 4, 10, 30, 80}
	for width, want := range map[int][]int{
		200: {6, 4, 10, 30, 80},
		100: {6, 4, 10, 30, 42},
		80:  {6, 4, 10, 26, 26},
		60:  {6, 4, 10, 16, 16},
		59:  {6, 4, -1, 22, 21},
		40:  {6, -1, -1, 15, 15},
		1:   {4, -1, -1, 4, 4},
	} {
		if got := fit(cols, natural, width); !slices.Equal(got, want) {
			t.Errorf("on %d columns: %v, want %v", width, got, want)
		}
	}
}

// TestCut: wide and combined characters count as a terminal shows them.
func TestCut(t *testing.T) {
	for _, tt := range []struct {
		text  string
		width int
		want  string
	}{
		{"abc", 3, "abc"},
		{"abcd", 3, "ab…"},
		{"日本語", 6, "日本語"},
		{"日本語", 5, "日本…"},
		{"日本語", 4, "日…"},
		{"e\u0301e\u0301e\u0301", 2, "e\u0301…"},
		{"abc", 1, "…"},
	} {
		if got := cut(tt.text, tt.width); got != tt.want {
			t.Errorf("%q on %d columns: %q, want %q", tt.text, tt.width, got, tt.want)
		}
	}
}

func TestWrapped(t *testing.T) {
	got := wrapped("no index on vt: every receive reads the whole queue", 20)
	if want := []string{"no index on vt:", "every receive reads", "the whole queue"}; !slices.Equal(got, want) {
		t.Errorf("wrapped to %q", got)
	}
	if got := wrapped("", 20); !slices.Equal(got, []string{""}) {
		t.Errorf("nothing is wrapped to %q", got)
	}
}

// TestNarrow: no line is longer than the terminal, nothing is cut with -o wide or
// without a terminal, and a later block keeps the columns of the first one.
func TestNarrow(t *testing.T) {
	long := strings.Repeat("x", 70)
	show := func(output string, s screen) string {
		a, stdout, _ := newDesk(t, "mem").app()
		a.output, a.shown = output, &s
		out := newPrinter(a, "ID", "GROUP?", "BODY…")
		for range 2 {
			out.row(nil, "1", "group-7", long)
			if err := out.flush(); err != nil {
				t.Fatal(err)
			}
			long = "日本" + long
		}
		return stdout.String()
	}
	narrow := show("table", screen{width: 25})
	for line := range strings.Lines(narrow) {
		if uniseg.StringWidth(strings.TrimSuffix(line, "\n")) > 25 || strings.Contains(line, "group") {
			t.Errorf("on 25 columns it shows %q", line)
		}
	}
	for _, got := range []string{show("wide", screen{width: 25}), show("table", screen{})} {
		if strings.Contains(got, "…") || !strings.Contains(got, "group-7") {
			t.Errorf("it shows\n%s", got)
		}
	}
}

func TestColours(t *testing.T) {
	for _, s := range []screen{{colour: true}, {}} {
		a, stdout, _ := newDesk(t, "mem").app()
		a.shown = &s
		out := newPrinter(a, "QUEUE", "ARCHIVED", "LAG")
		out.paint("ARCHIVED", red)
		out.row(nil, "w", "3", "0")
		if err := out.flush(); err != nil {
			t.Fatal(err)
		}
		want := "QUEUE  ARCHIVED  LAG\nw      3         0\n"
		if s.colour {
			want = "QUEUE  ARCHIVED  LAG\nw      \x1b[31m3\x1b[0m         \x1b[2m0\x1b[0m\n"
		}
		if got := stdout.String(); got != want {
			t.Errorf("colours %v: %q, want %q", s.colour, got, want)
		}
	}
}

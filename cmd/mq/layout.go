package main

import (
	"slices"
	"strings"

	"github.com/rivo/uniseg"
)

// column is how a table shows a column.
type column struct {
	title string
	minor bool // a narrow terminal goes without it
	text  bool // may be cut
	wrap  bool // goes on in the next line instead
}

// columnsOf reads titles: a ? behind one marks a minor column, an … one of text, and a ¶
// a last one whose text is wrapped.
func columnsOf(titles []string) []column {
	cols := make([]column, len(titles))
	for i, t := range titles {
		c := column{title: t}
		c.title, c.minor = strings.CutSuffix(c.title, "?")
		c.title, c.text = strings.CutSuffix(c.title, "…")
		if c.title, c.wrap = strings.CutSuffix(c.title, "¶"); c.wrap {
			c.text = true
		}
		cols[i] = c
	}
	return cols
}

const (
	gap      = 2  // between columns
	leastCut = 16 // text is not cut below this while minor columns can go
	leastAny = 4
)

// fit returns how wide columns are on a terminal, -1 for those that are left out:
// text is cut first, the widest one; then minor columns go, the last one first; then
// any column is cut.
func fit(cols []column, natural []int, width int) []int {
	w := slices.Clone(natural)
	for total(w) > width {
		if i := widest(w, leastCut, func(i int) bool { return cols[i].text }); i >= 0 {
			w[i]--
			continue
		}
		if i := lastMinor(cols, w); i >= 0 {
			w = restore(cols, w, natural)
			w[i] = -1
			continue
		}
		i := widest(w, leastAny, func(int) bool { return true })
		if i < 0 {
			break
		}
		w[i]--
	}
	return w
}

// total returns how wide a row is.
func total(w []int) (n int) {
	for _, c := range w {
		if c >= 0 {
			n += c + gap
		}
	}
	return n - gap
}

// widest returns the widest column above least that is one of those, or -1.
func widest(w []int, least int, one func(int) bool) int {
	found := -1
	for i := range w {
		if one(i) && w[i] > least && (found < 0 || w[i] >= w[found]) {
			found = i
		}
	}
	return found
}

// lastMinor returns the last minor column that is still shown, or -1.
func lastMinor(cols []column, w []int) int {
	for i, c := range slices.Backward(cols) {
		if c.minor && w[i] >= 0 {
			return i
		}
	}
	return -1
}

// restore gives cut text its natural width back.
func restore(cols []column, w, natural []int) []int {
	for i, c := range cols {
		if c.text && w[i] >= 0 {
			w[i] = natural[i]
		}
	}
	return w
}

// cut shortens a text to a width on the terminal.
func cut(text string, width int) string {
	if uniseg.StringWidth(text) <= width {
		return text
	}
	var b strings.Builder
	used, state := 1, -1
	for rest := text; rest != ""; {
		var cluster string
		var n int
		cluster, rest, n, state = uniseg.FirstGraphemeClusterInString(rest, state)
		if used += n; used > width {
			break
		}
		b.WriteString(cluster)
	}
	return b.String() + "…"
}

// wrapped breaks a text between words into lines of a width, if there are spaces.
func wrapped(text string, width int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case uniseg.StringWidth(line)+1+uniseg.StringWidth(word) <= width:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	return append(lines, line)
}

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/rivo/uniseg"
)

// printer prints rows, as a table or as JSON with one object in a line.
type printer struct {
	app    *app
	screen screen
	cols   []column
	titled bool // the titles are written
	rows   []tableRow
	widths []int          // of what was written, -1 for columns that are left out
	styles map[int]string // of cells of the next row
	err    error
}

// tableRow is a row that waits for those it is aligned with.
type tableRow struct {
	cells  []string
	styles map[int]string
}

// block is how many rows of a table are aligned with each other: the first ones
// need not wait for the last.
const block = 200

// newPrinter begins a table with the given titles, see columnsOf. Without titles
// nothing is cut.
func newPrinter(a *app, titles ...string) *printer {
	p := &printer{app: a, screen: a.screen(), cols: columnsOf(titles)}
	if a.wide() || len(titles) == 0 {
		p.screen.width = 0
	}
	return p
}

// paint gives a cell of the next row a style, where there are colours.
func (p *printer) paint(title, style string) {
	if i := slices.IndexFunc(p.cols, func(c column) bool { return c.title == title }); i >= 0 {
		if p.styles == nil {
			p.styles = make(map[int]string)
		}
		p.styles[i] = style
	}
}

// row prints v as JSON, or the cells.
func (p *printer) row(v any, cells ...string) {
	if !p.app.json() {
		p.cells(cells)
		return
	}
	line, err := lineOf(v)
	if err == nil {
		_, err = p.app.stdout.Write(line)
	}
	p.fail(err)
}

// cells adds a row to a table.
func (p *printer) cells(cells []string) {
	p.begin()
	for i, c := range cells {
		cells[i] = printable(c)
	}
	p.rows = append(p.rows, tableRow{cells, p.styles})
	p.styles = nil
	if len(p.rows) >= block {
		p.fail(p.flush())
	}
}

// begin adds the titles, once.
func (p *printer) begin() {
	if p.titled {
		return
	}
	p.titled = true
	var titles []string
	for _, c := range p.cols {
		titles = append(titles, c.title)
	}
	if titles != nil {
		p.rows = append(p.rows, tableRow{cells: titles})
	}
}

func (p *printer) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// flush writes the table, if only its titles unless something went wrong, and
// returns the first error.
func (p *printer) flush() error {
	if p.app.json() {
		return p.err
	}
	if p.err == nil {
		p.begin()
	}
	p.align()
	var b bytes.Buffer
	for _, r := range p.rows {
		for _, part := range p.parts(r) {
			p.line(&b, part)
		}
	}
	p.rows = nil
	_, err := p.app.stdout.Write(b.Bytes())
	p.fail(err)
	return p.err
}

// align finds the widths for the rows that wait. Columns never get narrower again,
// unless the terminal is; those that are left out stay so.
func (p *printer) align() {
	natural := slices.Clone(p.widths)
	for _, r := range p.rows {
		for i, c := range r.cells {
			if i >= len(natural) {
				natural = append(natural, 0)
			}
			if n := uniseg.StringWidth(c); natural[i] >= 0 {
				natural[i] = max(natural[i], n)
			}
		}
	}
	if p.screen.width > 0 && len(natural) == len(p.cols) {
		natural = fit(p.cols, natural, p.screen.width)
	}
	p.widths = natural
}

// parts returns the lines of a row whose last cell may have to be wrapped.
func (p *printer) parts(r tableRow) (parts []tableRow) {
	last := len(p.cols) - 1
	if p.screen.width == 0 || last < 0 || !p.cols[last].wrap || len(r.cells) != len(p.cols) {
		return []tableRow{r}
	}
	for i, text := range wrapped(r.cells[last], p.widths[last]) {
		part := tableRow{cells: make([]string, last, last+1)}
		if i == 0 {
			part = tableRow{slices.Clone(r.cells[:last]), r.styles}
		}
		part.cells = append(part.cells, text)
		parts = append(parts, part)
	}
	return parts
}

// line writes one row.
func (p *printer) line(b *bytes.Buffer, r tableRow) {
	pending := 0 // spaces
	for i, c := range r.cells {
		if p.widths[i] < 0 {
			continue
		}
		if i >= len(p.cols) || !p.cols[i].wrap {
			c = cut(c, p.widths[i])
		}
		n := uniseg.StringWidth(c)
		if c != "" {
			b.WriteString(strings.Repeat(" ", pending))
			b.WriteString(p.style(c, r.styles[i]))
			pending = 0
		}
		pending += p.widths[i] - n + gap
	}
	b.WriteByte('\n')
}

// style colours a cell. Zeros are dim.
func (p *printer) style(text, style string) string {
	if style == "" && text == "0" {
		style = dim
	}
	if !p.screen.colour || style == "" {
		return text
	}
	return styled(text, style)
}

// lineOf returns v as one line of JSON.
func lineOf(v any) ([]byte, error) {
	if m, ok := v.(messageLine); ok {
		return m.marshal()
	}
	return marshalLine(v)
}

// marshalLine returns v as one line of JSON. HTML is left as it is; control
// characters that JSON would allow are escaped.
func marshalLine(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return append(escapeControls(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), '\n'), nil
}

// escapeControls escapes what JSON allows raw in a string and terminals obey:
// DEL and the controls above ASCII.
func escapeControls(line []byte) []byte {
	if !bytes.ContainsFunc(line, unicode.IsControl) {
		return line
	}
	var b bytes.Buffer
	for _, r := range string(line) {
		if unicode.IsControl(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.Bytes()
}

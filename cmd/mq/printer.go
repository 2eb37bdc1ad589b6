package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"unicode"
)

// printer prints rows, as a table or as JSON with one object in a line.
type printer struct {
	app    *app
	titles []string          // not written yet
	table  *tabwriter.Writer // nil for JSON
	rows   int               // in the table since it was last written
	err    error
}

// block is how many rows of a table are aligned with each other: the first ones
// need not wait for the last.
const block = 200

// newPrinter begins a table with the given titles.
func newPrinter(a *app, titles ...string) *printer {
	p := &printer{app: a}
	if !a.json() {
		p.table = tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
		p.titles = titles
	}
	return p
}

// row prints v as JSON, or the cells.
func (p *printer) row(v any, cells ...string) {
	if p.table != nil {
		p.cells(cells)
		return
	}
	line, err := lineOf(v)
	if err == nil {
		_, err = p.app.stdout.Write(line)
	}
	p.fail(err)
}

func (p *printer) cells(cells []string) {
	if titles := p.titles; titles != nil {
		p.titles = nil
		p.cells(titles)
	}
	for i, c := range cells {
		cells[i] = printable(c)
	}
	_, err := fmt.Fprintln(p.table, strings.Join(cells, "\t"))
	p.fail(err)
	if p.rows++; p.rows >= block {
		p.fail(p.flush())
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
	if p.table != nil {
		if titles := p.titles; titles != nil && p.err == nil {
			p.titles = nil
			p.cells(titles)
		}
		p.fail(p.table.Flush())
		p.rows = 0
	}
	return p.err
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

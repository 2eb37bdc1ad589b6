package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"

	"github.com/portmq/mq"
)

// formats are what mq send reads, the default first.
var formats = []string{"ndjson", "lines", "raw", "records"}

// reader reads messages.
type reader struct {
	lines    *bufio.Scanner
	decode   func(line []byte) (*mq.Message, error) // nil message: nothing there
	template mq.Message
	line     int   // the number of the last line
	size     int64 // of the input; -1 if it is not known
	offset   int64 // how much of it has been read
}

// maxLine is the longest line if the provider has no limit.
const maxLine = 256 << 20

// newReader reads messages of the given format, with what template says of
// each.
func newReader(in io.Reader, format string, template mq.Message, maxBody int) *reader {
	limit := maxLine
	if maxBody > 0 {
		limit = 2*maxBody + 1<<20 // a record's body may be encoded, and has headers
	}
	r := &reader{lines: bufio.NewScanner(in), template: template, size: -1}
	if f, ok := in.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			r.size = info.Size()
		}
	}
	r.lines.Buffer(make([]byte, 0, 64<<10), limit)
	r.decode = map[string]func([]byte) (*mq.Message, error){
		"ndjson": r.ndjson, "lines": r.text, "raw": r.text, "records": r.record,
	}[format]
	split := bufio.ScanLines
	if format == "raw" {
		split = everything
	}
	r.lines.Split(func(data []byte, atEOF bool) (advance int, token []byte, err error) {
		advance, token, err = split(data, atEOF)
		r.offset += int64(advance)
		return advance, token, err
	})
	return r
}

// next returns the next message and the number of its line, or io.EOF.
func (r *reader) next() (*mq.Message, int, error) {
	for r.lines.Scan() {
		r.line++
		m, err := r.decode(r.lines.Bytes())
		if m != nil || err != nil {
			return m, r.line, err
		}
	}
	err := r.lines.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		err = errors.New("longer than a message may be")
	}
	if err == nil {
		err = io.EOF
	}
	return nil, r.line + 1, err
}

func (r *reader) text(line []byte) (*mq.Message, error) { return r.message(bytes.Clone(line)), nil }

func (r *reader) message(body []byte) *mq.Message {
	m := r.template
	m.Body = body
	return &m
}

// byteOrderMark is what some programs begin a text with. It is not JSON.
var byteOrderMark = []byte("\uFEFF")

func (r *reader) ndjson(line []byte) (*mq.Message, error) {
	line = bytes.TrimSpace(bytes.TrimPrefix(line, byteOrderMark))
	switch {
	case len(line) == 0:
		return nil, nil
	case !json.Valid(line):
		return nil, errors.New("not JSON (-format lines takes any text)")
	}
	return r.message(bytes.Clone(line)), nil
}

// record reads what messageLine.marshal writes. The flags win over it.
func (r *reader) record(line []byte) (*mq.Message, error) {
	line = bytes.TrimSpace(bytes.TrimPrefix(line, byteOrderMark))
	if len(line) == 0 {
		return nil, nil
	}
	var in struct {
		Body    json.RawMessage `json:"body"`
		Base64  []byte          `json:"body_base64"`
		Group   string          `json:"group"`
		Headers mq.Headers      `json:"headers"`
	}
	err := json.Unmarshal(line, &in)
	if kind := (*json.UnmarshalTypeError)(nil); errors.As(err, &kind) && kind.Field != "" {
		return nil, fmt.Errorf("not a record as -o json shows it: %s has a %s in it", kind.Field, kind.Value)
	}
	if err != nil {
		return nil, fmt.Errorf("not a record as -o json shows it: %w", err)
	}
	if (in.Body == nil) == (in.Base64 == nil) {
		return nil, errors.New(`not a record as -o json shows it: it must have one of "body" and "body_base64"`)
	}
	body := in.Base64
	if in.Body != nil {
		body = in.Body
	}
	m := r.message(body)
	if m.Group == "" {
		m.Group = in.Group
	}
	m.Headers = r.headers(in.Headers)
	return m, nil
}

// headers adds those of the flags. Those that mq writes itself cannot be sent.
func (r *reader) headers(of mq.Headers) mq.Headers {
	maps.DeleteFunc(of, func(name, _ string) bool { return reserved(name) })
	if of == nil {
		return r.template.Headers
	}
	maps.Copy(of, r.template.Headers)
	return of
}

// everything makes one token of all input.
func everything(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if !atEOF {
		return 0, nil, nil
	}
	if data == nil {
		data = []byte{}
	}
	return len(data), data, bufio.ErrFinalToken
}

// reserved reports whether a header is one that only providers and mq write.
func reserved(name string) bool { return strings.HasPrefix(name, "mq-") }

package main

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/portmq/mq"
)

func TestMarshalMessage(t *testing.T) {
	for _, tt := range []struct{ name, body, want string }{
		{"digits", `{"b":1.50,"a":12345678901234567890e-1}`, `"body":{"b":1.50,"a":12345678901234567890e-1}`},
		{"spaces and HTML", `{ "b" : "<&>" }`, `"body":{ "b" : "<&>" }`},
		{"escapes", `"\u003c\/\n"`, `"body":"\u003c\/\n"`},
		{"twice a key", `{"a":1,"a":2}`, `"body":{"a":1,"a":2}`},
		{"null", `null`, `"body":null`},
		{"empty", ``, `"body_base64":""`},
		{"text", `hello`, `"body_base64":"aGVsbG8="`},
		{"lines", "{\n}", `"body_base64":"ewp9"`},
		{"tab", "{\t}", `"body_base64":"ewl9"`},
		{"C1", "\"\u009b31m\"", `"body_base64":"IsKbMzFtIg=="`},
		{"not UTF-8", "\"\xff\"", `"body_base64":"Iv8i"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			line, err := messageLine{Queue: "w", ID: "1", body: []byte(tt.body)}.marshal()
			want := `{"queue":"w","id":"1","read_count":0,` + tt.want + "}\n"
			if err != nil || string(line) != want {
				t.Errorf("%s, %v, want %s", line, err, want)
			}
		})
	}
}

func TestMarshalMessageFields(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 0, 0, 120, time.UTC)
	line, err := messageLine{
		Queue: "w", ID: "1", Receipt: "w:<r>", ReadCount: 2, EnqueuedAt: at, VisibleAt: at, ArchivedAt: at,
		Group: "\x1b\u009b\x7f", Headers: mq.Headers{"b": "&", "a": "\u202e"}, body: []byte("1"),
	}.marshal()
	want := `{"queue":"w","id":"1","receipt":"w:<r>","read_count":2,"enqueued_at":"2026-11-22T10:00:00.00000012Z",` +
		`"visible_at":"2026-11-22T10:00:00.00000012Z","archived_at":"2026-11-22T10:00:00.00000012Z",` +
		`"group":"\u001b\u009b\u007f","headers":{"a":"` + "\u202e" + `","b":"&"},"body":1}` + "\n"
	if err != nil || string(line) != want {
		t.Errorf("%s, %v, want\n%s", line, err, want)
	}
}

// FuzzMarshalMessage: each body comes back from its line, byte for byte.
func FuzzMarshalMessage(f *testing.F) {
	for _, body := range []string{"", "1", `{"a": 1.0}`, "\xff", "{\n}", `"\u009b"`} {
		f.Add([]byte(body), body)
	}
	f.Fuzz(func(t *testing.T, body []byte, group string) {
		line, err := messageLine{Group: group, body: body}.marshal()
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(line) || bytes.Count(line, []byte("\n")) != 1 || bytes.ContainsAny(line[:len(line)-1], "\x00\x07\x1b\x7f\t\r") {
			t.Fatalf("not one line of JSON: %q", line)
		}
		r := newReader(bytes.NewReader(line), "records", mq.Message{}, 0)
		m, _, err := r.next()
		if err != nil || !bytes.Equal(m.Body, body) {
			t.Errorf("%q came back as %q, %v from %s", body, m.Body, err, line)
		}
	})
}

func TestCells(t *testing.T) {
	long := string(bytes.Repeat([]byte("é"), 100))
	for _, tt := range []struct{ body, want string }{
		{"", ""},
		{"short", "short"},
		{long, long[:2*maxCell] + "..."},
		{"\xff\xfe", "\xff\xfe"},
	} {
		if got := bodyCell([]byte(tt.body)); got != tt.want {
			t.Errorf("%q is shown as %q", tt.body, got)
		}
	}
	for d, want := range map[time.Duration]string{-1: "-", 1234567 * time.Microsecond: "1s", 1500 * time.Microsecond: "2ms", time.Hour: "1h0m0s"} {
		if got := ageCell(d); got != want {
			t.Errorf("%v is shown as %q", d, got)
		}
	}
}

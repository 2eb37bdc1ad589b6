package faults

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/integration/server"
)

// bodies are hard on jsonb, on arrays of text or on the protocol.
var bodies = map[string]string{
	"empty":                  "",
	"NUL":                    "a\x00b",
	"NUL escaped":            `{"k":"\u0000"}`,
	"lone surrogate":         `{"k":"\ud800"}`,
	"surrogates reversed":    `{"k":"\udc00\ud800"}`,
	"surrogate pair":         `{"k":"\ud83d\udc18"}`,
	"invalid JSON":           `{"k":}`,
	"two values":             `{} {}`,
	"invalid UTF-8":          "\xff\xfe",
	"JSON of invalid UTF-8":  "{\"k\":\"\xff\"}",
	"overlong UTF-8":         "\"\xc0\x80\"",
	"BOM":                    "\ufeff{}",
	"deep":                   strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000),
	"just deep enough":       strings.Repeat("[", 500) + strings.Repeat("]", 500),
	"1e400":                  "[1e400, -1e-400, 0.1e1]",
	"1e1000":                 "1e1000",
	"1e131071":               "1e131071",
	"1e999999999999":         "1e999999999999",
	"-0":                     "-0",
	"many digits":            strings.Repeat("9", 20_000),
	"many exponents":         "[" + strings.Repeat("1e999,", 10_000) + "0]",
	"our envelope":           `{"mq:text":"x"}`,
	"our envelope, escaped":  `{"mq\u003atext":"x"}`,
	"our envelope, and more": `{"mq:base64":"AA==","k":1}`,
	"our envelope, broken":   `{"mq:base64":"*"}`,
	"duplicate keys":         `{"a":1,"a":2}`,
	"key NUL":                `{"\u0000":1}`,
	"array text":             `{a,"b",NULL,\}`,
	"quotes":                 `"'\"$$;--/*` + "`",
	"backslashes":            `\\\`,
	"control characters":     "\x01\x02\x1f\x7f",
	"placeholders":           "$1 %s ?",
	"line ends":              "\r\n\u2028",
}

// TestBodies: alone and in a batch, each comes back, exactly or equal as JSON.
func TestBodies(t *testing.T) {
	b := newBase(t)
	for _, form := range []string{"json", "bytes"} {
		t.Run(form, func(t *testing.T) {
			eachLibrary(t, func(t *testing.T, library string) {
				b := b.of(t)
				c := b.client("driver="+library, "body="+form)
				q := b.queue(c, form+library)
				names := slices.Sorted(maps.Keys(bodies))
				var all []*mq.Message
				for _, name := range names {
					m := &mq.Message{Body: []byte(bodies[name]), Headers: mq.Headers{"name": name, name: bodies["quotes"]}}
					all = append(all, m)
					if _, err := q.Send(t.Context(), m); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
				_, err := q.SendAll(t.Context(), all)
				b.ok(err)
				ds := b.take(q, 1000)
				if len(ds) != 2*len(names) {
					t.Fatalf("%d came back", len(ds))
				}
				for i, d := range ds {
					name := names[i%len(names)]
					if !c.Caps().ExactBodies && sameJSON(d.Body, bodies[name]) {
						continue
					}
					if string(d.Body) != bodies[name] || !maps.Equal(d.Headers, all[i%len(names)].Headers) {
						t.Errorf("%s came back as %.80q with %v", name, d.Body, d.Headers)
					}
				}
			})
		})
	}
}

func sameJSON(got []byte, want string) bool {
	var a, b any
	x, y := json.NewDecoder(bytes.NewReader(got)), json.NewDecoder(strings.NewReader(want))
	x.UseNumber()
	y.UseNumber()
	if x.Decode(&a) != nil || y.Decode(&b) != nil || y.More() {
		return false
	}
	return reflect.DeepEqual(plain(a), plain(b))
}

// plain spells numbers in one way.
func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		var f float64
		if json.Unmarshal([]byte(v), &f) == nil {
			return f
		}
		return "large"
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = plain(v[k])
		}
	}
	return v
}

// TestHeaders: nasty names and values come back.
func TestHeaders(t *testing.T) {
	b := newBase(t)
	eachLibrary(t, func(t *testing.T, library string) {
		b := b.of(t)
		q := b.queue(b.client("driver="+library), library)
		h := mq.Headers{"": "empty", "empty": "", " ": " ", "long": strings.Repeat("x", 1<<20), "ünï": "日本 🐘", "\uffff": "\U0010ffff"}
		for name, body := range bodies {
			if utf8.ValidString(body) && !strings.Contains(body, "\x00") {
				h[name], h[body[:min(len(body), 300)]] = body, name
			}
		}
		_, err := q.SendAll(t.Context(), []*mq.Message{{Headers: h, Group: `g"'\`}, {Headers: h, Group: "{}"}})
		b.ok(err)
		for _, d := range b.take(q, 2) {
			if !maps.Equal(d.Headers, h) || d.Group != `g"'\` && d.Group != "{}" {
				t.Errorf("other headers came back, group %q", d.Group)
			}
			b.ok(d.Archive(t.Context(), `"'\{}`+"\n"))
		}
		rs, err := q.Archived(t.Context(), mq.BrowseOptions{})
		if b.ok(err); len(rs) != 2 || rs[0].Reason() != `"'\{}`+"\n" {
			t.Errorf("%d archived", len(rs))
		}
	})
}

// TestLargeBodies: as JSON, as text that JSON makes six times as long, and as
// bytes, up to the limit. A body above it does not leave the process.
func TestLargeBodies(t *testing.T) {
	b := newBaseOn(t, server.Postgres(t)) // alone
	const mib = 1 << 20
	for _, tt := range []struct {
		name, library string
		body          []byte
	}{
		{"10 MB of JSON", "pq", []byte(`["` + strings.Repeat("x", 10*mib) + `"]`)},
		{"10 MB of bytes", "pq", bytes.Repeat([]byte{0xff}, 10*mib)},
		{"5 MB of text", "pgx", bytes.Repeat([]byte{1}, 5*mib)},
		{"60 MB of JSON", "pgx", []byte(`["` + strings.Repeat("x", 60*mib) + `"]`)},
		{"60 MB of bytes", "pgx", bytes.Repeat([]byte{0xff}, 60*mib)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if testing.Short() && len(tt.body) > 20*mib { // body/limit of the suite is as large
				t.Skip("the full matrix: make test-all")
			}
			b := b.of(t)
			cfg := b.config()
			cfg.CallTimeout = 10 * time.Minute
			q := b.queue(b.openConfig(with(b.dsn, "driver="+tt.library), cfg), "jobs")
			_, err := q.Send(t.Context(), &mq.Message{Body: tt.body})
			b.ok(err)
			d := b.one(q)
			if !bytes.Equal(d.Body, tt.body) {
				t.Errorf("%d bytes came back as %d others", len(tt.body), len(d.Body))
			}
			b.ok(d.Ack(t.Context()))
		})
	}
	_, err := b.client().Queue("jobs").Send(t.Context(), &mq.Message{Body: make([]byte, 64*mib+1)})
	b.is(err, mq.ErrTooLarge, "above the limit")
}

// TestLargeBatch: what one statement cannot carry is refused, not attempted.
func TestLargeBatch(t *testing.T) {
	b := newBaseOn(t, server.Postgres(t)) // alone
	q := b.queue(b.client(), "jobs")
	var msgs []*mq.Message
	for range 16 {
		msgs = append(msgs, &mq.Message{Body: make([]byte, 40<<20)})
	}
	_, err := q.SendAll(t.Context(), msgs)
	b.is(err, mq.ErrTooLarge, "640 MB at once")
}

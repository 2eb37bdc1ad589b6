package faults

import (
	"bytes"
	"encoding/binary"
	"io"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/portmq/mq/internal/integration/server"
)

// abroad returns the DSN of a way to the server on which its errors are in
// another language, and counts them. The locales of a machine are often English
// only.
func (b *base) abroad() (dsn string, translated *atomic.Int64) {
	b.Helper()
	translated = new(atomic.Int64)
	p, dsn := server.NewProxy(b, b.dsn)
	p.Answer = func(client io.Writer, server io.Reader) { _ = translate(client, server, translated) }
	u, err := url.Parse(dsn)
	b.ok(err)
	query := u.Query()
	query.Set("sslmode", "disable")
	u.RawQuery = query.Encode()
	if err := b.pool("pgx", u.String()).PingContext(b.Context()); err != nil {
		b.Skipf("the server must take connections without TLS: %v", err)
	}
	return u.String(), translated
}

// translate passes on messages: a letter, a length that counts itself, and the
// rest.
func translate(client io.Writer, server io.Reader, translated *atomic.Int64) error {
	for {
		head := make([]byte, 5)
		if _, err := io.ReadFull(server, head); err != nil {
			return err
		}
		rest := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		if _, err := io.ReadFull(server, rest); err != nil {
			return err
		}
		if head[0] == 'E' || head[0] == 'N' {
			rest = inGerman(rest)
			translated.Add(1)
		}
		message := binary.BigEndian.AppendUint32(head[:1:1], uint32(len(rest)+4))
		if _, err := client.Write(append(message, rest...)); err != nil {
			return err
		}
	}
}

// german are the texts of the fields of an error that depend on the language.
var german = map[byte]string{'S': "FEHLER", 'M': "das gibt es nicht", 'D': "Einzelheiten", 'H': "ein Rat"}

// inGerman translates the fields of an error: each is a letter, a text and a
// zero; another zero is the end.
func inGerman(fields []byte) (translation []byte) {
	for field := range bytes.SplitAfterSeq(bytes.TrimSuffix(fields, []byte{0}), []byte{0}) {
		if len(field) > 0 && german[field[0]] != "" {
			field = append([]byte{field[0]}, german[field[0]]+"\x00"...)
		}
		translation = append(translation, field...)
	}
	return append(translation, 0)
}

func TestInGerman(t *testing.T) {
	const english = "SERROR\x00VERROR\x00C42P01\x00Mrelation does not exist\x00P15\x00\x00"
	const want = "SFEHLER\x00VERROR\x00C42P01\x00Mdas gibt es nicht\x00P15\x00\x00"
	if got := string(inGerman([]byte(english))); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

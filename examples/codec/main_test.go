package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"testing"
)

const want = `Old (""): 14 bytes of text, less in the queue: false
New ("application/json+gzip"): 16000 bytes of text, less in the queue: true
`

func TestRun(t *testing.T) {
	for _, dsn := range []string{"mem://", "rabbitstub://"} {
		var out bytes.Buffer
		if err := run(t.Context(), dsn, &out); err != nil || out.String() != want {
			t.Errorf("%s: %v\n%s", dsn, err, &out)
		}
	}
}

func TestUnmarshalBad(t *testing.T) {
	whole, err := gzipJSON{}.Marshal(Page{Title: "New"})
	if err != nil {
		t.Fatal(err)
	}
	if err := (gzipJSON{}).Unmarshal(whole, new(Page)); err != nil {
		t.Error(err)
	}
	for name, data := range map[string][]byte{
		"empty":     nil,
		"not JSON":  []byte("Title"),
		"no gzip":   {0x1f, 0x8b, 0},
		"cut off":   whole[:len(whole)-4],
		"not whole": whole[:len(whole)/2],
	} {
		if err := (gzipJSON{}).Unmarshal(data, new(Page)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestUnmarshalBomb(t *testing.T) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err == nil {
		_, err = w.Write(make([]byte, maxSize+1))
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	if err := (gzipJSON{}).Unmarshal(b.Bytes(), new(Page)); !errors.Is(err, errTooLarge) {
		t.Errorf("%d bytes that become %d: %v", b.Len(), maxSize+1, err)
	}
}

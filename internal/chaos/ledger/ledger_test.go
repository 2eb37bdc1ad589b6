package ledger

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

var full = Record{
	At: 17, From: 12, Kind: Received, Queue: "plain", Key: "p1.2.3", ID: "42", Group: "g", Seq: 3, Read: 2, Attempt: 1,
	Unanswered: 1, Receipt: "abc", For: 3 * time.Second, Until: 99, Op: Ack, Note: "why",
}

func TestText(t *testing.T) {
	for _, r := range []Record{full, {At: 1, Kind: Start}} {
		got, err := Parse(r.String())
		if err != nil || got != r {
			t.Errorf("%q is read as %+v, %v", r.String(), got, err)
		}
	}
	r := Record{Kind: Leak, Note: "a b\nc"}
	if got, want := r.String(), "0 lk e=a_b_c"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for _, bad := range []string{"", "x rv", "1", "1 rv k", "1 rv z=1", "1 rv n=x", "1 rv f=x"} {
		if r, err := Parse(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, r)
		}
	}
}

// TestCut: a file that ends in the middle of a line has all lines before it.
func TestCut(t *testing.T) {
	dir := t.TempDir()
	w, err := Create(dir, "p1.1")
	if err != nil {
		t.Fatal(err)
	}
	w.Write(full)
	w.Write(full)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "p1.1.ledger")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range text {
		if err := os.WriteFile(path, text[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		n := 0
		err := Read(path, func(r *Record) error {
			if n++; r.Worker != "p1.1" || r.Key != full.Key {
				t.Errorf("%+v", r)
			}
			return nil
		})
		if want := cut / (len(text) / 2); err != nil || n != want {
			t.Fatalf("%d of %d bytes: %d events, %v, want %d", cut, len(text), n, err, want)
		}
	}
}

func TestConcurrent(t *testing.T) {
	dir := t.TempDir()
	w, err := Create(dir, "c")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Create(dir, "c"); err == nil {
		t.Error("two writers of one name")
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				w.Write(full)
			}
		})
	}
	all.Wait()
	files, err := Files(dir)
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	n := 0
	if err := Read(files[0], func(*Record) error { n++; return nil }); err != nil || n != 800 {
		t.Errorf("%d events, %v", n, err)
	}
}

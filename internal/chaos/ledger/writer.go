package ledger

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Writer writes the events of one worker. It is safe for concurrent use: the file is
// open for appending, so that each write(2) is a line of its own.
type Writer struct{ file *os.File }

// Create creates the file of a worker. Each start of a worker has another name.
func Create(dir, worker string) (*Writer, error) {
	f, err := os.OpenFile(filepath.Join(dir, worker+suffix), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return &Writer{f}, nil
}

const suffix = ".ledger"

// Write writes an event, as of now. Nothing can be proven without the ledger, so that a
// process which cannot write it ends.
func (w *Writer) Write(r Record) {
	if r.At == 0 {
		r.At = Now()
	}
	if _, err := w.file.Write(Append(make([]byte, 0, 160), &r)); err != nil {
		fmt.Fprintln(os.Stderr, "chaos: the ledger cannot be written:", err)
		os.Exit(3)
	}
}

// Close closes the file.
func (w *Writer) Close() error { return w.file.Close() }

// worker returns whose file it is.
func worker(path string) string { return strings.TrimSuffix(filepath.Base(path), suffix) }

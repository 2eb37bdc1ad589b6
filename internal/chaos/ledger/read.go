package ledger

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Files returns the files of a run, sorted by their names.
func Files(dir string) ([]string, error) { return filepath.Glob(filepath.Join(dir, "*"+suffix)) }

// Read calls f for each event of a file, in the order of the file. A last line without
// an end is that of a process that was killed while it wrote, and is left out.
func Read(path string, f func(*Record) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	whose := worker(path)
	lines := bufio.NewReaderSize(file, 1<<16)
	for n := 1; ; n++ {
		line, err := lines.ReadString('\n')
		if err != nil { // io.EOF, or the disk
			return readError(err)
		}
		r, err := Parse(line[:len(line)-1])
		if err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
		if r.Worker == "" {
			r.Worker = whose
		}
		if err := f(&r); err != nil {
			return err
		}
	}
}

func readError(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

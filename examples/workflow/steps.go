package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Steps are the steps that count words.
func Steps() map[string]StepFunc {
	return map[string]StepFunc{Split: split, Count: count, Merge: merge}
}

// split finds the files of the folder that is its input. Hidden ones are left
// out.
func split(_ context.Context, s StepMessage) (files []string, err error) {
	folder := s.Inputs[0]
	entries, err := os.ReadDir(folder)
	for _, e := range entries {
		if !e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			files = append(files, filepath.Join(folder, e.Name()))
		}
	}
	return files, classify(err)
}

// count counts the words of the file that is its input.
func count(_ context.Context, s StepMessage) ([]string, error) {
	text, err := os.ReadFile(s.Inputs[0])
	if err != nil {
		return nil, classify(err)
	}
	if !utf8.Valid(text) {
		return nil, Permanent(errors.New("the file is not UTF-8 text"))
	}
	counts := make(map[string]int)
	for _, word := range strings.FieldsFunc(strings.ToLower(string(text)), isSeparator) {
		if word = strings.Trim(word, "'’"); word != "" {
			counts[word]++
		}
	}
	return writeCounts(s.Output, counts)
}

func isSeparator(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsNumber(r) && r != '\'' && r != '’'
}

// merge adds up the counts that are its inputs.
func merge(_ context.Context, s StepMessage) ([]string, error) {
	sum := make(map[string]int)
	for _, file := range s.Inputs {
		counts, err := ReadCounts(file)
		if err != nil {
			return nil, classify(err)
		}
		for word, n := range counts {
			sum[word] += n
		}
	}
	return writeCounts(s.Output, sum)
}

// classify marks what does not get better.
func classify(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return Permanent(err)
	}
	return err
}

// ReadCounts reads what a count or merge step has written.
func ReadCounts(file string) (counts map[string]int, err error) {
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &counts)
	}
	return counts, err
}

// writeCounts writes a file at once or not at all, because two workers may be
// at it.
func writeCounts(file string, counts map[string]int) ([]string, error) {
	data, err := json.Marshal(counts)
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	tmp, err := os.CreateTemp(dir, ".tmp-")
	if err != nil {
		return nil, err
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(tmp.Name()))
	}
	return []string{file}, nil
}

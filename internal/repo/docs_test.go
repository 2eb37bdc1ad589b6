package repo

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/mqtest/drivertest"
)

// The documentation is tested like code: its programs and its commands run and
// print what it says, its snippets are copies of code that is compiled, its
// links lead somewhere, and its tables name everything there is.

// markdown is a file of documentation, taken apart.
type markdown struct {
	file   string
	prose  []string // its lines but for the blocks
	blocks []block
}

// block is what stands between two fences.
type block struct {
	line int
	lang string
	from string // a comment right above it names the file that it is copied from,
	run  string // or where it is to be run
	text string
}

var (
	fence   = regexp.MustCompile("^ *```(\\w*)$")
	comment = regexp.MustCompile(`^ *<!-- (from|run): (\S+) -->$`)
	code    = regexp.MustCompile("`[^`]*`")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	notSlug = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

func parseMarkdown(t *testing.T, file string) markdown {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m := markdown{file: file}
	var inside *block
	for i, line := range strings.Split(string(text), "\n") {
		mark := fence.FindStringSubmatch(line)
		switch {
		case mark == nil && inside == nil:
			m.prose = append(m.prose, line)
		case mark == nil:
			inside.text += line + "\n"
		case inside == nil:
			inside = &block{line: i + 1, lang: mark[1]}
			if n := len(m.prose); n > 0 {
				switch c := comment.FindStringSubmatch(m.prose[n-1]); {
				case c == nil:
				case c[1] == "from":
					inside.from = c[2]
				default:
					inside.run = c[2]
				}
			}
		default:
			m.blocks = append(m.blocks, *inside)
			inside = nil
		}
	}
	if inside != nil {
		t.Errorf("%s:%d: the block does not end", file, inside.line)
	}
	return m
}

// files returns the files of the repository whose names match a pattern, in
// whatever directory.
func files(t *testing.T, pattern string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && len(name) > 1 && (d.Name() == "testdata" || d.Name()[0] == '.'):
			return fs.SkipDir
		}
		if ok, _ := path.Match(pattern, d.Name()); ok && !d.IsDir() {
			names = append(names, filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: %d files, %v", pattern, len(names), err)
	}
	return names
}

// guides returns the documents whose blocks are tested.
func guides(t *testing.T) (ms []markdown) {
	t.Helper()
	for _, file := range files(t, "*.md") {
		if file == "README.md" || file == "CONTRIBUTING.md" || strings.HasPrefix(file, "docs/") {
			ms = append(ms, parseMarkdown(t, file))
		}
	}
	return ms
}

func (b block) isProgram() bool { return b.lang == "go" && strings.HasPrefix(b.text, "package main\n") }

// TestDocsPrograms runs every whole program, and compares what it prints with
// the text block behind it.
func TestDocsPrograms(t *testing.T) {
	n := 0
	for _, m := range guides(t) {
		for i, b := range m.blocks {
			if !b.isProgram() {
				continue
			}
			n++
			file := filepath.Join(t.TempDir(), "main.go")
			if err := os.WriteFile(file, []byte(b.text), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command("go", "run", file).CombinedOutput()
			if err != nil {
				t.Errorf("%s:%d: %v\n%s", m.file, b.line, err, out)
				continue
			}
			if i+1 < len(m.blocks) && m.blocks[i+1].lang == "text" && m.blocks[i+1].text != string(out) {
				t.Errorf("%s:%d: the program prints\n%s", m.file, m.blocks[i+1].line, out)
			}
		}
	}
	if n == 0 {
		t.Error("no program")
	}
}

// TestDocsSnippets requires every other Go block to be a copy of code that is
// compiled: of the file that it names, or of any example. A line "// ..."
// stands for lines that are left out.
func TestDocsSnippets(t *testing.T) {
	var examples []string
	for _, file := range files(t, "*.go") {
		if strings.HasPrefix(file, "example") {
			examples = append(examples, trimmed(t, file))
		}
	}
	for _, m := range guides(t) {
		for _, b := range m.blocks {
			if b.lang != "go" || b.isProgram() {
				continue
			}
			sources, name := examples, "any example"
			if b.from != "" {
				sources, name = []string{trimmed(t, b.from)}, b.from
			}
			if !slices.ContainsFunc(sources, func(source string) bool { return copied(source, b.text) }) {
				t.Errorf("%s:%d: the block is not a copy of lines in %s", m.file, b.line, name)
			}
		}
	}
}

func copied(source, text string) bool {
	for part := range strings.SplitSeq(trim(text), "\n// ...\n") {
		_, rest, ok := strings.Cut(source, trim(part))
		if !ok {
			return false
		}
		source = "\n" + rest
	}
	return true
}

func trimmed(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return trim(string(text))
}

// trim takes the indentation off, and makes sure that only whole lines match.
func trim(text string) string {
	lines := strings.Split(strings.Trim(text, "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return "\n" + strings.Join(lines, "\n") + "\n"
}

// TestDocsLinks looks for the files and the headings that links lead to, and
// requires that they lead from the README to every document, and from each on.
func TestDocsLinks(t *testing.T) {
	next := make(map[string][]string)
	for _, file := range files(t, "*.md") {
		prose := code.ReplaceAllString(strings.Join(parseMarkdown(t, file).prose, "\n"), "")
		for _, l := range link.FindAllStringSubmatch(prose, -1) {
			target, heading, _ := strings.Cut(l[1], "#")
			if strings.Contains(target, ":") {
				continue // elsewhere
			}
			to := file
			if target != "" {
				to = path.Join(path.Dir(file), target)
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s: link to %s: %v", file, l[1], err)
				continue
			}
			if heading != "" && !slugs(parseMarkdown(t, to))[heading] {
				t.Errorf("%s: link to %s: no such heading", file, l[1])
			}
			if to != file {
				next[file] = append(next[file], to, path.Join(to, "README.md"))
			}
		}
	}
	reached := []string{"README.md"}
	for i := 0; i < len(reached); i++ {
		for _, to := range next[reached[i]] {
			if !slices.Contains(reached, to) {
				reached = append(reached, to)
			}
		}
	}
	for _, m := range guides(t) {
		if !slices.Contains(reached, m.file) || len(next[m.file]) == 0 {
			t.Errorf("%s: no link leads there from README.md, or none leads on", m.file)
		}
	}
}

// slugs returns the names that GitHub gives to the headings of m.
func slugs(m markdown) map[string]bool {
	found := make(map[string]bool)
	for _, line := range m.prose {
		if title := strings.TrimLeft(line, "#"); title != line {
			title = notSlug.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
			found[strings.ReplaceAll(title, " ", "-")] = true
		}
	}
	return found
}

// TestDocsComplete requires the tables to have a row for everything.
func TestDocsComplete(t *testing.T) {
	var methods, caps, sentinels, harness []string
	for m := range reflect.TypeFor[driver.Provider]().Methods() {
		methods = append(methods, m.Name)
	}
	for f := range reflect.TypeFor[driver.Caps]().Fields() {
		caps = append(caps, f.Name)
	}
	for f := range reflect.TypeFor[drivertest.Harness]().Fields() {
		harness = append(harness, f.Name)
	}
	errs, err := parser.ParseFile(token.NewFileSet(), "errors.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(errs, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && v.Names[0].IsExported() {
			sentinels = append(sentinels, v.Names[0].Name)
		}
		return true
	})
	requireRows(t, "docs/design.md", methods)
	requireRows(t, "docs/semantics.md", caps)
	requireRows(t, "docs/testing.md", harness)
	requireRows(t, "docs/semantics.md", sentinels)
}

// requireRows requires table rows with every name, as code.
func requireRows(t *testing.T, file string, names []string) {
	t.Helper()
	if len(names) == 0 {
		t.Errorf("nothing to look for in %s", file)
	}
	isText := func(line string) bool { return !strings.HasPrefix(line, "|") }
	rows := strings.Join(slices.DeleteFunc(parseMarkdown(t, file).prose, isText), "\n")
	for _, name := range names {
		if !regexp.MustCompile("`([A-Za-z]+\\.)?" + name + "\\b").MatchString(rows) {
			t.Errorf("%s has no table row with %s", file, name)
		}
	}
}

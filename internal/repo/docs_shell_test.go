package repo

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Commands run where a comment right above their block says:
//
//	                    in the checkout, if there is none
//	<!-- run: driver -->  in the module of somebody who has followed the guide to a driver
//	<!-- run: pgmq -->    with mq and a database: internal/integration/docs does it
//
// It runs the SQL as well.
var places = map[string]func(*testing.T) (dir string){
	"":       func(*testing.T) string { return "." },
	"driver": ownDriver,
	"pgmq":   nil,
}

// A reader has more time than a test, and a machine that is not as busy.
var (
	changed = strings.NewReplacer("-fuzztime 1m", "-fuzztime 100x", "-count 10 ", "-count 1 ",
		"go run ./examples/worker", "go run ./examples/worker -timeout 10s")
	flags = "GOFLAGS=" + os.Getenv("GOFLAGS") + " -benchtime=10x -skip=InRealTime"
)

// long are the pages that compile much, for those who work on drivers or on mq
// itself.
var long = []string{"CONTRIBUTING.md", "docs/writing-a-driver.md"}

// isRun reports whether somebody is meant to run b.
func (b block) isRun() bool { return b.lang == "sh" || b.lang == "yaml" }

var step = regexp.MustCompile(`(?m)^ *- run: (.*\n)`)

// shell returns the commands of b: those of a pipeline are in its steps.
func (b block) shell() (commands string) {
	if b.lang != "yaml" {
		return b.text
	}
	for _, s := range step.FindAllStringSubmatch(b.text, -1) {
		commands += s[1]
	}
	return commands
}

// TestDocsShell runs every command, those of a page one after the other, and
// compares what they print with the text block behind them. "..." stands for
// lines that are left out.
func TestDocsShell(t *testing.T) {
	for _, m := range guides(t) {
		t.Run(m.file, func(t *testing.T) {
			if testing.Short() && slices.Contains(long, m.file) {
				t.Skip("the full matrix: make test-all")
			}
			t.Parallel()
			dirs := make(map[string]string)
			for i, b := range m.blocks {
				place, known := places[b.run]
				switch {
				case b.lang == "" || !known || b.run != "" && !b.isRun():
					t.Errorf("%s:%d: a block in %q to be run as %q", m.file, b.line, b.lang, b.run)
				case !b.isRun() || place == nil:
					continue
				case dirs[b.run] == "":
					dirs[b.run] = place(t)
				}
				out, err := shell(t, dirs[b.run], b.shell())
				if err != nil {
					t.Errorf("%s:%d: %v\n%s", m.file, b.line, err, out)
					continue
				}
				if i+1 < len(m.blocks) && m.blocks[i+1].lang == "text" && !prints(out, m.blocks[i+1].text) {
					t.Errorf("%s:%d: the command prints\n%s", m.file, m.blocks[i+1].line, out)
				}
			}
		})
	}
}

func shell(t *testing.T, dir, commands string) (stdout string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", changed.Replace(commands))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), flags, "MAKELEVEL=0", "MAKEFLAGS=") // make may run this test
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out) + stderr.String(), err
	}
	return string(out), nil
}

// measured is what no two runs have in common, at the end of a line.
var measured = regexp.MustCompile(`(?m) +[\d.,]+(ms|s|  orders/s)$`)

func prints(out, text string) bool {
	out, text = measured.ReplaceAllString(out, " some"), measured.ReplaceAllString(text, " some")
	parts := strings.Split("\n"+text, "\n...\n")
	if len(parts) == 1 {
		return out == text
	}
	out = "\n" + out
	for i, part := range parts {
		if part = strings.Trim(part, "\n"); part == "" {
			continue
		}
		before, rest, ok := strings.Cut(out, "\n"+part+"\n")
		if !ok || i == 0 && before != "" || i == len(parts)-1 && rest != "" {
			return false
		}
		out = "\n" + rest
	}
	return true
}

// ownDriver makes a module with the driver of the guide, which another test
// puts together from the guide.
func ownDriver(t *testing.T) (dir string) {
	t.Helper()
	const path = "example.com/you/mqtoy"
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	for from, to := range map[string]string{
		"examples/driver/toy.go":              "toy.go",
		"examples/driver/conformance_test.go": "conformance_test.go",
		"go.mod":                              "go.mod",
		"go.sum":                              "go.sum",
	} {
		text := strings.ReplaceAll(readDoc(t, from), module+"/examples/driver", path)
		text = strings.Replace(text, "module "+module, "module "+path+"\n\nrequire "+module+" v0.0.0\n\nreplace "+module+" => "+root, 1)
		if err := os.WriteFile(filepath.Join(dir, to), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func readDoc(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// inline returns the code in the prose of m.
func (m markdown) inline() (codes []string) {
	for _, c := range code.FindAllString(strings.Join(m.prose, "\n"), -1) {
		codes = append(codes, strings.Join(strings.Fields(strings.Trim(c, "`")), " "))
	}
	return codes
}

// TestDocsMake looks for the targets and the variables of make that are named.
func TestDocsMake(t *testing.T) {
	makefile := readDoc(t, "Makefile")
	n := 0
	for _, m := range guides(t) {
		for _, c := range m.inline() {
			words := strings.Fields(c)
			if len(words) == 0 || words[0] != "make" {
				continue
			}
			n++
			for _, word := range words[1:] {
				want := "\n" + word + ":"
				if name, _, ok := strings.Cut(word, "="); ok {
					want = "$(" + name + ")"
				}
				if !strings.Contains(makefile, want) {
					t.Errorf("%s: %s: there is no %s", m.file, c, word)
				}
			}
		}
	}
	if n == 0 {
		t.Error("nobody names make")
	}
}

// TestDocsVariables looks for the variables of the environment that are named.
func TestDocsVariables(t *testing.T) {
	scripts, err := filepath.Glob("scripts/*")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`\bMQ_[A-Z_]+`)
	known := make(map[string]bool)
	for _, file := range slices.Concat(files(t, "*.go"), files(t, "Makefile"), scripts) {
		text := readDoc(t, file)
		if !strings.Contains(text, "MQ_") {
			continue // which is faster than to match
		}
		for _, name := range names.FindAllString(text, -1) {
			known[name] = true
		}
	}
	for _, file := range files(t, "*.md") {
		for _, name := range names.FindAllString(readDoc(t, file), -1) {
			if !known[name] {
				t.Errorf("%s: nothing reads %s", file, name)
			}
		}
	}
}

// TestDocsPaths looks for the files, the directories and the packages that are
// named.
func TestDocsPaths(t *testing.T) {
	names := regexp.MustCompile(`^(?:\./|` + regexp.QuoteMeta(module) + `/|(?:bench|cmd|docs|driver|drivers|examples|internal|mqcron|mqotel|mqtest|mqui|scripts|tools|\.ci)/)([\w./-]+?)(?:/\.\.\.)?(?:@latest)?$`)
	n := 0
	for _, m := range guides(t) {
		for _, c := range m.inline() {
			for word := range strings.FieldsSeq(c) {
				path := names.FindStringSubmatch(word)
				if path == nil {
					continue
				}
				n++
				word, _, _ = strings.Cut(strings.TrimPrefix(word, module+"/"), "@")
				if _, err := os.Stat(strings.TrimSuffix(word, "/...")); err != nil {
					t.Errorf("%s: %v", m.file, err)
				}
			}
		}
	}
	if n == 0 {
		t.Error("nobody names a path")
	}
}

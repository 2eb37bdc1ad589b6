package toy_test

import (
	"context"
	"encoding/json"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/mqtest/drivertest"
)

// The guide for authors takes this driver apart. Its numbered chapters are
// steps.
const guide = "../../docs/writing-a-driver.md"

var (
	chapter = regexp.MustCompile(`(?m)^## `)
	blocks  = regexp.MustCompile("(?ms)^<!-- from: (\\S+) -->\n```go\n(.*?)^```$")
)

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// steps returns what each chapter adds to a file, for those that do.
func steps(t *testing.T, file string) (added []string) {
	t.Helper()
	for _, text := range chapter.Split(readFile(t, guide), -1) {
		var parts []string
		for _, b := range blocks.FindAllStringSubmatch(text, -1) {
			if b[1] == "examples/driver/"+file {
				parts = append(parts, b[2])
			}
		}
		if len(parts) > 0 {
			added = append(added, strings.Join(parts, "\n"))
		}
	}
	return added
}

// TestGuideIsWhole puts the files together of which the other tests here say
// that they work.
func TestGuideIsWhole(t *testing.T) {
	for _, file := range []string{"toy.go", "conformance_test.go"} {
		if got := strings.Join(steps(t, file), "\n"); got != readFile(t, file) {
			t.Errorf("the blocks of %s make up a file of %d bytes, and %s has others", guide, len(got), file)
		}
	}
}

// TestGuideSteps compiles what the reader has after each step.
func TestGuideSteps(t *testing.T) {
	all := steps(t, "toy.go")
	if len(all) != 6 {
		t.Errorf("%d steps, want 6", len(all))
	}
	imports := exports(t)
	for n := range all {
		source := strings.Join(all[:n+1], "\n")
		if n+1 < len(all) {
			source = strings.Replace(source, "type provider struct {\n", "type provider struct {\n\tdriver.Provider\n", 1)
		}
		for _, err := range compile(t, imports, source) {
			t.Errorf("after step %d: %v", n+1, err)
		}
	}
}

// compile returns what is wrong with a source, but for what is not used yet.
func compile(t *testing.T, imports types.Importer, source string) (errs []error) {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "toy.go", source, parser.SkipObjectResolution)
	if err != nil {
		return []error{err}
	}
	conf := types.Config{Importer: imports, Error: func(err error) {
		if e, ok := errors.AsType[types.Error](err); !ok || !e.Soft {
			errs = append(errs, err)
		}
	}}
	_, _ = conf.Check("toy", fset, []*ast.File{file}, nil)
	return errs
}

// exports returns an importer of what the driver imports, as compiled by go list.
func exports(t *testing.T) types.Importer {
	t.Helper()
	out, err := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Export", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p struct{ ImportPath, Export string }
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		files[p.ImportPath] = p.Export
	}
	return importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(files[path])
	})
}

// TestGuideNames requires a row for everything that there is, and that there
// is every case that is mentioned.
func TestGuideNames(t *testing.T) {
	text := readFile(t, guide)
	for _, row := range slices.Concat(
		fields(reflect.TypeFor[driver.Caps]()),
		fields(reflect.TypeFor[drivertest.Harness]()),
		operations(t), declared(t, "errors.go"), declared(t, "optional.go"),
	) {
		if !strings.Contains(text, "\n| `"+row+"`") {
			t.Errorf("%s has no row for %s", guide, row)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel() // so that no case runs
	var cases []string
	for _, r := range drivertest.Check(ended, harness) {
		cases = append(cases, r.Name)
	}
	for _, m := range regexp.MustCompile("`([a-z]+/[a-z-]*)`").FindAllStringSubmatch(text, -1) {
		if m[1] != "database/sql" && !slices.ContainsFunc(cases, func(c string) bool { return c == m[1] || strings.HasSuffix(m[1], "/") && strings.HasPrefix(c, m[1]) }) {
			t.Errorf("%s mentions %s, which is no case", guide, m[1])
		}
	}
}

func fields(typ reflect.Type) (names []string) {
	for f := range typ.Fields() {
		names = append(names, f.Name)
	}
	return names
}

// operations returns the names of driver.Op's values.
func operations(t *testing.T) (names []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?m)^\t(Op[A-Z][a-z]+) `).FindAllStringSubmatch(readFile(t, "../../driver/values.go"), -1) {
		names = append(names, m[1])
	}
	return names
}

// declared returns the sentinels and the optional interfaces of a file of package
// driver.
func declared(t *testing.T, file string) (names []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?m)^\t(Err[A-Z]\w+) |^type (\w+) interface`).FindAllStringSubmatch(readFile(t, "../../driver/"+file), -1) {
		names = append(names, m[1]+m[2])
	}
	// A transaction and its view are what a Transactor takes and returns.
	names = slices.DeleteFunc(names, func(name string) bool { return name == "SQLTx" || name == "TxProvider" })
	if len(names) == 0 {
		t.Errorf("found nothing in %s", file)
	}
	return names
}

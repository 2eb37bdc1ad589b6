package repo

import (
	"cmp"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// variables are of these types, but for foreign ones in the same letters.
var (
	variables    = map[string]string{"c": "Client", "q": "Queue", "d": "Delivery"}
	foreignNames = []string{"d.Redelivered", "d.Reject"} // of amqp091-go
)

// TestDocsNames looks for what is named with its package or its type, such as
// mq.Open, c.EnsureQueue and Caps.MaxHold.
func TestDocsNames(t *testing.T) {
	known := make(names)
	for _, dir := range []string{
		".", "driver", "mqtest", "mqtest/drivertest", "mqcron", "mqotel", "mqui", "drivers/mem", "drivers/pgmq", "drivers/rabbitmq", "drivers/rabbitstub", "drivers/sqlite",
	} {
		known.addPackage(parsePackage(t, dir))
	}
	name := regexp.MustCompile(`(?:^|[^\w./-])([A-Za-z]\w*)\.([A-Z]\w*)`)
	seen := 0
	for _, m := range guides(t) {
		for _, code := range m.inline() {
			for _, n := range name.FindAllStringSubmatch(code, -1) {
				of := known[cmp.Or(variables[n[1]], n[1])]
				if of == nil || slices.Contains(foreignNames, n[1]+"."+n[2]) {
					continue // not ours
				}
				seen++
				if !of[n[2]] {
					t.Errorf("%s: %s: there is no such %s", m.file, code, n[2])
				}
			}
		}
	}
	if seen == 0 {
		t.Error("no names")
	}
}

// names are those that packages and types have.
type names map[string]map[string]bool

func (n names) add(of string, more ...string) {
	if n[of] == nil {
		n[of] = make(map[string]bool)
	}
	for _, name := range more {
		n[of][name] = true
	}
}

func (n names) addPackage(p *doc.Package) {
	funcs := func(of string, fs []*doc.Func) {
		for _, f := range fs {
			n.add(of, f.Name)
		}
	}
	values := func(vs []*doc.Value) {
		for _, v := range vs {
			n.add(p.Name, v.Names...)
		}
	}
	values(slices.Concat(p.Consts, p.Vars))
	funcs(p.Name, p.Funcs)
	for _, typ := range p.Types {
		n.add(p.Name, typ.Name)
		values(slices.Concat(typ.Consts, typ.Vars))
		funcs(p.Name, typ.Funcs)
		funcs(typ.Name, typ.Methods)
		ast.Inspect(typ.Decl, func(node ast.Node) bool {
			if f, ok := node.(*ast.Field); ok {
				for _, name := range f.Names {
					n.add(typ.Name, name.Name)
				}
			}
			return true
		})
	}
}

// parsePackage returns a package with its examples.
func parsePackage(t *testing.T, dir string) *doc.Package {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range names {
		f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	p, err := doc.NewFromFiles(fset, files, strings.TrimSuffix(module+"/"+dir, "/."))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestDocsParameters compares the defaults of DSN parameters in docs/operations.md with
// the package comments of the drivers, which have the first of several values.
func TestDocsParameters(t *testing.T) {
	text := readDoc(t, "docs/operations.md")
	parameter := regexp.MustCompile(`(?m)^\t([a-z_]+)=([^ |\n]+)`)
	for _, driver := range []string{"pgmq", "rabbitmq", "sqlite"} {
		found := parameter.FindAllStringSubmatch(parsePackage(t, "drivers/"+driver).Doc, -1)
		if len(found) == 0 {
			t.Errorf("%s: no parameters", driver)
		}
		for _, p := range found {
			if row := "| `" + driver + "://?" + p[1] + "` | " + p[2] + " |"; !strings.Contains(text, row) {
				t.Errorf("docs/operations.md has no row %s", row)
			}
		}
	}
	if !strings.Contains(text, "`pgmq.QueueOptions.NotifyInterval` | 250ms |") ||
		!strings.Contains(readDoc(t, "drivers/pgmq/queueoptions.go"), "DefaultNotifyInterval = 250 * time.Millisecond") {
		t.Error("docs/operations.md and pgmq.DefaultNotifyInterval differ")
	}
}

package repo

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
)

// links says which modules a package of ours may bring into a program. A
// package that is not listed links the standard library only.
var links = map[string][]string{
	"drivers/pgmq":     postgres,
	"drivers/rabbitmq": {"github.com/rabbitmq/amqp091-go"},
	"drivers/sqlite":   sqlite,
	"cmd/mq":           slices.Concat(postgres, sqlite, commandLine, cron, prometheus, []string{"github.com/rabbitmq/amqp091-go"}),
	"mqcron":           cron,
	"mqotel":           otel,
	"mqui/export":      prometheus,

	// Programs that let the user choose the provider, or need a database.
	"examples/cron":               cron,
	"examples/orders":             providers,
	"examples/outbox":             slices.Concat(postgres, sqlite),
	"examples/pgxpool":            postgres,
	"examples/sqldriver":          sqlite,
	"examples/workflow/wordcount": providers,
}

// testLinks says which more its tests may: they land in the go.sum of
// whoever imports the package.
var testLinks = map[string][]string{
	"drivers/pgmq":      {"github.com/DATA-DOG/go-sqlmock"},
	"examples/workflow": providers,
	"mqotel":            {"go.opentelemetry.io/otel/sdk", "go.opentelemetry.io/otel/sdk/metric", "github.com/google/uuid", "golang.org/x/sys"},
}

var postgres = []string{
	"github.com/jackc/pgpassfile",
	"github.com/jackc/pgservicefile",
	"github.com/jackc/pgx/v5",
	"github.com/jackc/puddle/v2",
	"github.com/lib/pq",
	"golang.org/x/crypto",
	"golang.org/x/sync",
	"golang.org/x/text",
}

var providers = slices.Concat([]string{"github.com/rabbitmq/amqp091-go"}, postgres, sqlite)

var sqlite = []string{
	"github.com/dustin/go-humanize",
	"github.com/google/uuid",
	"github.com/remyoudompheng/bigfft",
	"golang.org/x/sys",
	"modernc.org/libc",
	"modernc.org/mathutil",
	"modernc.org/memory",
	"modernc.org/sqlite",
}

var cron = []string{"github.com/robfig/cron/v3"}

var prometheus = []string{
	"github.com/beorn7/perks",
	"github.com/cespare/xxhash/v2",
	"github.com/munnerz/goautoneg",
	"github.com/prometheus/client_golang",
	"github.com/prometheus/client_model",
	"github.com/prometheus/common",
	"github.com/prometheus/procfs",
	"go.yaml.in/yaml/v2",
	"golang.org/x/sys",
	"google.golang.org/protobuf",
}

var commandLine = []string{
	"github.com/mitchellh/colorstring",
	"github.com/rivo/uniseg",
	"github.com/schollz/progressbar/v3",
	"github.com/spf13/cobra",
	"github.com/spf13/pflag",
	"golang.org/x/sys",
	"golang.org/x/term",
}

var otel = []string{
	"github.com/cespare/xxhash/v2",
	"github.com/go-logr/logr",
	"github.com/go-logr/stdr",
	"go.opentelemetry.io/auto/sdk",
	"go.opentelemetry.io/otel",
	"go.opentelemetry.io/otel/metric",
	"go.opentelemetry.io/otel/trace",
}

// listed is what go list tells about a package. Of a package's tests it lists
// the binary, whose path ends in ".test".
type listed struct {
	Dir, ImportPath, Name, Doc, ForTest string
	Module                              *struct{ Path string }
	GoFiles, Imports, Deps              []string
}

// list returns every package that ours and their tests are made of.
var list = sync.OnceValues(func() (map[string]listed, error) {
	args := []string{"list", "-deps", "-test", "-json=Dir,ImportPath,Name,Doc,ForTest,Module,GoFiles,Imports,Deps"}
	dirs, err := modules()
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		args = append(args, dir+"/...")
	}
	out, err := goCommand(args...)
	pkgs := map[string]listed{}
	for dec := json.NewDecoder(bytes.NewReader(out)); err == nil; {
		var p listed
		if err = dec.Decode(&p); err == nil {
			pkgs[p.ImportPath] = p
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return pkgs, err
})

// each calls f for every package of those modules, with its path below the root
// module, "." for the root.
func each(t *testing.T, f func(rel string, p listed, all map[string]listed)) {
	t.Helper()
	all, err := list()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, p := range all {
		if p.Module == nil || !ours(p.Module.Path) || p.ForTest != "" || strings.HasSuffix(p.ImportPath, ".test") {
			continue
		}
		rel, _ := relative(p.ImportPath)
		f(rel, p, all)
		n++
	}
	if n < 2 {
		t.Errorf("found %d packages", n)
	}
}

func relative(importPath string) (rel string, ok bool) {
	if importPath == module {
		return ".", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

func TestRepoLinks(t *testing.T) {
	each(t, func(rel string, p listed, all map[string]listed) {
		for _, m := range foreign(all, p) {
			if !slices.Contains(links[rel], m) {
				t.Errorf("%s links %s", p.ImportPath, m)
			}
		}
		// The test binary also links what the package links.
		for _, m := range foreign(all, all[p.ImportPath+".test"]) {
			if !slices.Contains(links[rel], m) && !slices.Contains(testLinks[rel], m) {
				t.Errorf("the tests of %s link %s", p.ImportPath, m)
			}
		}
	})
}

// foreign returns the modules other than ours that p links.
func foreign(all map[string]listed, p listed) []string {
	var mods []string
	for _, dep := range p.Deps {
		if m := all[dep].Module; m != nil && !ours(m.Path) {
			mods = append(mods, m.Path)
		}
	}
	slices.Sort(mods)
	return slices.Compact(mods)
}

// TestRepoImports keeps the arrows of docs/design.md.
func TestRepoImports(t *testing.T) {
	each(t, func(rel string, p listed, _ map[string]listed) {
		for _, imp := range p.Imports {
			target, ok := relative(imp)
			if ok && !mayImport(rel, p.Name, target) {
				t.Errorf("%s imports %s", p.ImportPath, imp)
			}
		}
	})
}

func mayImport(from, name, to string) bool {
	top, _, _ := strings.Cut(from, "/")
	switch {
	case strings.HasPrefix(to, from+"/internal/"):
		return true
	case from == "driver":
		return false
	case from == ".":
		return to == "driver"
	case top == "drivers", top == "mqtest":
		return to == "." || to == "driver"
	}
	return name == "main" || !strings.HasPrefix(to, "drivers/")
}

// TestRepoSuite keeps the conformance suite out of what programs and their tests
// are made of.
func TestRepoSuite(t *testing.T) {
	const suite = module + "/mqtest/drivertest"
	each(t, func(rel string, p listed, all map[string]listed) {
		if rel != "cmd/mq" && slices.Contains(p.Deps, suite) {
			t.Errorf("%s links %s", p.ImportPath, suite)
		}
		if rel == "mqtest" && slices.Contains(all[p.ImportPath+".test"].Deps, suite) {
			t.Errorf("the tests of %s link %s", p.ImportPath, suite)
		}
	})
}

func TestRepoDocs(t *testing.T) {
	each(t, func(_ string, p listed, _ map[string]listed) {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	})
}

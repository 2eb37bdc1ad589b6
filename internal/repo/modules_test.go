package repo

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/portmq/mq"

// required are the modules that the library requires by itself.
var required = []string{
	"github.com/DATA-DOG/go-sqlmock",
	"github.com/jackc/pgx/v5",
	"github.com/lib/pq",
	"github.com/rabbitmq/amqp091-go",
}

func goCommand(args ...string) ([]byte, error) {
	out, err := exec.Command("go", args...).Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = fmt.Errorf("go %s: %w\n%s", args[0], err, exit.Stderr)
	}
	return out, err
}

// ours reports whether a module is one of this repository.
func ours(path string) bool { return path == module || strings.HasPrefix(path, module+"/") }

// modules returns the directories of the modules that a release tags, and of the
// examples: those of go.work, except for the modules of tests and tools.
func modules() (dirs []string, err error) {
	var work struct{ Use []struct{ DiskPath string } }
	out, err := goCommand("work", "edit", "-json")
	if err == nil {
		err = json.Unmarshal(out, &work)
	}
	for _, u := range work.Use {
		if u.DiskPath != "./tools" && !strings.HasPrefix(u.DiskPath, "./internal/") {
			dirs = append(dirs, u.DiskPath)
		}
	}
	return dirs, err
}

// requirement is one line of a go.mod.
type requirement struct {
	Path, Version string
	Indirect      bool
}

type goMod struct {
	Toolchain     string
	Replace, Tool []any
	Require       []requirement
}

func readGoMod(t *testing.T, dir string) (mod goMod) {
	t.Helper()
	out, err := goCommand("mod", "edit", "-json", dir+"/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	return mod
}

// TestRepoGoMod keeps out what would bind the users of a module, or keep them
// from installing a command.
func TestRepoGoMod(t *testing.T) {
	dirs, err := modules()
	if err != nil || len(dirs) < 2 || dirs[0] != "." {
		t.Fatalf("the modules are %q, %v", dirs, err)
	}
	for _, dir := range dirs {
		mod := readGoMod(t, dir)
		if len(mod.Replace) > 0 || len(mod.Tool) > 0 || mod.Toolchain != "" {
			t.Errorf("%s/go.mod has a replace, tool or toolchain line: %+v", dir, mod)
		}
		for _, r := range mod.Require {
			rel, _ := relative(r.Path)
			replaced := "replace " + r.Path + " " + r.Version + " => " + strings.Replace("./"+rel, "/.", "/", 1) + "\n"
			if ours(r.Path) && !strings.Contains(readDoc(t, "go.work"), replaced) {
				t.Errorf("%s/go.mod requires %s %s, which go.work does not replace", dir, r.Path, r.Version)
			}
		}
	}
}

// TestRepoRequired holds what the library requires, and that it is tested with
// those versions: no other module of go.work raises them.
func TestRepoRequired(t *testing.T) {
	var direct []string
	for _, r := range readGoMod(t, ".").Require {
		if !r.Indirect {
			direct = append(direct, r.Path)
		}
		selected, err := goCommand("list", "-m", "-f={{.Version}}", r.Path)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(string(selected)); got != r.Version {
			t.Errorf("go.work selects %s %s, go.mod requires %s", r.Path, got, r.Version)
		}
	}
	if !slices.Equal(direct, required) {
		t.Errorf("go.mod requires %q, want %q", direct, required)
	}
}

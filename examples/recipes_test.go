// Package examples_test runs what docs/recipes.md says.
package examples_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// command is a block with a command and, if there is one, the block behind it
// with what it prints.
var command = regexp.MustCompile("(?ms)^```sh\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?")

func TestRecipes(t *testing.T) {
	text, err := os.ReadFile(filepath.FromSlash("../docs/recipes.md"))
	if err != nil {
		t.Fatal(err)
	}
	commands := command.FindAllStringSubmatch(string(text), -1)
	if blocks := strings.Count(string(text), "```sh\n"); len(commands) != blocks || blocks == 0 {
		t.Fatalf("%d commands in %d blocks", len(commands), blocks)
	}
	for _, m := range commands {
		args := strings.Fields(m[1])
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		cmd.Dir = ".."
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%s: %v\n%s", strings.TrimSpace(m[1]), err, out)
		}
		if m[2] != "" && m[2] != string(out) {
			t.Errorf("%s prints\n%s", strings.TrimSpace(m[1]), out)
		}
	}
}

// Every program has its recipe.
func TestRecipesComplete(t *testing.T) {
	text, err := os.ReadFile(filepath.FromSlash("../docs/recipes.md"))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !strings.Contains(string(text), "(../examples/"+e.Name()+")") {
			t.Errorf("docs/recipes.md does not mention examples/%s", e.Name())
		}
	}
}

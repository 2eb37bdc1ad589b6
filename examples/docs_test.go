// Package examples_test keeps docs/recipes.md complete.
package examples_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDocsRecipes requires a recipe for every program.
func TestDocsRecipes(t *testing.T) {
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

package repo

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestDocsGuarantees: the cases, the tests and the rules that docs/guarantees.md names
// as proofs are there.
func TestDocsGuarantees(t *testing.T) {
	text, err := os.ReadFile("docs/guarantees.md")
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	for _, file := range files(t, "*.go") {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		code.Write(source)
	}
	all := code.String()
	for _, kind := range []struct{ name, proof, inCode string }{
		{"case", "`([a-z]+/[a-z-]+)`", `"%", rule: `},
		{"test", "`(Test[A-Za-z]+)`", "\nfunc %("},
		{"rule", `"([A-Za-z ]+)"`, `("%", `},
	} {
		found := 0
		for _, m := range regexp.MustCompile(kind.proof).FindAllStringSubmatch(string(text), -1) {
			if found++; !strings.Contains(all, strings.ReplaceAll(kind.inCode, "%", m[1])) {
				t.Errorf("there is no %s %s", kind.name, m[1])
			}
		}
		if found == 0 {
			t.Errorf("no %ss", kind.name)
		}
	}
}

package pgmq

import (
	"slices"
	"strings"
	"testing"
)

// TestInstallSQL holds InstallSQL to what Install runs where nothing is there,
// except for its questions.
func TestInstallSQL(t *testing.T) {
	text := InstallSQL()
	c := installing(layout113)
	c.answers[statement("has schema", nil)], c.answers[sqlList] = []values{{false, false, false, false, false, false, false, false}}, nil
	r := newRig(t, c)
	if err := Install(t.Context(), r.db); err != nil {
		t.Fatal(err)
	}
	asks := []string{statement("lock timeout", nil), statement("lock timeout of install", nil), statement("has pgmq", nil), statement("has schema", nil), sqlList}
	at, statements := 0, r.texts()
	for _, s := range statements[1 : len(statements)-1] {
		if slices.Contains(asks, s) {
			continue
		}
		i := strings.Index(text[at:], "\n"+s+";\n")
		if i < 0 {
			t.Fatalf("%s is missing or out of order in\n%s", s, text)
		}
		at += i
	}
	if at == 0 || !strings.HasPrefix(text, "BEGIN;\n") || !strings.HasSuffix(text, "\nCOMMIT;\n") {
		t.Errorf("not one transaction:\n%s", text)
	}
}

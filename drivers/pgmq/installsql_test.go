package pgmq

import (
	"strings"
	"testing"
)

// TestInstallSQL holds InstallSQL to what install runs where nothing is there.
func TestInstallSQL(t *testing.T) {
	text := InstallSQL()
	mocked(t, func(t *testing.T, m *mock) {
		m.ExpectBegin()
		m.answers(statement("has pgmq", nil), nil, pgmqMissing)
		installs(m, values{false, false, false, false})
		m.answers(sqlList, nil)
		m.ExpectCommit()
		m.must(Install(t.Context(), m.db))
	})
	at := 0
	for _, name := range []string{"lock install", "make schema", "make meta", "make throttle", "make notify function"} {
		i := strings.Index(text[at:], "\n"+statement(name, nil)+";\n")
		if i < 0 {
			t.Fatalf("%s is missing or out of order in\n%s", name, text)
		}
		at += i
	}
	if !strings.HasPrefix(text, "BEGIN;\n") || !strings.HasSuffix(text, "\nCOMMIT;\n") {
		t.Errorf("not one transaction:\n%s", text)
	}
}

package pgmq

import (
	"strings"
	"testing"
)

func TestIdent(t *testing.T) {
	tests := map[string]string{
		"orders":                `"orders"`,
		"Orders":                `"Orders"`,
		`a"b`:                   `"a""b"`,
		`""`:                    `""""""`,
		`a\"b`:                  `"a\""b"`,
		`x"; DROP TABLE t; -- `: `"x""; DROP TABLE t; -- "`,
		"ü $1 ?":                `"ü $1 ?"`,
	}
	for name, want := range tests {
		if got := ident(name); got != want {
			t.Errorf("%q is quoted as %s, want %s", name, got, want)
		}
	}
}

func TestIdentPanicsOnNUL(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	ident("a\x00b")
}

func TestNamesOfQueue(t *testing.T) {
	tests := []struct{ got, want string }{
		{table("q_", "orders"), `"pgmq"."q_orders"`},
		{table("a_", "orders"), `"pgmq"."a_orders"`},
		{table("q_", `a"b`), `"pgmq"."q_a""b"`},
		{channel("orders"), "pgmq.q_orders.INSERT"},
		{channel(`a"b`), `pgmq.q_a"b.INSERT`},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("got %s, want %s", tt.got, tt.want)
		}
	}
}

// TestChannelLongName: the name of a channel must not be longer than an
// identifier, or pg_notify fails, and the send with it.
func TestChannelLongName(t *testing.T) {
	for _, name := range []string{strings.Repeat("n", maxName), strings.Repeat("値", maxName/3), "x" + strings.Repeat("値", maxName/3), strings.Repeat("n", 49)} {
		if ch := channel(name); len(ch) > 63 || strings.ToValidUTF8(ch, "?") != ch || !strings.HasPrefix(ch, "pgmq.q_"+name[:40]) {
			t.Errorf("queue %q has channel %q, %d bytes", name, ch, len(ch))
		}
	}
	if ch := channel(strings.Repeat("n", maxNewName)); !strings.HasSuffix(ch, "n.INSERT") {
		t.Errorf("the longest name that PGMQ takes has channel %q", ch)
	}
}

// scanIdent reads a quoted identifier as PostgreSQL does.
func scanIdent(s string) (name, rest string, ok bool) {
	if s, ok = strings.CutPrefix(s, `"`); !ok {
		return "", "", false
	}
	for i := 0; i < len(s); i++ {
		if s[i] != '"' {
			continue
		}
		if !strings.HasPrefix(s[i+1:], `"`) {
			return strings.ReplaceAll(s[:i], `""`, `"`), s[i+1:], true
		}
		i++
	}
	return "", "", false
}

func FuzzIdent(f *testing.F) {
	f.Add("orders", "")
	f.Add(`a"b`, `"`)
	f.Add(`"`, ` OR "x"`)
	f.Fuzz(func(t *testing.T, name, rest string) {
		if strings.Contains(name, "\x00") || strings.HasPrefix(rest, `"`) {
			return
		}
		got, left, ok := scanIdent(ident(name) + rest)
		if !ok || got != name || left != rest {
			t.Errorf("%q with %q behind it is read as %q and %q, %v", name, rest, got, left, ok)
		}
	})
}

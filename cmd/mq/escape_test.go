package main

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"plain, é and 日本":        "plain, é and 日本",
		"\x1b[31mred\x1b[0m":     `\u001b[31mred\u001b[0m`,
		"a\tb\nc\r":              `a\tb\nc\r`,
		"\x00\x7f\u009b":         `\u0000\u007f\u009b`,
		"\xff\xc3":               `\xff\xc3`,
		"\u202egnp.exe":          `\u202egnp.exe`,
		"\u200b\ufeff\U000e0041": `\u200b\ufeff\U000e0041`,
		"\ufffd":                 "\ufffd",
	} {
		if got := printable(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("\x1b]0;x\x07\xff")
	f.Fuzz(func(t *testing.T, s string) {
		if got := printable(s); !utf8.ValidString(got) || strings.ContainsFunc(got, unprintable) {
			t.Errorf("%q became %q", s, got)
		}
	})
}

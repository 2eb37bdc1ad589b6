package main

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// printable replaces what a terminal might obey, or show as something else, by
// an escape: control characters, invisible ones such as marks that turn the
// direction of text, and bytes that are not UTF-8.
func printable(s string) string {
	if !strings.ContainsFunc(s, unprintable) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], string(utf8.RuneError)):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case unprintable(r) && r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		case unprintable(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// unprintable is wider than control characters.
func unprintable(r rune) bool { return !unicode.IsPrint(r) && r != utf8.RuneError }

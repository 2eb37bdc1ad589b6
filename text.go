package mq

import (
	"strings"
	"unicode/utf8"
)

// maxReason is the most of an error that becomes the reason of a dead letter.
const maxReason = 1000

// validText makes the text of an error fit for a header.
func validText(s string) string {
	if len(s) > maxReason {
		s = s[:maxReason]
	}
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "")
}

// plainText replaces what a backend may not be able to store, in its encoding
// or otherwise: all but printable ASCII.
func plainText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= utf8.RuneSelf || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}

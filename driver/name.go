package driver

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// FoldName is a QueueName, as [Namer] has it, for providers that take any name of up to
// limit bytes and fold ASCII letters to lower case, so that programs find their queues
// on PGMQ, which does that, too. What is empty, not UTF-8 or has control characters is
// [ErrInvalid].
func FoldName(name string, limit int) (string, error) {
	switch {
	case name == "":
		return "", fmt.Errorf("%w: queue name is empty", ErrInvalid)
	case len(name) > limit:
		return "", fmt.Errorf("%w: queue name is longer than %d bytes", ErrInvalid, limit)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return "", fmt.Errorf("%w: queue name %q has control characters or is not UTF-8", ErrInvalid, name)
	}
	return strings.Map(lower, name), nil
}

func lower(r rune) rune {
	if r >= 'A' && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}

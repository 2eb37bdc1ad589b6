package mqui

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"unicode/utf8"
)

const (
	// bodyShown is how much of a body is shown at first, so that a page stays small.
	bodyShown = 16 << 10
	// hexShown is the same for a hex dump, which takes five times the room.
	hexShown = 4 << 10
	// maxDepth is how deep JSON may be nested to be indented: the room that this takes
	// grows with the square of the depth.
	maxDepth = 64
)

// body is a message's body as it is shown.
type body struct {
	Text string
	Kind string // "JSON", "text" or "binary"
	Size int    // of the whole body
	Cut  int    // bytes of it that are shown, or 0 if that is all
	More bool   // there is more than the page shows
}

// newBody shows the beginning of a body of the given size: JSON with line breaks and
// otherwise as it is, every digit of it, or else text, or else a hex dump.
func newBody(b []byte, size, limit int) *body {
	switch {
	case len(b) == size && utf8.Valid(b) && json.Valid(b) && depth(b) <= maxDepth: // json passes what is not UTF-8
		var out bytes.Buffer
		if err := json.Indent(&out, b, "", "  "); err == nil && out.Len() <= 4*maxBody {
			return textBody(out.Bytes(), "JSON", size, limit)
		}
		return textBody(b, "JSON", size, limit)
	case isText(b, len(b) < size):
		return textBody(b, "text", size, limit)
	}
	limit = max(limit/4, hexShown)
	shown := b[:min(len(b), limit)]
	return &body{Text: hex.Dump(shown), Kind: "binary", Size: size, Cut: cutAt(len(shown), size), More: len(shown) < size}
}

func textBody(b []byte, kind string, size, limit int) *body {
	whole := len(b) >= size && len(b) <= limit
	if len(b) > limit {
		b = b[:limit]
		for len(b) > 0 && !utf8.Valid(b) {
			b = b[:len(b)-1] // cut within a character
		}
	}
	out := &body{Text: string(bytes.ToValidUTF8(b, nil)), Kind: kind, Size: size}
	if !whole {
		out.Cut, out.More = len(b), true
	}
	return out
}

func cutAt(shown, size int) int {
	if shown == size {
		return 0
	}
	return shown
}

// isText reports whether b is UTF-8, except for a character that is cut off at its end, and
// has no control characters that text does not have.
func isText(b []byte, wasCut bool) bool {
	end := b
	for range utf8.UTFMax {
		if utf8.Valid(end) || !wasCut {
			break
		}
		end = end[:max(len(end)-1, 0)]
	}
	return utf8.Valid(end) && !bytes.ContainsAny(b, "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x0e\x0f")
}

// depth returns how deep valid JSON is nested.
func depth(b []byte) (deepest int) {
	now, inString := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
}

package driver

import "strings"

// maxTopic is how long a topic or a pattern may be.
const maxTopic = 255

// CheckTopic reports what is wrong with a topic, or "".
func CheckTopic(topic string) string { return checkWords(topic, "") }

// CheckPattern reports what is wrong with a pattern, or "".
func CheckPattern(pattern string) string {
	for _, pair := range []string{"**", "##", "*#", "#*"} {
		if strings.Contains(pattern, pair) {
			return "it has two wildcards side by side"
		}
	}
	return checkWords(pattern, "*#")
}

func checkWords(s, wildcards string) string {
	switch {
	case s == "":
		return "it is empty"
	case len(s) > maxTopic:
		return "it has more than 255 bytes"
	case strings.HasPrefix(s, "."), strings.HasSuffix(s, "."), strings.Contains(s, ".."):
		return "it has an empty word: a dot at an end, or two side by side"
	}
	for _, c := range s {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && !strings.ContainsRune("._-"+wildcards, c) {
			return "a word has only ASCII letters, digits, hyphens and underscores"
		}
	}
	return ""
}

// MatchTopic reports whether a topic matches a pattern. Both are valid. It takes time in
// proportion to the product of their lengths, whatever they are.
func MatchTopic(pattern, topic string) bool {
	// at[i] says whether what has been read of the pattern matches topic[:i].
	at := make([]bool, len(topic)+1)
	at[0] = true
	for _, c := range []byte(pattern) {
		next := make([]bool, len(at))
		for i := range at {
			switch {
			case c == '#':
				next[i] = at[i] || i > 0 && next[i-1]
			case i == 0:
			case c == '*':
				next[i] = topic[i-1] != '.' && (at[i-1] || next[i-1])
			default:
				next[i] = at[i-1] && topic[i-1] == c
			}
		}
		at = next
	}
	return at[len(topic)]
}

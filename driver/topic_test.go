package driver

import (
	"regexp"
	"strings"
	"testing"
)

func TestMatchTopic(t *testing.T) {
	for _, tt := range []struct {
		pattern string
		yes, no string
	}{
		{"logs", "logs", "log logs.db xlogs"},
		{"logs.*", "logs.db logs.a-b_c", "logs logs.db.slow xlogs.db"},
		{"logs.#", "logs.db logs.db.slow", "logs xlogs.db"},
		{"#", "logs logs.db a.b.c", ""},
		{"*", "logs", "logs.db"},
		{"#.slow", "db.slow logs.db.slow", "slow logs.slow.db"},
		{"a.#.z", "a.b.z a.b.c.z", "a.z az.z"},
		{"a.*.#", "a.b.c a.b.c.d", "a.b a"},
		{"log*", "logs log-2", "log logs.db"},
		{"a#", "a ab a.b", "b"},
	} {
		for topic := range strings.FieldsSeq(tt.yes) {
			if !MatchTopic(tt.pattern, topic) {
				t.Errorf("%s does not match %s", tt.pattern, topic)
			}
		}
		for topic := range strings.FieldsSeq(tt.no) {
			if MatchTopic(tt.pattern, topic) {
				t.Errorf("%s matches %s", tt.pattern, topic)
			}
		}
	}
}

// FuzzMatchTopic compares it with the regular expression that PGMQ makes of a pattern.
func FuzzMatchTopic(f *testing.F) {
	f.Add("logs.*.#", "logs.db.slow")
	f.Add(strings.Repeat("#a", 100), strings.Repeat("a", 250)+"b")
	f.Fuzz(func(t *testing.T, pattern, topic string) {
		if CheckPattern(pattern) != "" || CheckTopic(topic) != "" {
			return
		}
		text := strings.NewReplacer(".", `\.`, "*", "[^.]+", "#", ".*").Replace(pattern)
		if want := regexp.MustCompile("^" + text + "$").MatchString(topic); MatchTopic(pattern, topic) != want {
			t.Errorf("%s and %s: %t, want %t", pattern, topic, !want, want)
		}
	})
}

func TestCheckTopic(t *testing.T) {
	long := strings.Repeat("a", 255)
	for _, ok := range []string{"a", "a.b-c_D9", long} {
		if bad := CheckTopic(ok); bad != "" {
			t.Errorf("topic %q: %s", ok, bad)
		}
	}
	for _, topic := range []string{"", ".a", "a.", "a..b", "a b", "a*", "#", "é", "a/b", long + "a", "a\x00"} {
		if CheckTopic(topic) == "" {
			t.Errorf("topic %q is taken to be valid", topic)
		}
	}
	for _, ok := range []string{"a", "#", "*", "a.*.#", "*.a.#", "a*b", long} {
		if bad := CheckPattern(ok); bad != "" {
			t.Errorf("pattern %q: %s", ok, bad)
		}
	}
	for _, pattern := range []string{"", "a..#", "**", "a.##", "*#", "#*", ".#", "#.", "a?", long + "#"} {
		if CheckPattern(pattern) == "" {
			t.Errorf("pattern %q is taken to be valid", pattern)
		}
	}
}

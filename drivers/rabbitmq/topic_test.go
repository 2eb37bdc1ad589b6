package rabbitmq

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/portmq/mq/driver"
)

func TestTopicKey(t *testing.T) {
	for _, tt := range []struct{ pattern, want string }{
		{"a", "a"},
		{"a.b", "a.b"},
		{"a.*", "a.*"},
		{"#", "#"},
		{"*", "*"},
		{"a.#", "a.*.#"},
		{"#.a", "*.#.a"},
		{"a.#.b.#", "a.*.#.b.*.#"},
		{"*.#", "*.*.#"},
		{"a*", ""},
		{"a#.b", ""},
		{"a.#b", ""},
		{strings.Repeat("#.", 50) + "a", "*.#" + strings.Repeat(".*.#", 49) + ".a"},
		{strings.Repeat("#.", 64) + "a", ""},
	} {
		got, err := topicKey(tt.pattern)
		if got != tt.want || (err != nil) != (tt.want == "") || err != nil && !errors.Is(err, driver.ErrNotSupported) {
			t.Errorf("topicKey(%q) = %q, %v; want %q", tt.pattern, got, err, tt.want)
		}
	}
}

// matches is what AMQP 0.9.1 says of a topic exchange.
func matches(key, topic []string) bool {
	switch {
	case len(key) == 0:
		return len(topic) == 0
	case key[0] == "#":
		return matches(key[1:], topic) || len(topic) > 0 && matches(key, topic[1:])
	}
	return len(topic) > 0 && (key[0] == "*" || key[0] == topic[0]) && matches(key[1:], topic[1:])
}

// FuzzTopicKey: a broker matches what driver.MatchTopic does.
func FuzzTopicKey(f *testing.F) {
	for _, pattern := range []string{"#", "*", "a.#", "#.a", "a.*.#", "a.#.b", "#.a.#", "a.#.*"} {
		for _, topic := range []string{"a", "a.b", "a.a", "b.a", "a.b.a", "a.c.b", "b.a.c", "a.b.c.b"} {
			f.Add(pattern, topic)
		}
	}
	f.Fuzz(func(t *testing.T, pattern, topic string) {
		if driver.CheckPattern(pattern) != "" || driver.CheckTopic(topic) != "" || len(pattern) > 30 || len(topic) > 30 {
			return
		}
		key, err := topicKey(pattern)
		if err != nil {
			return
		}
		if got, want := matches(strings.Split(key, "."), strings.Split(topic, ".")), driver.MatchTopic(pattern, topic); got != want {
			t.Errorf("%s, as %s, matches %s: %v, want %v", pattern, key, topic, got, want)
		}
	})
}

// TestPublished: a message that no queue is bound for succeeds, and one that was refused fails.
func TestPublished(t *testing.T) {
	lost := &amqpError{"lost", driver.ErrUnavailable, errors.New("lost")}
	one := func(ids ...string) []driver.Published { return []driver.Published{{IDs: ids}} }
	for _, tt := range []struct {
		errs []error
		want []driver.Published
		err  error
	}{
		{[]error{nil, nil}, one("1", "2"), nil},
		{[]error{errNobody, errNobody}, nil, nil},
		{[]error{errNobody, nil}, one("1", "2"), nil},
		{[]error{lost, lost}, one("", ""), lost},
		{[]error{lost, errNobody}, one("", "2"), &driver.BatchError{Errs: []error{lost, nil}}},
	} {
		got, err := published([]string{"1", "2"}, slices.Clone(tt.errs))
		if !reflect.DeepEqual(got, tt.want) || !reflect.DeepEqual(err, tt.err) {
			t.Errorf("published(%v) = %v, %v; want %v, %v", tt.errs, got, err, tt.want, tt.err)
		}
	}
}

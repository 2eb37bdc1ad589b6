package drivertest

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/portmq/mq"
)

// Cases of driver.GroupBy.Path.
var pathCases = []testCase{
	{name: "group/path", rule: "GroupBy.Path goes through objects and arrays, from their end too, and the value is compared as text", needs: groupedByPath, run: groupPath},
	{name: "group/path-text", rule: "the value at GroupBy.Path is compared as the text that driver.JSONText returns", needs: groupedByPath, run: groupPathText},
	{name: "group/several-paths", rule: "one queue can be read by several GroupBy", needs: groupedByPath, run: groupSeveralPaths},
	{name: "group/path-missing", rule: "a body that is not JSON, or has nothing or a null at the path, is a group of its own", needs: groupedByPath, run: groupPathMissing},
	{name: "group/path-keys", rule: "the steps of a path are keys as they are, whatever characters they have", needs: groupedByPath, run: groupPathKeys},
}

// headsByPath sends bodies, and checks which of them are heads by path.
func (t *tester) headsByPath(path []string, groups map[string]string, sent []string, want ...string) {
	t.Helper()
	q := t.queue()
	t.send(q, sent...)
	by := mq.GroupBy{Path: path}
	ds := t.heads(q, by, len(want))
	for i, d := range ds {
		if !sameJSON(d.Body, []byte(want[i])) && string(d.Body) != want[i] {
			t.Errorf("by %q head %d is %s, want %s", path, i, d.Body, want[i])
		}
		if group, ok := groups[want[i]]; ok && (d.GroupKey != group || d.Group != "") {
			t.Errorf("by %q, %s has Group %q and GroupKey %q, want none and %q", path, d.Body, d.Group, d.GroupKey, group)
		}
	}
	t.blocked(q, by, fmt.Sprintf("each group by %q has a lease", path))
}

func groupPath(t *tester) {
	t.headsByPath([]string{"id"}, map[string]string{`{"id":"x"}`: "x", `{"id":7}`: "7"},
		[]string{`{"id":"x"}`, "\n {\"id\" : \"x\"}", `{"id":7}`, `{"id":"7"}`, `{"id":true}`, `{"id":"true"}`},
		`{"id":"x"}`, `{"id":7}`, `{"id":true}`)
	t.headsByPath([]string{"a", "b"}, map[string]string{`{"a":{"b":"x"}}`: "x"},
		[]string{`{"a":{"b":"x"}}`, `{"a":{"b":"y"}}`, `{"a":{"b":"x"},"b":"z"}`},
		`{"a":{"b":"x"}}`, `{"a":{"b":"y"}}`)
	t.headsByPath([]string{"list", "-1"}, nil,
		[]string{`{"list":[1,2]}`, `{"list":[0,1,2]}`, `{"list":[2,1]}`},
		`{"list":[1,2]}`, `{"list":[2,1]}`)
	t.headsByPath([]string{"list", "1"}, nil,
		[]string{`{"list":["p","x"]}`, `{"list":["q","x"]}`, `{"list":["p","y"]}`, `{"list":{"1":"x"}}`},
		`{"list":["p","x"]}`, `{"list":["p","y"]}`)
}

func groupSeveralPaths(t *tester) {
	q := t.queue()
	for i, body := range []string{`{"a":1,"b":1}`, `{"a":1,"b":2}`, `{"a":1,"b":2}`} {
		t.post(q, &mq.Message{Body: []byte(body), Group: strconv.Itoa(i)})
	}
	for _, by := range []struct {
		path  []string
		heads int
	}{{[]string{"a"}, 1}, {[]string{"b"}, 2}, {nil, 3}, {[]string{"a"}, 1}} {
		group := mq.GroupBy{Path: by.path}
		ds := t.heads(q, group, by.heads)
		t.blocked(q, group, fmt.Sprintf("each group by %q has a lease", by.path))
		t.ok(q.Settle(t.ctx, each(ds, mq.Settlement{Op: mq.OpNack})...), "nack")
	}
}

func groupPathMissing(t *tester) {
	alone := []string{`{}`, `{"id":null}`, `{"ID":1}`, `[1]`, `"id"`, `null`, `no JSON`, `{"id":`, `{"other":1}`}
	alone = append(alone, alone...)
	t.headsByPath([]string{"id"}, nil, append([]string{`{"id":1}`, `{"id":1,"n":2}`, `{"id":""}`}, alone...),
		append([]string{`{"id":1}`, `{"id":""}`}, alone...)...)
	t.headsByPath([]string{"a", "b"}, nil,
		[]string{`{"a":1}`, `{"a":1}`, `{"a":{}}`, `{"a":[]}`, `{"a":{"b":null}}`},
		`{"a":1}`, `{"a":1}`, `{"a":{}}`, `{"a":[]}`, `{"a":{"b":null}}`)
}

func groupPathKeys(t *tester) {
	for _, key := range []string{"a,b", "a b", "a{b", "", "it's", "日本", "$.a", "a.b", "NULL", "%s"} {
		body := func(value string) string { return fmt.Sprintf("{%q:%q}", key, value) }
		t.headsByPath([]string{key}, map[string]string{body("x"): "x"},
			[]string{body("x"), body("x"), body("y")},
			body("x"), body("y"))
	}
}

// pathTexts are bodies with the texts at a path, nil where there is none: the rows of
// the comment of driver.JSONText, and more.
var pathTexts = []struct {
	path string
	rows []pathText
}{
	{"a", []pathText{
		{`{"a":"x"}`, new("x")},
		{`{"a":1}`, new("1")},
		{`{"a":"1"}`, new("1")},
		{`{"a":true}`, new("true")},
		{`{"a":"true"}`, new("true")},
		{`{"a":""}`, new("")},
		{`{"a":null}`, nil},
		{`{"b":1}`, nil},
		{`no JSON`, nil},
		{`{"a":"\u0000"}`, nil},
		{`{"a":12345678901234567890}`, new("12345678901234567890")},
		{`{"a":12345678901234567891}`, new("12345678901234567891")},
		{`{"a":1e2}`, new("100")},
		{`{"a":100}`, new("100")},
		{`{"a":100.0}`, new("100.0")},
		{`{"a":1.50}`, new("1.50")},
		{`{"a":1.5e-3}`, new("0.0015")},
		{`{"a":-0}`, new("0")},
		{`{"a":1,"a":2}`, new("2")},
		{`{"a":{"b":["x"]}}`, new(`{"b": ["x"]}`)},
		{`{"a":{"cc":[1,2],"b":1e2}}`, new(`{"b": 100, "cc": [1, 2]}`)},
		{`["x","y"]`, nil},
	}},
	{"0", []pathText{
		{`{"0":"x"}`, new("x")},
		{`["x","y"]`, new("x")},
		{`["y","x"]`, new("y")},
		{`[]`, nil},
		{`[null]`, nil},
		{`{"00":"x"}`, nil},
	}},
	{"-1", []pathText{
		{`["x","y"]`, new("y")},
		{`{"-1":"y"}`, new("y")},
		{`["x"]`, new("x")},
		{`[]`, nil},
	}},
	{"2", []pathText{{`["x","y"]`, nil}, {`["x","y",3]`, new("3")}}},
	{"-3", []pathText{{`["x","y"]`, nil}, {`["x","y",3]`, new("x")}}},
	{"a b", []pathText{{`{"a":1}`, nil}, {`{"a":{"b":false}}`, new("false")}}},
	{"a b 0", []pathText{
		{`{"a":{"b":["x"]}}`, new("x")},
		{`{"a":{"b":{"0":"x"}}}`, new("x")},
		{`{"a":{"b":"x"}}`, nil},
	}},
}

type pathText struct {
	body string
	text *string
}

//go:fix inline
func groupPathText(t *tester) {
	for _, e := range pathTexts {
		var sent, want []string
		groups := make(map[string]string)
		seen := make(map[string]bool)
		for _, row := range e.rows {
			sent = append(sent, row.body)
			if row.text != nil {
				if seen[*row.text] {
					continue
				}
				seen[*row.text] = true
				groups[row.body] = *row.text
			} else {
				groups[row.body] = ""
			}
			want = append(want, row.body)
		}
		t.headsByPath(strings.Fields(e.path), groups, sent, want...)
	}
}

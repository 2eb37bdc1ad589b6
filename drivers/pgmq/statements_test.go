package pgmq

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template/parse"

	"github.com/portmq/mq/driver"
)

var update = flag.Bool("update", false, "rewrite testdata/statements.golden")

const goldenFile = "testdata/statements.golden"

// TestStatementsGolden makes a change of SQL show in a review:
// go test ./drivers/pgmq -run Golden -update.
func TestStatementsGolden(t *testing.T) {
	got := rendered()
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(goldenFile, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	wants := sections(string(want))
	gots := sections(got)
	for _, name := range slices.Sorted(maps.Keys(gots)) {
		if gots[name] != wants[name] {
			t.Errorf("%s is\n%s\nwant\n%s", name, gots[name], wants[name])
		}
		delete(wants, name)
	}
	for name := range wants {
		t.Errorf("%s is no longer rendered", name)
	}
}

func sections(golden string) map[string]string {
	m := make(map[string]string)
	for part := range strings.SplitSeq(golden, "\n-- ") {
		name, text, _ := strings.Cut(part, "\n")
		m[name] = strings.TrimSpace(text)
	}
	return m
}

// rendered returns the statements of the golden file.
func rendered() string {
	var b strings.Builder
	b.WriteString("What statements.sql makes of queue \"jobs\". Written by go test -update.\n")
	add := func(name, text string) { fmt.Fprintf(&b, "\n-- %s\n%s\n", name, text) }
	for _, version := range []string{"1.13", "1.4"} {
		l := map[string]layout{"1.13": layout113, "1.4": layout14}[version]
		for name, text := range ofQueue(l) {
			add(version+" "+name, text)
		}
	}
	for name, text := range ofGroups() {
		add(name, text)
	}
	for name, text := range ofAll() {
		add(name, text)
	}
	return b.String()
}

// ofQueue yields the statements of a queue, by the names of their fields.
func ofQueue(l layout) func(func(string, string) bool) {
	return func(yield func(string, string) bool) {
		v := reflect.ValueOf(l.texts("jobs"))
		for i := range v.NumField() {
			if !yield(v.Type().Field(i).Name, v.Field(i).String()) {
				return
			}
		}
		n := l.names("jobs")
		n.To = layout113.names("other").Q
		yield("move", statement("move", n))
	}
}

// ofGroups yields the statements of a grouping, with and without indexes.
func ofGroups() func(func(string, string) bool) {
	byPath := driver.GroupBy{Path: []string{"customer", "id"}}
	return func(yield func(string, string) bool) {
		for _, g := range []struct {
			what string
			l    layout
			by   driver.GroupBy
		}{{"plain groups: ", layout113, driver.GroupBy{}}, {"indexed groups: ", layout14.indexed(byPath), byPath}} {
			grouping := groupingOf(g.l, g.by)
			_ = yield(g.what+"choose", grouping.choose) && yield(g.what+"claim", grouping.claim) &&
				yield(g.what+"lock", grouping.lock) && yield(g.what+"drain", grouping.drain)
		}
	}
}

func groupingOf(l layout, by driver.GroupBy) *grouping {
	g := &grouping{q: &queue{name: "jobs", names: l.names("jobs")}}
	g.prepare(groupKey(by))
	return g
}

// ofAll yields what is not of the hot paths.
func ofAll() func(func(string, string) bool) {
	n := layout113.names("jobs")
	n.Key = groupKey(driver.GroupBy{})
	indexes := struct {
		tableNames
		VTIndex, ArchivedAtIndex, GroupIndex, LeaseIndex, Literal string
		Every                                                     int64
	}{n, ident("q_jobs_vt_idx"), ident("archived_at_idx_jobs"), ident("mq_group_1"), ident("mq_lease_1"), literal("jobs"), 250}
	return func(yield func(string, string) bool) {
		for _, name := range constants {
			_ = yield(name, statement(name, nil))
		}
		for _, name := range []string{"tune queue", "make queue", "make archive", "drop queue", "drop archive"} {
			_ = yield(name, statement(name, n))
		}
		for _, name := range []string{"make index", "make archive index", "make trigger", "make group index", "make lease index"} {
			_ = yield(name, statement(name, indexes))
		}
		for _, name := range []string{"add headers", "add last_read_at"} {
			_ = yield(name, statement(name, n.Q))
		}
		yield("drop index", statement("drop index", ident("mq_group_1")))
	}
}

// constants are the statements that are the same for every queue.
var constants = []string{
	"notify", "abort", "list", "shape", "throttle", "ping", "has pgmq", "pgmq create", "pgmq enable notify", "pgmq drop", "spellings",
	"lock queue", "lock install", "try lock indexes", "drop snapshot", "make schema", "has schema", "make meta", "make throttle", "make notify function", "make meta row",
	"make throttle row", "drop meta rows",
}

// TestStatementsComplete keeps statements.sql free of what nobody uses, and
// the golden file from missing something.
func TestStatementsComplete(t *testing.T) {
	used := make(map[string]bool)
	for _, tmpl := range statements.Templates() {
		if tmpl.Tree != nil {
			included(tmpl.Root, used)
		}
	}
	golden := make(map[string]bool)
	for name := range sections(rendered()) {
		name = strings.TrimPrefix(strings.TrimPrefix(name, "1.13 "), "1.4 ")
		golden[squeeze(name)] = true
	}
	for _, name := range []string{"choose groups", "choose groups without an index", "claim groups", "lock group", "claim group"} {
		golden[squeeze(name)] = true
	}
	for _, tmpl := range statements.Templates() {
		if name := tmpl.Name(); name != "statements.sql" && !used[name] && !golden[squeeze(name)] {
			t.Errorf("statement %q is neither in the golden file nor a part of another", name)
		}
	}
}

func squeeze(name string) string { return strings.ToLower(strings.ReplaceAll(name, " ", "")) }

// included notes which templates a node includes.
func included(node parse.Node, used map[string]bool) {
	switch n := node.(type) {
	case *parse.TemplateNode:
		used[n.Name] = true
	case *parse.ListNode:
		for _, child := range n.Nodes {
			included(child, used)
		}
	case *parse.IfNode:
		branch(&n.BranchNode, used)
	case *parse.RangeNode:
		branch(&n.BranchNode, used)
	}
}

func branch(n *parse.BranchNode, used map[string]bool) {
	included(n.List, used)
	if n.ElseList != nil {
		included(n.ElseList, used)
	}
}

// TestStatementsOfLayout checks that no statement names a column that is not
// there, and that each uses those that are.
func TestStatementsOfLayout(t *testing.T) {
	var (
		headers  = regexp.MustCompile(`\bheaders\b`)
		lastRead = regexp.MustCompile(`\blast_read_at\b`)
		kept     = regexp.MustCompile(`INSERT INTO "pgmq"."a_jobs" \(([^)]*)\)`)
	)
	for name, l := range layouts {
		s := l.shape()
		for what, text := range ofQueue(l) {
			here := s
			switch what {
			case "move": // to a queue with headers
				text = strings.ReplaceAll(text, "NULL::jsonb AS headers", "")
				text, _, _ = strings.Cut(text, "i AS (INSERT")
			case "settle":
				continue
			case "browseArchive":
				here.Headers = s.ArchivedHeaders
			case "redrive":
				here.Headers = s.Headers && s.ArchivedHeaders
			}
			text = strings.ReplaceAll(text, "'mq.groups'", "")
			if headers.MatchString(text) && !here.Headers {
				t.Errorf("%s: %s names headers: %s", name, what, text)
			}
			if lastRead.MatchString(text) && !s.LastReadAt {
				t.Errorf("%s: %s names last_read_at: %s", name, what, text)
			}
		}
		if c := l.texts("jobs"); l.archive == "" {
			if strings.Contains(c.settle, `a_jobs`) || strings.Contains(c.stats, `a_jobs`) {
				t.Errorf("%s: a statement names the archive", name)
			}
		} else if got := kept.FindStringSubmatch(c.settle); got == nil || got[1] != strings.Join(s.Kept, ", ") {
			t.Errorf("%s: it archives the columns %v, want %v", name, got, s.Kept)
		}
	}
}

func TestStatementsUseColumns(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		l          layout
		has        bool
		part       string
	}{
		{"insert", jobs.insert, layout113, true, "headers"},
		{"claim", jobs.claim, layout113, true, "q.headers"},
		{"claim of 1.4", layout14.texts("jobs").claim, layout14, true, "NULL::jsonb"},
		{"claim", jobs.claim, layout113, true, "last_read_at = clock_timestamp()"},
		{"settle", jobs.settle, layout113, true, "last_read_at = NULL"},
		{"settle", jobs.settle, layout113, true, "x.last_read_at"},
		{"stats", jobs.stats, layout113, true, "last_read_at IS NOT NULL"},
		{"redrive", jobs.redrive, layout113, true, "'mq-origin'"},
		{"redrive of a half", layoutHalf.texts("jobs").redrive, layoutHalf, false, "'mq-origin'"},
		{"archive of a half", layoutHalf.texts("jobs").browseArchive, layoutHalf, true, "NULL::jsonb"},
		{"queue of a half", layoutHalf.texts("jobs").browse, layoutHalf, true, "q.headers"},
		{"settle of a half", layoutHalf.texts("jobs").settle, layoutHalf, false, "'mq-reason'"},
	} {
		if strings.Contains(tt.text, tt.part) != tt.has {
			t.Errorf("%s: it has %q: %v, want %v: %s", tt.name, tt.part, !tt.has, tt.has, tt.text)
		}
	}
}

// TestStatementsOrder is what order=id changes.
func TestStatementsOrder(t *testing.T) {
	due, id := textsOf(namesOf("jobs", layout113.shape(), "vt")), textsOf(namesOf("jobs", layout113.shape(), "msg_id"))
	for what, pair := range map[string][2]string{"claim": {due.claim, id.claim}, "pop": {due.pop, id.pop}} {
		if !strings.Contains(pair[0], "ORDER BY vt LIMIT $1") || !strings.Contains(pair[1], "ORDER BY msg_id LIMIT $1") {
			t.Errorf("%s by vt is %s, by msg_id %s", what, pair[0], pair[1])
		}
	}
	if due.settle != id.settle || due.probe != id.probe {
		t.Error("the order is in a statement that has none")
	}
}

// TestStatementsInfiniteTimes: other programs may write them, and the client
// libraries do not read them.
func TestStatementsInfiniteTimes(t *testing.T) {
	column := regexp.MustCompile(`(?:RETURNING|SELECT|,) q\.(enqueued_at|vt|archived_at)\b`)
	for _, tt := range []struct{ name, text string }{
		{"pop", jobs.pop}, {"browse", jobs.browse}, {"browse archive", jobs.browseArchive},
	} {
		if got := column.FindString(tt.text); got != "" {
			t.Errorf("%s returns a time that may be infinite: %q", tt.name, got)
		}
	}
	if got := column.FindStringSubmatch(jobs.claim); got != nil && got[1] != "vt" { // which it sets
		t.Errorf("claim returns %q", got)
	}
}

// nasty are names that PostgreSQL takes.
var nasty = []string{
	`a"b`, `a""b`, `a'b`, `a''b`, `a.b`, `a b`, `a  b`, `a\b`, `a\`, `$1`, `a;drop table x;--`, `{{.Q}}`, `a%sb`, `ключ`, `値`, `"`, `'`, `/* a`,
}

// TestStatementsNasty checks that a name, whatever is in it, is quoted wherever
// it is: with the quoted forms taken out nothing of it is left, and the rest is
// the statement that other queues have.
func TestStatementsNasty(t *testing.T) {
	mark := func(queue string) *strings.Replacer {
		quoted := strings.ReplaceAll(queue, `"`, `""`)
		q, a := `"pgmq"."q_`+quoted+`"`, `"pgmq"."a_`+quoted+`"`
		literal := func(s string) string { return "E'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(s) + "'" }
		return strings.NewReplacer(literal(q), "<Q literal>", literal(a), "<A literal>", q, "<Q>", a, "<A>")
	}
	plain, usual := reflect.ValueOf(jobs), mark("jobs")
	for _, queue := range nasty {
		of, odd := reflect.ValueOf(layout113.texts(queue)), mark(queue)
		for i := range of.NumField() {
			got, want := odd.Replace(of.Field(i).String()), usual.Replace(plain.Field(i).String())
			if got != want {
				t.Errorf("queue %q: %s is\n%s\nwant\n%s", queue, of.Type().Field(i).Name, got, want)
			}
		}
	}
}

func TestStatementPanics(t *testing.T) {
	defer func() {
		if v := recover(); v == nil || !strings.HasPrefix(fmt.Sprint(v), "pgmq: ") {
			t.Errorf("it panics with %v", v)
		}
	}()
	statement("no such statement", nil)
}

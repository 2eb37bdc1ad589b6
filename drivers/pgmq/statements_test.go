package pgmq

import (
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

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

// rendered returns the golden file: the statements of a queue of the newest
// layout and of the oldest, what is special about others, and all the rest.
func rendered() string {
	var b strings.Builder
	b.WriteString("The statements of queue \"jobs\". Written by go test -update.\n")
	add := func(name, text string) { fmt.Fprintf(&b, "\n-- %s\n%s\n", name, text) }
	addQueue(add, "1.13 ", layout113)
	addQueue(add, "1.4 ", layout14)
	half, alone, byID := layoutHalf.texts("jobs"), layoutAlone.texts("jobs"), textsOf(namesOf("jobs", layout113.shape(), "msg_id"))
	add("old archive: browseArchive", half.browseArchive)
	add("old archive: redrive", half.redrive)
	add("old archive: settle", half.settle)
	add("no archive: settle", alone.settle)
	add("no archive: stats", alone.stats)
	add("by id: claim", byID.claim)
	add("by id: pop", byID.pop)
	add("bodies", statement("bodies", layout113.names("jobs")))
	add("rows", statement("rows", layout113.names("jobs")))
	add("1.4 rows", statement("rows", layout14.names("jobs")))
	add("blind: claim", statement("claim", layout113.names("jobs").blind()))
	add("measured: claim", statement("claim", layout113.names("jobs").measured()))
	addPages(add)
	byPath := driver.GroupBy{Path: []string{"customer", "id"}}
	addGroups(add, "plain groups: ", layout113, driver.GroupBy{})
	addGroups(add, "indexed groups: ", layout14.indexed(byPath), byPath)
	few := driver.GroupBy{Limit: 4}
	addGroups(add, "plain groups with a limit: ", layout113, few)
	addGroups(add, "indexed groups with a limit: ", layout113.indexed(few), few)
	addAll(add)
	return b.String()
}

// addPages adds the statements of pages that are not those of all days.
func addPages(add func(name, text string)) {
	q := &queue{name: "jobs", names: layout113.names("jobs")}
	old := &queue{name: "jobs", names: layout14.names("jobs")}
	page := func(q *queue, r driver.BrowseRequest, blind bool) string {
		text, _ := pageStatement(q, 0, r, blind)
		return text
	}
	add("blind: browse", page(q, driver.BrowseRequest{Archive: true}, true))
	add("newest: browse", page(q, driver.BrowseRequest{Newest: true}, false))
	add("some, cut: browse", page(q, driver.BrowseRequest{IDs: []string{"1"}, CutBody: 10}, false))
	add("1.4, archived, cut: browse", page(old, driver.BrowseRequest{Archive: true, CutBody: 10}, false))
	add("search", searchStatement(q, driver.BrowseRequest{}))
	add("archived, newest, cut: search", searchStatement(q, driver.BrowseRequest{Archive: true, Newest: true, CutBody: 10}))
	add("1.4 search", searchStatement(old, driver.BrowseRequest{}))
	add("reasons", statement("reasons", q.names.archived()))
	add("1.4 reasons", statement("reasons", old.names.archived()))
	cut := q.names.measured()
	cut.Cut = "$2"
	add("cut: bodies", statement("bodies", cut))
}

// addQueue adds the statements of a queue, by the names of their fields.
func addQueue(add func(name, text string), prefix string, l layout) {
	v := reflect.ValueOf(l.texts("jobs"))
	for i := range v.NumField() {
		add(prefix+v.Type().Field(i).Name, v.Field(i).String())
	}
	n := l.names("jobs")
	n.To = layout113.names("other").Q
	add(prefix+"move", statement("move", n))
	n.Kept, n.Revokes = nil, true
	add(prefix+"override", statement("settle", n))
}

func addGroups(add func(name, text string), prefix string, l layout, by driver.GroupBy) {
	g := groupingOf(l, by)
	add(prefix+"choose", g.choose)
	add(prefix+"claim", g.claim)
	add(prefix+"lock", g.lock)
	add(prefix+"drain", g.drain)
}

func groupingOf(l layout, by driver.GroupBy) *grouping {
	g := &grouping{q: &queue{name: "jobs", names: l.names("jobs")}}
	g.prepare(by)
	return g
}

// addAll adds what is not of the hot paths.
func addAll(add func(name, text string)) {
	n := layout113.names("jobs")
	n.Key = groupKey(driver.GroupBy{})
	indexes := struct {
		tableNames
		VTIndex, ArchivedAtIndex, GroupIndex, LeaseIndex, Literal string
		Concurrently                                              bool
		Every                                                     int64
	}{n, ident("q_jobs_vt_idx"), ident("archived_at_idx_jobs"), ident("mq_group_1"), ident("mq_lease_1"), literal("jobs"), true, 250}
	for _, name := range constants {
		add(name, statement(name, nil))
	}
	for _, name := range []string{"tune queue", "make queue", "make archive", "drop queue", "drop archive", "raise ids", "drop trigger"} {
		add(name, statement(name, n))
	}
	unlogged := n
	unlogged.Unlogged = true
	add("unlogged: make queue", statement("make queue", unlogged))
	for _, name := range []string{"make index", "make archive index", "make trigger", "make group index", "make lease index"} {
		add(name, statement(name, indexes))
	}
	indexes.Limited = true
	add("limit: make lease index", statement("make lease index", indexes))
	for _, name := range []string{"add headers", "add last_read_at"} {
		add(name, statement(name, n.Q))
	}
	unique := n
	unique.Waits, unique.Notifies = true, true
	add("waiting: insert unique", statement("insert unique", unique))
	unique.ManyKeys = true
	add("many: insert unique", statement("insert unique", unique))
	add("forget keys", statement("forget keys", n))
	old := &queue{name: "old", names: layout14.names("old")}
	add("publish", (&route{queues: []*queue{{name: "jobs", names: layout113.names("jobs")}, old}}).statement())
	add("sweeping: report", statement("report", true))
	add("drop index", statement("drop index", ident("mq_group_1")))
	add("remove archived", statement("remove archived", n))
	add("pages", statement("pages", n.QName))
}

// constants are the statements that are the same for every queue.
var constants = []string{
	"notify", "abort", "list", "shape", "throttle", "ping", "settings", "has pgmq", "pgmq create", "pgmq drop", "spellings",
	"lock queue", "lock install", "try lock indexes", "drop snapshot", "make schema", "has schema", "make meta", "make throttle", "make notify function", "make meta row",
	"make throttle row", "set throttle row", "drop throttle row", "spelling", "pgmq create unlogged", "pgmq create partitioned", "drop meta rows", "in the way", "condition", "clock", "holders", "lockers", "blockers", "indexer", "cancel", "lock timeout", "lock timeout of install",
	"has table", "make keys", "forget dropped keys",
	"make paused", "pause", "resume", "paused", "may resume",
	"make consumers", "report", "forget report", "consumers",
	"has bindings", "make bindings", "bind", "unbind", "bindings", "bound",
}

// statementsSQL returns all files of SQL.
func statementsSQL(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	names, err := fs.Glob(sqlFiles, "sql/*.sql")
	if err != nil || len(names) == 0 {
		t.Fatalf("files of SQL: %v, %v", names, err)
	}
	for _, name := range names {
		text, err := sqlFiles.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// TestStatementsComplete keeps the files of SQL free of what nobody uses, and
// the golden file from missing something.
func TestStatementsComplete(t *testing.T) {
	squeeze := func(name string) string { return strings.ToLower(strings.ReplaceAll(name, " ", "")) }
	golden := make(map[string]bool)
	for name := range sections(rendered()) {
		golden[squeeze(strings.TrimPrefix(name, "1.13 "))] = true
	}
	for _, name := range []string{"choose groups", "choose groups without an index", "claim groups", "lock group", "claim group"} { // see addGroups
		golden[squeeze(name)] = true
	}
	all := statementsSQL(t)
	for _, m := range regexp.MustCompile(`{{-? ?define "([^"]+)"}}`).FindAllStringSubmatch(all, -1) {
		if !golden[squeeze(m[1])] && !strings.Contains(all, `{{template "`+m[1]+`"`) {
			t.Errorf("statement %q is neither in the golden file nor a part of another", m[1])
		}
	}
}

// TestStatementsWidth: lines longer than this have to be scrolled in a review.
func TestStatementsWidth(t *testing.T) {
	for line := range strings.Lines(statementsSQL(t)) {
		if line = strings.TrimSuffix(line, "\n"); len(line) > 110 {
			t.Errorf("%d columns, want at most 110: %s", len(line), line)
		}
	}
}

// TestStatementsInfiniteTimes: other programs may write them, and the client
// libraries do not read them.
func TestStatementsInfiniteTimes(t *testing.T) {
	column := regexp.MustCompile(`(?:RETURNING|SELECT|,) q\.(enqueued_at|vt|archived_at)\b`)
	for _, text := range []string{jobs.pop, jobs.browse, jobs.browseArchive, strings.ReplaceAll(jobs.claim, "q.vt", "")} { // which it sets
		if got := column.FindString(text); got != "" {
			t.Errorf("a time that may be infinite is returned, %q: %s", got, text)
		}
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

// TestTemplateNames: a template that is defined twice would replace another one without
// a word.
func TestTemplateNames(t *testing.T) {
	files, err := sqlFiles.ReadDir("sql")
	if err != nil {
		t.Fatal(err)
	}
	in := make(map[string]string)
	for _, f := range files {
		text, err := sqlFiles.ReadFile("sql/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`{{define "([^"]*)"}}`).FindAllStringSubmatch(string(text), -1) {
			if other, twice := in[m[1]]; twice {
				t.Errorf("%q is defined in %s and in %s", m[1], other, f.Name())
			}
			in[m[1]] = f.Name()
		}
	}
}

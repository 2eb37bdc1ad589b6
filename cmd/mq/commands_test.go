package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/mem"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what is printed (go test -update writes it):\n%s", path, got)
	}
}

func TestHelp(t *testing.T) {
	d := newDesk(t, "mem")
	for _, command := range []string{"", "receive", "archive"} {
		golden(t, strings.TrimSpace("help "+command)+".golden", d.must(append([]string{"help"}, strings.Fields(command)...)...))
	}
	if asked, helped := d.must("send", "-help"), d.must("help", "send"); asked != helped {
		t.Errorf("mq send -help prints\n%s", asked)
	}
}

// TestCommands checks what is wanted of each command.
func TestCommands(t *testing.T) {
	takes := make(map[string]bool)
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Runnable() && cmd.Example == "" && cmd.Parent().Name() != "completion" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		for line := range strings.Lines(cmd.Example) {
			if !strings.HasPrefix(line, "  ") || !strings.Contains(line, "mq ") {
				t.Errorf("%s: an example is %q", cmd.CommandPath(), line)
			}
			checkCommands(t, cmd.CommandPath(), line)
		}
		for line := range strings.Lines(cmd.Long) {
			if len(line) > 86 && cmd.Parent() != nil && cmd.Parent().Name() != "completion" {
				t.Errorf("%s: a long line: %q", cmd.CommandPath(), line)
			}
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	root := newRoot(new(app))
	walk(root)
	eachFlag(root, func(f *pflag.Flag) {
		value, seen := takes[f.Name]
		if seen && value != (f.NoOptDefVal == "") {
			t.Errorf("-%s takes a value in one command and none in another", f.Name)
		}
		takes[f.Name] = f.NoOptDefVal == ""
	})
}

// words are those of a shell: what is between quotes, a pipe, anything else.
var words = regexp.MustCompile(`'[^']*'|\||[^\s|]+`)

// checkCommands parses the calls of mq in a text. internal/integration/docs
// runs them.
func checkCommands(t *testing.T, where, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.NewReplacer("<(", "| ", ")", "").Replace(line)
		var args []string
		for _, word := range append(words.FindAllString(line, -1), "|") {
			if word != "|" && word != "&&" {
				args = append(args, strings.Trim(word, "'"))
				continue
			}
			if len(args) > 0 && args[0] == "mq" {
				if err := parse(args[1:]); err != nil {
					t.Errorf("%s: %s: %v", where, strings.TrimSpace(line), err)
				}
			}
			args = nil
		}
	}
}

func commandTree() *cobra.Command {
	root := newRoot(new(app))
	root.InitDefaultHelpCmd()
	return root
}

// parse takes a call of mq for what it is.
func parse(args []string) error {
	root := commandTree()
	cmd, rest, err := root.Find(doubleDashes(root, args))
	if err == nil {
		cmd.InitDefaultVersionFlag()
		err = cmd.ParseFlags(rest)
	}
	if err == nil {
		err = cmd.ValidateArgs(cmd.Flags().Args())
	}
	return err
}

func readDoc(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")
	textBlock  = regexp.MustCompile("(?ms)^```text\n(mq: line.*?)^```$")
	anyBlock   = regexp.MustCompile("(?ms)^```.*?^```$")
	inlineCode = regexp.MustCompile("`([^`]+)`")
)

// inline returns the code in the prose of a document.
func inline(text string) (codes []string) {
	for _, m := range inlineCode.FindAllStringSubmatch(anyBlock.ReplaceAllString(text, ""), -1) {
		codes = append(codes, strings.Join(strings.Fields(m[1]), " "))
	}
	return codes
}

// TestDocsCommands parses the calls of mq in the documentation, and looks for
// the flags that the guide names.
func TestDocsCommands(t *testing.T) {
	root := commandTree()
	known := make(map[string]bool)
	eachFlag(root, func(f *pflag.Flag) {
		known["-"+f.Name] = true
		known["-"+f.Shorthand] = true
	})
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "../../README.md") {
		name := strings.TrimPrefix(filepath.ToSlash(page), "../../")
		text := readDoc(t, name)
		for _, m := range shellBlock.FindAllStringSubmatch(text, -1) {
			checkCommands(t, name, m[1])
		}
		for _, code := range inline(text) {
			args := strings.Fields(code)
			switch {
			case args[0] == "mq" && len(args) > 1:
				if cmd, rest, err := root.Find(doubleDashes(root, args[1:])); err != nil {
					t.Errorf("%s: %s: %v", name, code, err)
				} else {
					args = append([]string{cmd.Name()}, rest...)
				}
			case name != "docs/cli.md":
				continue
			}
			for _, arg := range args {
				if flag := strings.Trim(arg, "[]"); len(flag) > 1 && flag[0] == '-' && flag[:2] != "--" && !known[flag] {
					t.Errorf("%s: %s: there is no flag %s", name, code, flag)
				}
			}
		}
	}
}

// TestDocsGuide requires the guide to name all commands and exit codes, and no
// others.
func TestDocsGuide(t *testing.T) {
	guide := readDoc(t, "docs/cli.md")
	var have, named []string
	for _, cmd := range commandTree().Commands() {
		if !slices.Contains([]string{"help", "completion", "version"}, cmd.Name()) {
			have = append(have, cmd.Name())
		}
	}
	for _, row := range rows(t, guide, "| to do |") {
		for _, code := range inline(row[1]) {
			named = append(named, strings.Fields(code)[0])
		}
	}
	sameSet(t, "commands", named, have)

	codes := func(title string) (codes []string) {
		for _, row := range rows(t, guide, title) {
			codes = append(codes, strings.Trim(strings.Fields(row[0])[0], "`"))
		}
		return codes
	}
	numbers := func(ns ...int) (codes []string) {
		for _, n := range ns {
			codes = append(codes, strconv.Itoa(n))
		}
		return codes
	}
	sameSet(t, "exit codes", codes("| code |"), numbers(exitOK, exitFailure, exitUsage, exitTempFail, exitInterrupted, exitPipe))
	sameSet(t, "exit codes of a worker's command", codes("| exit code |"), append(numbers(exitOK, exitDataErr, exitTempFail), "any"))

	d := newDesk(t, "mem")
	d.send(text("1"))
	ds, err := d.client.Queue("w").Receive(t.Context(), mq.ReceiveOptions{Visibility: time.Hour})
	if err != nil || len(ds) != 1 {
		t.Fatal(len(ds), err)
	}
	var variables []string
	for _, v := range environment(ds[0]) {
		name, _, _ := strings.Cut(v, "=")
		variables = append(variables, name)
	}
	named = regexp.MustCompile(`\bMQ_[A-Z_]+\b`).FindAllString(guide, -1)
	sameSet(t, "variables", named, append(variables, "MQ_DSN", "MQ_CONTEXT", "MQ_HEADER_"))
}

// TestDocsErrors compares the errors that the guide shows with those of a line
// that is malformed, and of a send that is not answered.
func TestDocsErrors(t *testing.T) {
	d := newDesk(t, "mem")
	d.stdin = "1\n2\n3\n{\n"
	_, _, malformed := d.run("send", "w", "-")

	c := mq.New(&failing{Provider: mem.New(), err: mq.ErrUnavailable, calls: -1}, mq.Config{}) // the third
	defer func() { _ = c.Close() }()
	q, err := c.EnsureQueue(t.Context(), "orders", mq.QueueOptions{})
	if err != nil {
		t.Fatal(err)
	}
	a, _, stderr := d.app()
	a.started = true
	s := &sender{to: toQueue(q), items: make(chan item, 3001), ahead: newBudget(1 << 30), progress: a.newProgress(-1, "", "")}
	s.read(t.Context(), newReader(strings.NewReader(strings.Repeat("1\n", 3000)), "ndjson", mq.Message{}, 0))
	a.exit(nil, fmt.Errorf("%w (%s)", s.run(t.Context()), s.summary()))

	got := malformed + stderr.String()
	want := textBlock.FindStringSubmatch(readDoc(t, "docs/cli.md"))[1]
	if !regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(want), `\.\.\.`, ".*") + "$").MatchString(got) {
		t.Errorf("docs/cli.md shows the errors\n%sthey are\n%s", want, got)
	}
}

// rows returns the cells of the table with a title.
func rows(t *testing.T, text, title string) (cells [][]string) {
	t.Helper()
	_, table, ok := strings.Cut(text, title)
	if !ok {
		t.Fatalf("there is no table %s", title)
	}
	table, _, _ = strings.Cut(table, "\n\n")
	for line := range strings.Lines(table) {
		if strings.HasPrefix(line, "| ") {
			cells = append(cells, strings.Split(strings.Trim(line, "| \n"), " | "))
		}
	}
	return cells
}

func sameSet(t *testing.T, what string, got, want []string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if got, want := slices.Compact(got), slices.Compact(want); !slices.Equal(got, want) {
		t.Errorf("docs/cli.md names the %s\n%v\nthere are\n%v", what, got, want)
	}
}

func TestVersion(t *testing.T) {
	d := newDesk(t, "mem")
	got := d.must("version")
	for _, flag := range []string{"-version", "--version", "-v"} {
		if text := d.must(flag); text != got {
			t.Errorf("mq %s prints %q", flag, text)
		}
	}
	for _, part := range []string{"mq ", " go1.", "mem, pgmq, rabbitmq, rabbitstub, sqlite"} {
		if !strings.Contains(got, part) {
			t.Errorf("mq version prints %q without %q", got, part)
		}
	}
}

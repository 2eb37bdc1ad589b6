package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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

func TestVersion(t *testing.T) {
	d := newDesk(t, "mem")
	got := d.must("version")
	for _, flag := range []string{"-version", "--version", "-v"} {
		if text := d.must(flag); text != got {
			t.Errorf("mq %s prints %q", flag, text)
		}
	}
	for _, part := range []string{"mq ", " go1.", "mem, pgmq, rabbitmq, rabbitstub"} {
		if !strings.Contains(got, part) {
			t.Errorf("mq version prints %q without %q", got, part)
		}
	}
}

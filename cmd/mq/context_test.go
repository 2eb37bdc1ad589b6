package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// TestContextAtOnce: commands that run at the same time lose none of their contexts.
func TestContextAtOnce(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("it has no lock that ends with the process")
	}
	d := newDesk(t, "mem")
	d.must("context", "add", "first", "mem://x")
	var wg sync.WaitGroup
	const n = 20
	for i := range n {
		a, _, stderr := d.app()
		wg.Go(func() {
			if code := a.run(t.Context(), []string{"context", "add", fmt.Sprint("c", i), "mem://x", "-quiet"}); code != exitOK {
				t.Error(stderr)
			}
		})
	}
	wg.Wait()
	if got := strings.Count(d.must("context", "ls", "-o", "json"), "\n"); got != n+1 {
		t.Errorf("there are %d contexts, want %d", got, n+1)
	}
}

func TestContext(t *testing.T) {
	d := newDesk(t, "mem")
	d.prints("NAME  IN USE  DSN\n", "context", "ls")
	d.prints("NAME  IN USE  DSN\nprod  -  pgmq://app:***@db/shop?***\n", "context", "add", "prod", "pgmq://app:s3cret@db/shop?sslmode=require")
	d.stdin = "mem://elsewhere\n"
	d.prints("NAME  IN USE  DSN\ndev  -  mem://elsewhere\n", "context", "add", "dev", "-")
	d.prints("NAME  IN USE  DSN\ndev  yes  mem://elsewhere\n", "context", "use", "dev")
	d.must("context", "add", "here", "env:MQ_DSN", "-quiet")
	d.prints("NAME  IN USE  DSN\ndev  yes  mem://elsewhere\nhere  -  env:MQ_DSN\nprod  -  pgmq://app:***@db/shop?***\n", "context", "ls")
	d.prints(`{"name":"prod","in_use":false,"dsn":"pgmq://app:***@db/shop?***"}`+"\n", "context", "show", "prod", "-o", "json")
	d.prints("NAME  IN USE  DSN\ndev  yes  mem://elsewhere\n", "context", "show")

	d.prints("QUEUE\nw\n", "ls") // MQ_DSN comes before the context in use
	d.prints("QUEUE\n", "ls", "-context", "dev")
	d.prints("QUEUE\nw\n", "ls", "-context", "here")
	d.prints("QUEUE\n", "ls", "-context", "here", "-dsn", "mem://third")
	if _, got, _ := d.run("__complete", "-context", ""); got != "dev\nhere\nprod\n:4\n" {
		t.Errorf("-context is completed by %q", got)
	}

	d.must("send", "w", "x")
	d.prints("QUEUE  MOVED  SKIPPED  DOUBTFUL\nw  1  0  0\n", "copy", "here", "dev", "-idle", "10ms")

	d.must("context", "rm", "dev")
	d.fails(exitUsage, "no context is in use", "context", "show")
	for _, args := range []string{"context use dev", "context rm dev", "context show dev", "ls -context dev"} {
		d.fails(exitUsage, `there is no context "dev" (mq context ls shows them)`, strings.Fields(args)...)
	}
}

// TestContextOrder: -dsn, -context, MQ_DSN, MQ_CONTEXT, the one in use.
func TestContextOrder(t *testing.T) {
	d := newDesk(t, "mem")
	for _, name := range []string{"flag", "variable", "used"} {
		d.must("context", "add", name, "mem://"+name)
	}
	d.must("context", "use", "used")
	for _, tt := range []struct{ dsn, context, envDSN, envContext, want string }{
		{"mem://arg", "flag", "mem://env", "variable", "mem://arg"},
		{"", "flag", "mem://env", "variable", "mem://flag"},
		{"", "", "mem://env", "variable", "mem://env"},
		{"", "", "", "variable", "mem://variable"},
		{"", "", "", "", "mem://used"},
	} {
		a, _, _ := d.app()
		a.dsn, a.context = tt.dsn, tt.context
		a.getenv = func(name string) string {
			return map[string]string{"MQ_DSN": tt.envDSN, "MQ_CONTEXT": tt.envContext}[name]
		}
		if got, err := a.theDSN(); got != tt.want || err != nil {
			t.Errorf("%+v: %s, %v", tt, got, err)
		}
	}
}

// TestContextRefused: no error shows what may be a password.
func TestContextRefused(t *testing.T) {
	d := newDesk(t, "mem")
	for dsn, want := range map[string]string{
		"s3cret":               "not a DSN",
		"pgmq:s3cret":          "not a DSN",
		"frob://u:s3cret@h":    `unknown driver "frob"`,
		"pgmq://u:s3cret@h\nx": "not a DSN",
		"env:":                 "not a DSN",
	} {
		_, _, stderr := d.run("context", "add", "x", dsn)
		if d.fails(exitUsage, want, "context", "add", "x", dsn); strings.Contains(stderr, "s3cret") {
			t.Errorf("it shows %s", stderr)
		}
	}
	d.fails(exitUsage, "is not a name", "context", "add", "", "mem://x")
	d.fails(exitUsage, "give one of add", "context")
	d.fails(exitUsage, "-context is empty", "ls", "-context=")
}

func TestContextFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no modes")
	}
	d := newDesk(t, "mem")
	d.must("context", "add", "x", "mem://x")
	path := filepath.Join(d.config, "contexts.json")
	for at, want := range map[string]os.FileMode{path: 0o600, d.config: 0o700} {
		if info, err := os.Stat(at); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", at, info.Mode(), err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(d.config, ".contexts-*")); len(left) > 0 || err != nil {
		t.Errorf("it leaves %v, %v", left, err)
	}
	for at, remedy := range map[string]string{path: "(chmod 600 " + path + ")", d.config: "(chmod 700 " + d.config + ")"} {
		info, err := os.Stat(at)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(at, info.Mode().Perm()|0o040); err != nil {
			t.Fatal(err)
		}
		for _, args := range []string{"context ls", "context add y mem://y", "ls -context x"} {
			d.fails(exitFailure, remedy, strings.Fields(args)...)
		}
		d.must("ls") // MQ_DSN needs no file
		if err := os.Chmod(at, info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.fails(exitFailure, "is damaged", "context", "ls")
}

func TestRedacted(t *testing.T) {
	for in, want := range map[string]string{
		"pgmq://u:s3cret@h:5432/d?sslmode=x": "pgmq://u:***@h:5432/d?***",
		"pgmq://u@h/d":                       "pgmq://u@h/d",
		"pgmq://u:s3@cret@h/d":               "pgmq://***",
		"pgmq://u:s3/cret@h/d":               "pgmq://***",
		"pgmq://u:s%3cret@h/d":               "pgmq://u:***@h/d",
		"pgmq://h/d?password=s3cret":         "pgmq://h/d?***",
		"sqlite:///var/q.db":                 "sqlite:///var/q.db",
		"sqlite://q.db":                      "sqlite://q.db",
		"mem://x#s3cret":                     "mem://x?***",
		"env:PROD":                           "env:PROD",
	} {
		if got := redacted(in); got != want {
			t.Errorf("%s is shown as %s, want %s", in, got, want)
		}
	}
}

// TestContextJSON: the format is what people edit.
func TestContextJSON(t *testing.T) {
	d := newDesk(t, "mem")
	d.must("context", "add", "x", "mem://x")
	text, err := os.ReadFile(filepath.Join(d.config, "contexts.json"))
	if err != nil || !json.Valid(text) || string(text) != "{\n\t\"contexts\": {\n\t\t\"x\": \"mem://x\"\n\t}\n}\n" {
		t.Errorf("%v: %s", err, text)
	}
}

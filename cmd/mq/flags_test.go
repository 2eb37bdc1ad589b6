package main

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// TestSelectEmpty: "$REASON" of a variable that is not set must not hit all messages.
func TestSelectEmpty(t *testing.T) {
	d := newDesk(t, "mem")
	d.send(text("1"))
	d.must("archive", "-reason", "bad", d.receipts("1")[0])
	for _, args := range [][]string{
		{"archive", "purge", "w", "-yes", "-reason", ""},
		{"archive", "redrive", "w", "-all", "-reason="},
		{"archive", "ls", "w", "-reason", ""},
		{"rescue", "w", "-yes", "-older-than", "1ns", "-held-by", ""},
		{"peek", "w", "-text", ""},
		{"peek", "w", "-group", ""},
		{"peek", "w", "-header", ""},
		{"peek", "w", "-state", ""},
	} {
		d.fails(exitUsage, "is empty, which would select all", args...)
	}
	if s := d.stats(); s.Archived != 1 {
		t.Errorf("there are %d archived messages, want 1", s.Archived)
	}
}

func TestDoubleDashes(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"-dsn mem://x ls", "--dsn mem://x ls"},
		{"--dsn mem://x ls", "--dsn mem://x ls"},
		{"-dsn=mem://x ls", "--dsn=mem://x ls"},
		{"-o json ls -verbose", "-o json ls --verbose"},
		{"-ojson ls", "--ojson ls"},
		{"peek w -n5", "peek w -n5"},
		{"send w -goup x 1", "send w --goup x 1"},
		{"-version", "--version"},
		{"-help", "--help"},
		{"-h", "-h"},
		{"stats -watch w", "stats --watch w"},
		{"purge -yes -watch", "purge --yes --watch"},
		{"send w -", "send w -"},
		{"send w - -delay 5s", "send w - --delay 5s"},
		{"send w -header -yes -delay 5s", "send w --header -yes --delay 5s"},
		{"send w -H -yes -delay 5s", "send w -H -yes --delay 5s"},
		{"send w -- -yes", "send w -- -yes"},
		{"work w -c 4 -- cmd -dsn x", "work w -c 4 -- cmd -dsn x"},
		{"work w -concurrency=4 -- cmd", "work w --concurrency=4 -- cmd"},
		{"peek w -frob -limit 1", "peek w --frob --limit 1"},
		{"__complete -dsn mem://x peek -dsn", "__complete --dsn mem://x peek -dsn"},
		{"", ""},
	} {
		in := strings.Fields(tt.in)
		got := doubleDashes(newRoot(new(app)), in)
		if !slices.Equal(got, strings.Fields(tt.want)) {
			t.Errorf("%q became %q, want %q", tt.in, got, tt.want)
		}
		if !slices.Equal(in, strings.Fields(tt.in)) {
			t.Errorf("%q was changed", tt.in)
		}
	}
}

func TestUsage(t *testing.T) {
	d := newDesk(t, "mem")
	for args, want := range map[string]string{
		"frob":                               `unknown command "frob"`,
		"peak":                               "did you mean peek",
		"ls -frob":                           "unknown flag -frob",
		"ls --frob":                          "unknown flag -frob",
		"ls x":                               "it is mq ls",
		"ls -o xml":                          `unknown output format "xml" (give -o table, wide or json)`,
		"peek w -n many":                     `"many" is not a value for flag -limit: it takes a whole number`,
		"receive w -wait 5":                  "it takes a time as in 500ms, 90s or 12h",
		"send w -goup x 1":                   "unknown flag -goup",
		"-dsn= ls":                           "-dsn is empty",
		"check mem://a -dsn mem://b":         "given twice",
		"copy mem://a mem://b -dsn mem://c":  "-dsn and -context do not go with copy",
		"copy mem://a mem://b -context dev":  "-dsn and -context do not go with copy",
		"copy mem://a":                       "it is mq copy FROM TO",
		"copy mem://a elsewhere":             `there is no context "elsewhere"`,
		"send w 1 -":                         "goes with no other body",
		"send w 1 -format lines":             "-format is for - and -file",
		"work w -visibility -1s -- sh":       "-visibility",
		"nack -delay -1s w:1 w:2":            "delay -1s is negative",
		"peek w -n":                          "flag -limit needs a value",
		"peek w -n 0":                        "-n 0 is below 1",
		"peek":                               "it is mq peek QUEUE",
		"help frob":                          `there is no command "frob"`,
		"completion frob":                    "name a shell",
		"-dsn frob://x ls":                   `unknown driver "frob" (have: `,
		"-dsn mem://x?a=1 ls":                `unknown parameter "a"`,
		"-dsn pgmq://u:s3cret@h/d?frob=1 ls": "pgmq://u:***@h/d",
		"create 1x":                          "or give -any-name",
		"send w":                             "nothing to send",
		"send w x -file f":                   "do not go together",
		"send w -file /does/not/exist":       "no such file",
		"send w x -header frob":              "-header name=value",
		"send w - -format xml":               `unknown format "xml"`,
		"send w x -delay -1s":                "invalid argument",
		"receive w -n 0":                     "-n 0 is below 1",
		"receive w -ack -pop":                "do not go together",
		"receive w -pop -wait 1s":            "-pop goes with none",
		"receive w -visibility -1s":          "invalid argument",
		"tail w -interval 0s":                "below 10ms",
		"stats -interval 1ms":                "below 100ms",
		"ack frob":                           `"frob" is not a receipt`,
		"archive":                            "give a receipt, or a command",
		"archive lss":                        "neither a receipt",
		"archive redrive w":                  "say how much",
		"archive redrive w 1 -all":           "ids go with none",
		"archive redrive w -all -n 1":        "do not go together",
		"archive purge w -older-than 3x":     "-older-than",
		"purge w":                            "give -yes",
		"work w":                             "give the queue, -- and a command",
		"work w sh -c x":                     "",
		"work w -- /does/not/exist":          "no such file",
		"work w -c 0 -- sh":                  "-concurrency 0 is below 1",
		"install":                            "mem needs no installation",
	} {
		d.fails(exitUsage, want, strings.Fields(args)...)
	}
	d.dsn = ""
	d.fails(exitUsage, "give -dsn or set MQ_DSN", "ls")
}

func TestFailures(t *testing.T) {
	d := newDesk(t, "mem")
	for _, args := range []string{
		"stats nope", "send nope x", "receive nope", "receive nope -pop", "peek nope", "tail nope", "purge -yes nope", "drop -yes nope",
		"archive ls nope", "archive show nope 1", "archive redrive nope 1", "archive redrive nope -all", "archive purge -yes nope",
		"work nope -- sh", "doctor nope", "send nope -",
	} {
		d.stdin = "1\n"
		d.fails(exitFailure, "queue not found (mq ls shows the queues, mq create makes one)", strings.Fields(args)...)
	}
	d.dsn = "pgmq://u:s3cret@127.0.0.1:1/d?sslmode=disable"
	for _, args := range []string{"ls", "doctor", "install", "work w -- sh", "check", "send w x"} {
		d.fails(exitFailure, "refused", strings.Fields(args)...)
		if _, stdout, stderr := d.run(strings.Fields(args)...); strings.Contains(stdout+stderr, "s3cret") {
			t.Errorf("mq %s shows the password: %s", args, stderr)
		}
	}
}

// TestCompletion has time stand still: a completion that takes long is given up.
func TestCompletion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "mem")
		for args, want := range map[string]string{
			"peek|":                   "w\n:4\n",
			"peek|w|":                 ":4\n",
			"drop|w|":                 "w\n:4\n",
			"archive|ls|":             "w\n:4\n",
			"work|w|-dead-letter|":    "w\n:4\n",
			"send|w|-format|":         "ndjson\nlines\nraw\nrecords\n:4\n",
			"-o|":                     "table\nwide\njson\n:4\n",
			"-dsn|mem://nobody|peek|": ":4\n",
			"-dsn|frob://|peek|":      ":5\n",
		} {
			_, got, _ := d.run(append([]string{"__complete"}, strings.Split(args, "|")...)...)
			if got != want {
				t.Errorf("%q is completed by %q, want %q", args, got, want)
			}
		}
		if script := d.must("completion", "bash"); !strings.Contains(script, "__complete") {
			t.Error("there is no script for bash")
		}
	})
}

// TestQuiet: -quiet leaves results, JSON and errors.
func TestQuiet(t *testing.T) {
	d := newDesk(t, "mem")
	d.stdin = "1\n2\n"
	for _, tt := range []struct{ args, want string }{
		{"send w - -quiet", ""},
		{"send w 3 -quiet", "ID\n3\n"},
		{"purge w -yes -quiet -o json", `{"done":"purged","count":3,"queue":"w"}` + "\n"},
	} {
		if got := d.must(strings.Fields(tt.args)...); got != tt.want {
			t.Errorf("mq %s prints %q", tt.args, got)
		}
	}
	d.fails(exitFailure, "queue not found", "purge", "nope", "-yes", "-quiet")
	a, _, stderr := d.app()
	a.quiet = true
	a.note("chatter")
	if stderr.Len() > 0 {
		t.Errorf("it says %q", stderr)
	}
}

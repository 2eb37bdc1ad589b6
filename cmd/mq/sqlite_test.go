package main

import (
	"context"
	"encoding/json"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/portmq/mq"
)

// newFileDesk is newDesk on a file of the test's own.
func newFileDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{T: t, dsn: "sqlite://" + filepath.ToSlash(filepath.Join(t.TempDir(), "q.db"))}
	c, err := mq.Open(d.dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	d.client = c
	return d
}

// TestSQLite runs every command on a file. RECEIPT is that of the last message that was
// received.
func TestSQLite(t *testing.T) {
	d := newFileDesk(t)
	newDesk(t, "mem") // mem://testsqlite, to copy to
	receipt, seen := "", make(map[string]bool)
	for _, tt := range []struct {
		args, want string // an expression for the output
		code       int
	}{
		{"create w dead", `QUEUE\nw\ndead\n`, 0},
		{"create x -unlogged", `-unlogged is for pgmq://, not for sqlite`, 1},
		{"ls", `QUEUE\ndead\nw\n`, 0},
		{"send w 1 2 3 4 5 6 7", `ID\n1\n2\n3\n4\n5\n6\n7\n`, 0},
		{"send w -delay 1h late", `ID\n8\n`, 0},
		{"stats w", `w +7 +0 +1 +0 +8 +0 +8 `, 0},
		{"peek w -n 1", `\n1 +\S+ +0 .* 1\n$`, 0},
		{"receive w -o json", `"id":"1","receipt":"w:s1:1:1:`, 0},
		{"extend RECEIPT -visibility 5m", `extended 1 message`, 0},
		{"nack RECEIPT", `nacked 1 message`, 0},
		{"ack RECEIPT", `w:s1:1:1:.*`, 1}, // is over
		{"receive w -o json", `"id":"2"`, 0},
		{"ack RECEIPT", `acked 1 message`, 0},
		{"receive w -o json", `"id":"3"`, 0},
		{"archive RECEIPT -reason bad", `archived 1 message`, 0},
		{"archive ls w", `3 +1 .* bad +3\n`, 0},
		{"archive show w 3", `bad`, 0},
		{"archive redrive w -all", `redriven 1 message`, 0},
		{"receive w -ack", `4`, 0},
		{"receive w -pop", `5`, 0},
		{"work w -idle 1s -dead-letter dead -- true", `4 done`, 0},
		{"send dead 1 2 3 4", `ID`, 0},
		{"stats", `dead +4 .*\nw +0 +0 +1 +0 +1 +0 +9 `, 0},
		{"copy DSN mem://testsqlite -queue dead -idle 10ms", `dead +4 +0 +0\n`, 0},
		{"copy mem://testsqlite DSN -queue dead -idle 10ms", `dead +4 +0 +0\n`, 0},
		{"archive purge w -yes -older-than 0s", `purged 0 messages`, 0},
		{"purge w -yes", `purged 1 message\n`, 0},
		{"drop dead -yes", `DROPPED\ndead\n`, 0},
		{"bench -duration 20ms", `end-to-end`, 0},
		{"schedule set s @daily w x", `^$`, 0},
		{"schedule ls", `\ns +@daily +UTC +w .* one +x\n`, 0},
		{"schedule rm s", `^$`, 0},
		{"drop mq_cron -yes", `DROPPED\nmq_cron\n`, 0},
		{"doctor w", `(?s)ok +connection +sqlite answers.*ok +integrity .*ok +w +0 messages`, 0},
		{"doctor nosuch", `queue not found`, 1},
		{"bind w a.*", `QUEUE +PATTERN\nw +a\.\*\n`, 0},
		{"bindings", `w +a\.\*\n`, 0},
		{"publish a.b x", `QUEUE +ID\nw +\d+\n`, 0},
		{"unbind w a.*", `UNBOUND +PATTERN\nw +a\.\*\n`, 0},
		{"pause w", `PAUSED\nw\n`, 0},
		{"resume w", `RESUMED\nw\n`, 0},
		{"send w 21 22", `ID`, 0},
		{"rescue w 9999", `none of these messages`, 1},
		{"move w x 9999", `none of these messages`, 1},
		{"rm w -yes 9999", `none of these messages`, 1},
		{"describe w -for 0s", `(?s)^queue +w on sqlite\nmessages +\d+ visible`, 0},
		{"install", `sqlite needs no installation; it is for pgmq://`, 2},
		{"version", `sqlite`, 0},
		{"ls", `QUEUE\nw\n`, 0},
	} {
		line := strings.NewReplacer("RECEIPT", receipt, "DSN", d.dsn).Replace(tt.args)
		code, stdout, stderr := d.run(strings.Fields(line)...)
		if code != tt.code || !regexp.MustCompile(tt.want).MatchString(stdout+stderr) {
			t.Errorf("mq %s: exit code %d, want %d and %s\n%s%s", line, code, tt.code, tt.want, stdout, stderr)
		}
		var message struct{ Receipt string }
		if json.Unmarshal([]byte(stdout), &message) == nil && message.Receipt != "" {
			receipt = message.Receipt
		}
		command, _, _ := strings.Cut(tt.args, " ")
		seen[command] = true
	}
	for _, cmd := range commandTree().Commands() {
		if !seen[cmd.Name()] && !slices.Contains([]string{"check", "tail", "ui", "export", "help", "completion", "context"}, cmd.Name()) {
			t.Errorf("mq %s was not run", cmd.Name())
		}
	}
}

// TestSQLiteDoctor: what the driver finds is a problem of the command.
func TestSQLiteDoctor(t *testing.T) {
	d := newFileDesk(t)
	d.must("create", "w")
	db, err := openFile(d.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), "UPDATE mq_queue SET total = 1; INSERT INTO mq_queue (mark) VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := d.run("doctor")
	want := regexp.MustCompile(`(?m)^problem +w +the counters say 1 messages(.|\n)*^advice +queues +1 dropped`)
	if code != exitFailure || !want.MatchString(stdout) || stderr != "mq: 1 problem\n" {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
}

// TestSQLiteTail interrupts the only command that does not end by itself.
func TestSQLiteTail(t *testing.T) {
	d := newFileDesk(t)
	d.must("create", "w")
	d.must("send", "w", "1")
	ctx, cancel := context.WithCancelCause(t.Context())
	a, _, stderr := d.app()
	a.stdout = writerFunc(func(b []byte) (int, error) {
		if strings.Contains(string(b), `"id":"1"`) {
			cancel(errInterrupted)
		}
		return len(b), nil
	})
	if code := a.run(ctx, []string{"tail", "w", "-o", "json"}); code != exitOK {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// TestSQLiteCheck: mq check has transactions on the same file. Driver sqlite runs the
// suite.
func TestSQLiteCheck(t *testing.T) {
	d := newFileDesk(t)
	d.must("create", "w")
	a, _, _ := d.app()
	done, h, err := a.harness(d.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	tx := h.Begin(t, d.client)
	if _, err := d.client.Queue("w").Tx(tx.SQLTx).Send(t.Context(), &mq.Message{}); err != nil {
		t.Error(err)
	}
	if err := tx.Commit(); err != nil {
		t.Error(err)
	}
	if s, err := d.client.Queue("w").Stats(t.Context()); err != nil || s.Total != 1 {
		t.Errorf("%+v, %v", s, err)
	}
}

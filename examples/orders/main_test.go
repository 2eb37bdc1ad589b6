package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/portmq/mq"
)

// result is what a run left behind.
type result struct {
	code           int
	stdout, stderr string
}

// runJob runs the program on fake time.
func runJob(t *testing.T, stdin string, args ...string) (r result) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r = runNow(t.Context(), strings.NewReader(stdin), args...)
	})
	return r
}

func runNow(ctx context.Context, stdin io.Reader, args ...string) result {
	var stdout, stderr bytes.Buffer
	code := run(ctx, args, stdin, &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

// rows returns the lines of the table without the padding.
func (r result) rows() []string {
	var rows []string
	for line := range strings.Lines(r.stdout) {
		rows = append(rows, strings.Join(strings.Fields(line), " "))
	}
	return rows
}

// wantRows checks that the output has these lines in this order.
func (r result) wantRows(t *testing.T, want ...string) {
	t.Helper()
	for _, row := range r.rows() {
		if len(want) > 0 && strings.HasPrefix(row, want[0]) {
			want = want[1:]
		}
	}
	if len(want) > 0 {
		t.Errorf("no row %q where expected in\n%s%s", want[0], r.stdout, r.stderr)
	}
}

func TestSample(t *testing.T) {
	r := runJob(t, "")
	if r.code != 0 || r.stderr != "" {
		t.Fatalf("exit %d, stderr %q", r.code, r.stderr)
	}
	r.wantRows(
		t,
		"orders through mem, with 8 workers",
		"0.5s sent 2,000 processed",
		"1.0s sent 2,000 processed",
		"lines read 2,000",
		"malformed 12 ",
		"refused 0 ",
		"sent 2,000",
		"processed 1,908 47,862.50 charged",
		"retried 247 ", // 101 flaky orders twice, 15 of the bank that is down three times
		"dead letters 92",
		"65 card declined",
		"15 attempt 4 failed, the limit is 4: bank is down",
		"4 payload does not decode into main.Order: unexpected end of JSON input",
		"order per customer kept",
		"throughput ",
		"send to done, p50 ",
		"p99 ",
	)
	if n := strings.Count(r.stdout, "payload does not decode"); n != 9 {
		t.Errorf("%d reasons not to decode, want 9\n%s", n, r.stdout)
	}
	if i := strings.IndexFunc(r.stdout, func(r rune) bool { return unicode.IsControl(r) && r != '\n' }); i >= 0 {
		t.Errorf("control character in %q", r.stdout)
	}
}

func TestSampleFile(t *testing.T) {
	if n := bytes.Count(sample, []byte("\n")); n != 2000 {
		t.Errorf("%d lines", n)
	}
	out := filepath.Join(t.TempDir(), "orders.ndjson")
	if text, err := exec.Command("go", "run", "gen.go", out).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, sample) {
		t.Errorf("gen.go makes another file (go generate ./examples/orders): %v", err)
	}
}

func TestWrongUse(t *testing.T) {
	for _, tt := range []struct {
		args   string
		code   int
		stderr string
	}{
		{"-h", 0, "Usage of orders"},
		{"-nosuch", 2, "flag provided but not defined: -nosuch"},
		{"mem://u:s3cret@x", 2, "no arguments"},
		{"-dsn nosuch://x", 1, `orders: mq: unknown driver "nosuch" (forgotten import? have: `},
		{"-dsn nosuch://u:s3cret@x", 1, `unknown driver "nosuch"`},
		{"-dsn mem://u:s3cret@x", 1, "orders: mq: open mem://u:***@x: "},
		{"-dsn mem://x?password=s3cret", 1, "orders: mq: open mem://x?password=***: "},
		{"-dsn u:s3cret@x", 1, "unknown driver"},
		{"-dsn s3cret", 1, "malformed DSN"},
		{"-in nosuch.ndjson", 1, "orders: open nosuch.ndjson: "},
		{"-in .", 1, "orders: line 1: read .: "},
	} {
		r := runJob(t, "", strings.Fields(tt.args)...)
		if r.code != tt.code || !strings.Contains(r.stderr, tt.stderr) {
			t.Errorf("orders %s: exit %d, stderr %q, want %d, %q", tt.args, r.code, r.stderr, tt.code, tt.stderr)
		}
		if strings.Contains(r.stdout+r.stderr, "s3cret") {
			t.Errorf("orders %s: shows the password: %q", tt.args, r.stderr)
		}
	}
}

func order(id int, customer, bank string) string {
	return fmt.Sprintf(`{"id":%d,"customer":%q,"item":"tea","cents":150,"bank":%q}`, id, customer, bank)
}

func TestInputs(t *testing.T) {
	big := strings.Repeat("x", 20<<20)
	for _, tt := range []struct {
		name, stdin string
		code        int
		stderr      string
		rows        []string
	}{
		{"empty", "", 0, "", []string{"lines read 0", "sent 0", "processed 0 0.00", "dead letters 0", "throughput 0", "send to done, p50 -"}},
		{"blank lines", "\n \r\n\n", 0, "", []string{"lines read 0", "sent 0"}},
		{"no newline at the end", order(1, "a", "steady") + "\r\n" + order(2, "a", "steady"), 0, "", []string{"lines read 2", "processed 2 3.00 charged"}},
		{
			"too large", order(1, "a", "steady") + "\n\n" + big + "\n" + order(2, "a", "steady"), 1,
			"line 3: mq: send \"orders_QUEUE\": message is too large: body has 20971520 bytes, the limit is 16777216\norders: lines refused: 1\n",
			[]string{"lines read 3", "malformed 0", "refused 1", "sent 2", "processed 2"},
		},
		{
			"a group that is no text", order(1, "a", "steady") + "\n" + `{"id":2,"customer":"\u0000","cents":1}`, 1,
			"line 2: mq: send \"orders_QUEUE\": invalid argument: group has a NUL or is not UTF-8\norders: lines refused: 1\n",
			[]string{"refused 1", "sent 1", "processed 1"},
		},
		{
			"the same order twice", order(1, "a", "steady") + "\n" + order(1, "b", "steady"), 0, "",
			[]string{"sent 2", "processed 1 1.50 charged", "dead letters 1", "1 order was processed before"},
		},
		{
			"orders without", "null\n{}\n" + `{"id":1}` + "\n" + `{"id":1,"customer":"a"}`, 0, "",
			[]string{"malformed 0", "sent 4", "dead letters 4", "2 order without an id", "1 order without a customer", "1 order without an amount"},
		},
		{
			"one that never works", order(1, "a", "down") + "\n" + order(2, "a", "flaky"), 0, "",
			[]string{"processed 1", "retried 5", "dead letters 1", "1 attempt 4 failed, the limit is 4: bank is down", "order per customer kept"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := runJob(t, tt.stdin, "-in", "-")
			if i := strings.Index(r.stderr, "orders_"); i >= 0 {
				name, _, _ := strings.Cut(r.stderr[i:], `"`)
				r.stderr = strings.ReplaceAll(r.stderr, name, "orders_QUEUE")
			}
			if r.code != tt.code || r.stderr != tt.stderr {
				t.Errorf("exit %d, want %d, stderr\n%s, want\n%s", r.code, tt.code, r.stderr, tt.stderr)
			}
			r.wantRows(t, tt.rows...)
		})
	}
}

func TestManyRefused(t *testing.T) {
	r := runJob(t, strings.Repeat(`{"id":2,"customer":"\u0000","cents":1}`+"\n", 150), "-in", "-")
	if n := strings.Count(r.stderr, "line "); n != 10 || !strings.Contains(r.stderr, "and 140 more\norders: lines refused: 150\n") {
		t.Errorf("stderr %s", r.stderr)
	}
}

func TestInterrupt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		r := runNow(ctx, nil)
		if took := time.Since(start); r.code != 130 || took > 2*time.Second {
			t.Errorf("exit %d after %v", r.code, took)
		}
		if !strings.Contains(r.stderr, "orders: interrupted: 1") || !strings.Contains(r.stderr, " of the 2000 lines sent were neither") {
			t.Errorf("stderr %q", r.stderr)
		}
		r.wantRows(t, "lines read 2,000", "processed ")
	})
}

// An input that stays open, as of tail -f, is sent line by line.
func TestSlowInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		in, out := io.Pipe()
		go func() {
			for i := range 5 {
				fmt.Fprintln(out, order(i+1, "a", "steady"))
				time.Sleep(time.Minute)
			}
			cancel()
		}()
		r := runNow(ctx, in, "-in", "-")
		if r.code != 130 || !strings.Contains(r.stderr, "0 of the 5 lines sent") {
			t.Errorf("exit %d, stderr %q", r.code, r.stderr)
		}
		r.wantRows(t, "100.0s sent 2 processed 2", "processed 5")
		_ = in.Close()
	})
}

func TestBrokenInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := io.MultiReader(strings.NewReader(order(1, "a", "steady")+"\n"), iotest.ErrReader(errors.New("disk on fire")))
		r := runNow(t.Context(), in, "-in", "-")
		if r.code != 1 || r.stderr != "orders: line 2: disk on fire\n" {
			t.Errorf("exit %d, stderr %q", r.code, r.stderr)
		}
	})
}

func TestQueueIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dsn = "mem://orders_test"
		c, err := mq.Open(dsn) // keeps the store open
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for want, args := range [][]string{{"-dsn", dsn}, {"-dsn", dsn, "-keep"}} {
			r := runNow(t.Context(), strings.NewReader(order(1, "a", "strict")), append(args, "-in", "-")...)
			names, err := c.Queues(t.Context())
			if r.code != 0 || err != nil || len(names) != want {
				t.Errorf("%v: exit %d, queues %v, %v", args, r.code, names, err)
			}
			if kept := fmt.Sprintf("queue %s is still there", strings.Join(names, " ")); want == 1 && !strings.Contains(r.stdout, kept) {
				t.Errorf("%q is not in %q", kept, r.stdout)
			}
		}
	})
}

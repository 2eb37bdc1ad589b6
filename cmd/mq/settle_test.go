package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/mqtest"
)

// receipts receives n messages.
func (d *desk) receipts(n string) []string {
	d.Helper()
	var receipts []string
	for line := range strings.Lines(d.must("receive", "w", "-n", n, "-visibility", "1h", "-o", "json")) {
		_, rest, _ := strings.Cut(line, `"receipt":"`)
		receipt, _, _ := strings.Cut(rest, `"`)
		receipts = append(receipts, receipt)
	}
	return receipts
}

func (d *desk) stats() mq.Stats {
	d.Helper()
	s, err := d.client.Queue("w").Stats(d.Context())
	if err != nil {
		d.Fatal(err)
	}
	return s
}

func TestSettle(t *testing.T) {
	d := newDesk(t, "mem")
	d.send(text("1"), text("2"), text("3"), text("4"), text("5"), text("6"))
	r := d.receipts("6")
	d.prints("acked 1 message\n", "ack", r[0])
	d.prints("nacked 1 message\n", "nack", r[1])
	d.prints("nacked 1 message\n", "nack", "-delay", "1h", r[2])
	d.prints("extended 1 message\n", "extend", "-visibility", "1h", r[3])
	d.prints("archived 1 message\n", "archive", "-reason", "bad address", r[4])
	d.prints("{\"done\":\"acked\",\"count\":1}\n", "ack", "-o", "json", r[5])
	if s := d.stats(); s.Visible != 1 || s.Delayed != 1 || s.Leased != 1 || s.Archived != 1 {
		t.Errorf("%+v", s)
	}
}

func TestSettleStdin(t *testing.T) {
	d := newDesk(t, "mem")
	d.send(text("1"), text("2"))
	d.stdin = strings.Join(d.receipts("2"), "\n\n") + "\r\n"
	d.prints("acked 2 messages\n", "ack", "-")
}

// TestSettleStale: the others take effect, and it is said which did not.
func TestSettleStale(t *testing.T) {
	d := newDesk(t, "mem")
	d.send(text("1"), text("2"))
	r := d.receipts("2")
	d.must("ack", r[0])
	code, stdout, stderr := d.run("ack", r[0], r[1])
	if code != exitFailure || stdout != "acked 1 message\n" || strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "mq: "+r[0]+": ") || !strings.Contains(stderr, "already settled") {
		t.Errorf("exit code %d, %q and %q", code, stdout, stderr)
	}
	d.fails(exitFailure, "already settled", "extend", r[1])
	if _, _, stderr := d.run("nack", "-delay", "-1s", r[0], r[1]); strings.Count(stderr, "negative") != 1 {
		t.Errorf("what is wrong with all is said of each: %s", stderr)
	}
	d.fails(exitUsage, "receipt is not valid", "ack", "w:frob")
}

func TestReceiptText(t *testing.T) {
	for _, queue := range []string{"orders", "a:b", "a b/%+", "日本"} {
		text := receiptText(queue, "p1:7:1")
		if q, r, err := parseReceipt(text); q != queue || r != "p1:7:1" || err != nil {
			t.Errorf("%s came back as %q, %q, %v", text, q, r, err)
		}
	}
	for _, text := range []string{"", ":", "a:", ":b", "a", "%zz:b"} {
		if _, _, err := parseReceipt(text); err == nil {
			t.Errorf("%q is a receipt", text)
		}
	}
}

func TestArchive(t *testing.T) {
	d := newDesk(t, "mem")
	d.send(mq.Message{Body: []byte("line 1\n\x1b"), Headers: mq.Headers{"h": "v"}, Group: "g"}, text("2"), text("3"), text("4"))
	r := d.receipts("4")
	d.must("archive", "-reason", "card declined", r[0], r[1])
	d.must("archive", "-reason", "gone", r[2])
	d.must("archive", r[3])
	d.prints(`
ID  READ  SENT  ARCHIVED  REASON  BODY
1  1  AGE  AGE  card declined  line 1\n\u001b
2  1  AGE  AGE  card declined  2
3  1  AGE  AGE  gone  3
4  1  AGE  AGE  -  4
`, "archive", "ls", "w")
	d.prints(`{"queue":"w","id":"3","read_count":1,"enqueued_at":"TIME","visible_at":"TIME","archived_at":"TIME","reason":"gone","headers":{"mq-reason":"gone"},"body":3}
`, "archive", "ls", "w", "-reason", "one", "-o", "json")
	d.prints("ID  READ  SENT  ARCHIVED  REASON  BODY\n2  1  AGE  AGE  card declined  2\n", "archive", "ls", "w", "-after", "1", "-n", "1")
	d.prints(`
id  1
read count  1
sent  TIME
archived  TIME
reason  card declined
group  g
header h  v
header mq-reason  card declined
body  8 bytes
line 1\n\u001b

`, "archive", "show", "w", "1")
	d.fails(exitFailure, "has no message 9", "archive", "show", "w", "9")

	d.fails(exitFailure, "has none of these messages", "archive", "redrive", "w", "8", "9")
	d.prints("redriven 1 message\n", "archive", "redrive", "w", "2", "9")
	d.prints("redriven 1 message\n", "archive", "redrive", "w", "-all", "-reason", "card")
	d.prints("redriven 1 message\n", "archive", "redrive", "w", "-n", "1")
	d.prints("redriven 1 message\n", "archive", "redrive", "w", "-all")
	if s := d.stats(); s.Visible != 4 || s.Archived != 0 {
		t.Errorf("%+v", s)
	}
}

func TestRedriveMany(t *testing.T) {
	d := newDesk(t, "mem")
	d.send(slices.Repeat([]mq.Message{text("1")}, 1500)...)
	for _, more := range [][]string{{"-all"}, {"-all", "-reason", "x"}, {"-n", "1200", "-reason", "x"}, {"-n", "1200"}} {
		d.stdin = strings.Join(d.receipts("1500"), "\n")
		d.prints("archived 1500 messages\n", "archive", "-", "-reason", "x")
		want := "redriven 1500 messages\n"
		if more[0] == "-n" {
			want = "redriven 1200 messages\n"
		}
		d.prints(want, append([]string{"archive", "redrive", "w"}, more...)...)
		d.must("archive", "redrive", "w", "-all")
	}
}

// rejecting has workers who reject at once whatever is redriven.
type rejecting struct {
	*mem.Provider
	queue *mq.Queue
	calls int
}

func (r *rejecting) Redrive(ctx context.Context, queue string, ids []string, limit int) (int64, error) {
	n, err := r.Provider.Redrive(ctx, queue, ids, limit)
	if r.calls++; r.calls > 100 {
		return n, errors.New("it does not end")
	}
	return n, errors.Join(err, rejectAll(ctx, r.queue))
}

func rejectAll(ctx context.Context, q *mq.Queue) error {
	time.Sleep(time.Millisecond) // of fake time: it is later than the redrive
	for {
		ds, err := q.Receive(ctx, mq.ReceiveOptions{Max: 1000})
		if err != nil || len(ds) == 0 {
			return err
		}
		for _, d := range ds {
			if err := d.Archive(ctx, "bad"); err != nil {
				return err
			}
		}
	}
}

// TestRedriveBesideWorkers: it ends, and moves each message once, although
// workers reject them again at once.
func TestRedriveBesideWorkers(t *testing.T) {
	const n = 2500
	for _, r := range []redriving{{all: true}, {all: true, reason: "bad"}, {n: 100_000}, {n: 100_000, reason: "bad"}} {
		synctest.Test(t, func(t *testing.T) {
			p := &rejecting{Provider: mem.New()}
			c := mq.New(p, mq.Config{})
			q, err := c.EnsureQueue(t.Context(), "w", mq.QueueOptions{})
			if err != nil {
				t.Fatal(err)
			}
			p.queue = q
			for _, m := range slices.Repeat([]*mq.Message{{Body: []byte("1")}}, n) {
				if _, err := q.Send(t.Context(), m); err != nil {
					t.Fatal(err)
				}
			}
			if err := rejectAll(t.Context(), q); err != nil {
				t.Fatal(err)
			}
			if done, err := r.run(t.Context(), q, nil); done != n || err != nil {
				t.Errorf("%+v: redriven %d, %v", r, done, err)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestPurgeInParts: a purge that the server cuts off goes on, unless it comes to
// nothing.
func TestPurgeInParts(t *testing.T) {
	for command, op := range map[string]string{"purge": "purge", "archive purge": "purge archive"} {
		d := newDesk(t, "mem")
		d.send(text("1"), text("2"))
		d.must(append([]string{"archive"}, d.receipts("1")...)...)
		dsn := d.dsn
		line := append(strings.Fields(command), "-yes", "w")
		d.suffer(mqtest.Fault{Op: op, Err: driver.ErrUnavailable})
		d.fails(exitFailure, "(purged 0 messages; the command can be run again)", line...)
		d.dsn = dsn
		d.suffer(mqtest.Fault{Op: op, When: func(n int) bool { return n < purgeTries }, Err: driver.ErrUnavailable})
		d.prints("purged 1 message\n", line...)
		if err := d.client.Close(); err != nil {
			t.Fatal(err)
		}
	}
	calls := 0
	total, err := untilDone(t.Context(), func(context.Context) (int64, error) {
		if calls++; calls <= 10 {
			return 3, mq.ErrUnavailable
		}
		return 2, nil
	})
	if total != 32 || err != nil {
		t.Errorf("it has purged %d, %v", total, err)
	}
}

func TestArchivePurge(t *testing.T) {
	d := newDesk(t, "mem")
	d.send(text("1"))
	d.must("archive", d.receipts("1")[0])
	d.prints("purged 0 messages\n", "archive", "purge", "-yes", "w", "-older-than", "30d")
	d.prints("purged 1 message\n", "archive", "purge", "-yes", "w")
}

func TestDuration(t *testing.T) {
	for in, want := range map[string]time.Duration{"30d": 720 * time.Hour, "0d": 0, "12h": 12 * time.Hour, "90m": 90 * time.Minute} {
		var d duration
		if err := d.Set(in); err != nil || d.duration() != want {
			t.Errorf("%q is %v, %v", in, d.duration(), err)
		}
	}
	for _, in := range []string{"", "d", "-1d", "-1h", "1.5d", "99999d", "x"} {
		if err := new(duration).Set(in); err == nil {
			t.Errorf("%q is a duration", in)
		}
	}
}

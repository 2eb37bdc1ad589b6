package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
)

// poor is a provider that can do little, loses messages, and goes down.
type poor struct {
	driver.Provider
	lost  string // the body that is not stored
	sends atomic.Int64
	limit int64 // of sends until it is down; 0 means none
}

func (p *poor) Caps() driver.Caps { return driver.Caps{MaxBatch: 10} }

func (p *poor) Send(ctx context.Context, queue string, msgs []driver.Message) ([]string, error) {
	if n := p.sends.Add(1); p.limit > 0 && n > p.limit {
		return nil, driver.ErrUnavailable
	}
	ids := make([]string, len(msgs))
	for i := range msgs {
		if ids[i] = "lost"; string(msgs[i].Body) == p.lost {
			continue
		}
		id, err := p.Provider.Send(ctx, queue, msgs[i:i+1])
		if err != nil {
			return nil, err
		}
		ids[i] = id[0]
	}
	return ids, nil
}

// runPoor runs the sample, or input, on a provider that can do little.
func runPoor(t *testing.T, p *poor, input string) (r result, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p.Provider = mem.New()
		tally := newTally()
		client := mq.New(p, mq.Config{Logger: slog.New(slog.DiscardHandler), Interceptors: []mq.Interceptor{tally.watch}})
		defer client.Close()
		queue, err1 := freshQueue(t.Context(), client)
		if err1 != nil {
			t.Fatal(err1)
		}
		var stdout, stderr bytes.Buffer
		var j *job
		if j, err = newJob(queue, tally); err != nil {
			t.Fatal(err)
		}
		err = j.present(t.Context(), strings.NewReader(input), &stdout, &stderr)
		drop(queue, &stderr)
		r = result{stdout: stdout.String(), stderr: stderr.String()}
	})
	return r, err
}

func TestPoorProvider(t *testing.T) {
	r, err := runPoor(t, new(poor), string(sample))
	if err != nil {
		t.Error(err)
	}
	if !strings.Contains(r.stderr, "the queue stays: mq: drop") {
		t.Errorf("stderr %q", r.stderr)
	}
	r.wantRows(t, "note: mem has no groups, so the order per customer is not guaranteed",
		"sent 2,000", "processed 1,908 47,862.50 charged", "retried 247", "dead letters 92", "15 attempt 4 failed", "order per customer")
}

func TestLostMessage(t *testing.T) {
	lost, kept := order(1, "a", "steady"), order(2, "a", "steady")
	r, err := runPoor(t, &poor{lost: lost}, lost+"\n"+kept)
	want := "nothing was finished for 1m0s: 1 of the 2 lines sent were neither processed nor dead-lettered"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	r.wantRows(t, "sent 2", "processed 1")
}

func TestBackendGoesDown(t *testing.T) {
	r, err := runPoor(t, &poor{limit: 1}, string(sample))
	if !errors.Is(err, mq.ErrUnavailable) {
		t.Error(err)
	}
	r.wantRows(t, "lines read ", "sent ", "processed ")
}

// checked returns what a report says about a job that ended like this.
func checked(spoil func(j *job)) string {
	j := &job{inOrder: true, tally: newTally()}
	j.queue = mq.New(&poor{Provider: mem.New()}, mq.Config{}).Queue("q")
	j.tally.counts = counts{Lines: 4, Malformed: 1, Sent: 4, Processed: 2, Dead: 2}
	j.tally.dead = map[string]int{"payload does not decode into x": 1, "card declined": 1}
	j.tally.sent = map[string]sending{"m1": {line: 1}, "m2": {line: 2}, "m3": {line: 3}, "m4": {line: 4}}
	j.ledger.entries = []entry{{message: "m1", customer: "a"}, {message: "m3", customer: "a"}}
	spoil(j)
	r := j.report(context.Background(), time.Second)
	if err := r.err(); err != nil {
		return err.Error()
	}
	return ""
}

func TestSumsThatDoNotAddUp(t *testing.T) {
	for _, tt := range []struct {
		spoil func(j *job)
		want  string
	}{
		{func(*job) {}, ""},
		{func(j *job) { j.tally.Lines++ }, "lines read: 5, but sent or refused: 4"},
		{func(j *job) { j.tally.Dead-- }, "sent: 4, but processed or dead letters: 3\ndead letters: 1, but with a reason: 2"},
		{func(j *job) { j.tally.Malformed++ }, "malformed lines: 2, but dead letters that do not decode: 1"},
		{func(j *job) { j.ledger.entries = j.ledger.entries[1:] }, "processed: 2, but ledger entries: 1"},
		{func(j *job) { slices.Reverse(j.ledger.entries) }, "the order per customer was not kept"},
		{func(j *job) { slices.Reverse(j.ledger.entries); j.inOrder = false }, ""},
		{func(j *job) { slices.Reverse(j.ledger.entries); j.ledger.entries[0].customer = "b" }, ""},
		{func(j *job) { j.ledger.entries[1].message = "m9" }, "message m9 was processed, but not sent\nthe order per customer was not kept"},
	} {
		if got := checked(tt.spoil); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

func TestCheckQueue(t *testing.T) {
	c := mq.New(mem.New(), mq.Config{})
	defer c.Close()
	q, err := c.EnsureQueue(t.Context(), "q", mq.QueueOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.Send(t.Context(), new(mq.Message)); err != nil {
		t.Fatal(err)
	}
	r := &report{counts: counts{Dead: 1}}
	r.addQueue(t.Context(), q)
	if got, want := r.err().Error(), "left in the queue: 1, but unfinished: 0\nin the archive: 0, but dead letters: 1"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// An order that was processed but not acked comes back and has no effect.
func TestLedgerPostsOnce(t *testing.T) {
	l := ledger{posted: make(map[int64]string)}
	for _, tt := range []struct {
		id      int64
		message string
		isNew   bool
		err     error
	}{
		{1, "m1", true, nil},
		{1, "m1", false, nil},
		{1, "m2", false, errDuplicate},
		{2, "m2", true, nil},
	} {
		isNew, err := l.post(Order{ID: tt.id}, tt.message)
		if isNew != tt.isNew || !errors.Is(err, tt.err) {
			t.Errorf("post(%d, %s) = %v, %v", tt.id, tt.message, isNew, err)
		}
	}
	if len(l.entries) != 2 {
		t.Errorf("%d entries", len(l.entries))
	}
}

func TestProgressOnTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := &progress{out: &out, tally: newTally(), terminal: true, start: time.Now()}
		p.begin()
		time.Sleep(250 * time.Millisecond)
		p.stop()
		lines := strings.Split(out.String(), "\r")
		if len(lines) != 5 || !strings.HasPrefix(lines[2], "  0.2s  sent 0  processed 0") || strings.TrimSpace(lines[3]) != "" {
			t.Errorf("%q", lines)
		}
		if len(lines[1]) != 78 || strings.Contains(out.String(), "\n") {
			t.Errorf("%q", out.String())
		}
	})
}

func TestManyReasons(t *testing.T) {
	reasons := make(map[string]int)
	for i := range 25 {
		reasons[strconv.Itoa(10+i)] = 1 + i
	}
	ds := deadLetters(reasons)
	if len(ds) != 21 || ds[0] != (deadLetter{"34", 25}) || ds[20] != (deadLetter{"for 5 other reasons", 15}) {
		t.Errorf("%v", ds)
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 12345: "12,345", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) = %s", n, got)
		}
	}
}

package main

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/mqtest"
)

// TestDescribe: two messages are held for 20 minutes, two are dead letters.
func TestDescribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "mem")
		d.send(text("1"), text("2"))
		d.must("archive", "put", "w", "1", "-reason", "card declined")
		d.must("archive", "put", "w", "2", "-reason", "bank: 500")
		d.send(text("3"), text("4"), text("5"))
		d.must("bind", "w", "orders.*.paid")
		end := d.consume(2)
		defer end()
		time.Sleep(20 * time.Minute)
		d.must("pause", "w", "-by", "anna")
		all, err := d.client.Consumers(t.Context(), "w")
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		got := strings.ReplaceAll(d.must("describe", "w"), all[0].Name, "NAME")
		for _, want := range []string{
			"queue     w on mem\npaused    for 2s by anna\nmessages  1 visible, 2 leased, 0 delayed, 0 blocked\narchived  2\nsent      5\n",
			"rates     0 sent and 0 done per second, for 2s\nbindings  orders.*.paid\n",
			" 2/2      2     20m      0     0       ",
			"\n3     20m  NAME\n4     20m  NAME\n",
			"\n1             20m    20m   bank: 500\n1             20m    20m   card declined\n",
			"\nADVICE\npaused for 2s by anna: 1 message waiting (mq resume w)\n" +
				"NAME has held message 3 for 20m, and 1 more for over 10m (mq rescue w 3)\n" +
				"2 dead letters since 2000-01-01T00:00:00Z, the last 20m ago, with 2 reasons (mq archive stats w)\n",
		} {
			if !strings.Contains(got, want) {
				t.Errorf("describe prints\n%swithout\n%s", got, want)
			}
		}
		time.Sleep(time.Minute) // until the consumer has reported the pause
		got = strings.ReplaceAll(d.must("describe", "w", "-o", "json", "-for", "0s"), all[0].Name, "NAME")
		for _, want := range []string{
			`{"provider":"mem","queue":"w","total":3,`, `"paused_by":"anna"`, `"bindings":["orders.*.paid"],"consumers":[{"name":"NAME","running":2,"concurrency":2,"paused":true,"held":2,`,
			`"held":[{"id":"3","by":"NAME","seconds":`, `"reasons":[{"reason":"bank: 500","count":1,`, `"reasons_looked_at":2,"advice":["paused`,
		} {
			if !strings.Contains(got, want) || strings.Count(got, "\n") != 1 {
				t.Errorf("describe prints\n%swithout\n%s", got, want)
			}
		}
	})
}

// TestDescribeLess: what a provider does not keep is left out.
func TestDescribeLess(t *testing.T) {
	d := newDesk(t, "rabbitstub")
	d.send(text("1"))
	got := d.must("describe", "w", "-for", "0s")
	if want := "queue     w on rabbitstub\nmessages  1 visible, - leased, - delayed, 0 blocked\narchived  0\nsent      -\nlag       -\noldest    -\n\n"; got != want {
		t.Errorf("describe prints\n%s", got)
	}
}

// TestDescribeUnread: one queue, or one section, that cannot be read does not hide the
// others, whether it fails or hangs.
func TestDescribeUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "mem")
		code, stdout, stderr := d.run("describe", "nope", "w", "-for", "0s")
		if code != exitFailure || !strings.HasPrefix(stdout, "queue     w on mem\n") || !strings.Contains(stderr, "queue not found") {
			t.Errorf("exit code %d, %s and\n%s", code, stderr, stdout)
		}
		for _, fault := range []mqtest.Fault{
			{Op: "bindings", Delay: mq.Forever},
			{Op: "bindings", Err: mq.ErrInvalidReceipt},
			{Op: "stats", When: func(n int) bool { return n > 1 }, Err: mq.ErrBadConn},
		} {
			dsn := d.dsn
			d.suffer(fault)
			code, stdout, stderr := d.run("describe", "w")
			if code == exitOK || !strings.HasPrefix(stdout, "queue     w on mem\n") || strings.Count(stderr, "\n") != 1 {
				t.Errorf("exit code %d, %s and\n%s", code, stderr, stdout)
			}
			d.dsn = dsn
		}
	})
}

func TestAdvise(t *testing.T) {
	rate := func(f float64) *float64 { return &f }
	now := time.Now()
	waiting := mq.Stats{Visible: 20, Leased: 8, Lag: 6 * time.Minute}
	for _, tt := range []struct {
		name string
		d    description
		want []string
	}{
		{"idle", description{reporting: true}, nil},
		{"busy", description{stats: mq.Stats{Visible: 20, Lag: time.Second}, reporting: true}, nil},
		{
			"paused",
			description{stats: waiting, paused: pauses{"w": {Queue: "w", By: "anna", Since: now}}},
			[]string{"paused for 0s by anna: 20 messages waiting (mq resume w)"},
		},
		{
			"nobody",
			description{stats: waiting, reporting: true},
			[]string{"no consumer has reported on this queue: 20 messages waiting, the first one for 6m"},
		},
		{
			"stuck",
			description{stats: waiting, rates: rates{rate(3), rate(0)}, sampled: 2 * time.Second},
			[]string{"nothing was done in 2s: 8 messages leased, 20 waiting, the first one for 6m"},
		},
		{
			"slow",
			description{stats: waiting, rates: rates{rate(3), rate(1)}},
			[]string{"messages come faster than they are done: 3 sent and 1 done per second, and the first message has waited for 6m (more consumers, or a higher concurrency)"},
		},
		{"blocked", description{stats: mq.Stats{Blocked: 2}}, []string{"2 messages behind an earlier one of their group (mq peek w -state leased, or delayed)"}},
		{
			"silent",
			description{consumers: []mq.ConsumerReport{{Name: "a", At: now.Add(-3 * time.Minute)}, {Name: "b", At: now, Paused: true}}},
			[]string{"a has not reported for 3m: it may have crashed, and its leases end by themselves", "b is paused by its own program"},
		},
		{"held", description{held: []holding{{"7", "a", 40 * time.Minute}, {"8", "a", time.Minute}}}, []string{"a has held message 7 for 40m (mq rescue w 7)"}},
		{"dead, reasons not known", description{stats: mq.Stats{Archived: 3}}, []string{"3 dead letters (mq archive ls w)"}},
		{"dead, more than were looked at", description{stats: mq.Stats{Archived: 300}, looked: 100, reasons: []mq.ReasonCount{
			{Reason: "a", Count: 60, First: time.Unix(100, 0), Last: now.Add(-5 * time.Minute)}, {Reason: "b", Count: 40, First: time.Unix(10, 0), Last: time.Unix(200, 0)},
		}}, []string{"300 dead letters, of which the newest 100 came since 1970-01-01T00:00:10Z, the last 5m ago, with 2 reasons (mq archive stats w)"}},
	} {
		tt.d.queue = "w"
		if got := tt.d.advise(); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestDocsDescribe: the guide shows what is printed.
func TestDocsDescribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 28, 5, 10, 4, 0, time.UTC)))
		ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
		rate := func(f float64) *float64 { return &f }
		a, stdout, _ := newDesk(t, "mem").app()
		err := a.showDescription(&description{
			queue: "orders", provider: "pgmq", sampled: 2 * time.Second, rates: rates{rate(12), rate(0)}, reporting: true,
			stats: mq.Stats{
				Visible: 19992, Leased: 2, Archived: 300, TotalSent: 20_294, Lag: 6*time.Minute + 12*time.Second, OldestAge: 41 * time.Minute,
			},
			consumers: []mq.ConsumerReport{
				{
					Name: "worker-7f9/1", Running: 2, Concurrency: 2, Held: 2, Longest: []mq.HeldMessage{{ID: "4711", For: 41 * time.Minute}},
					Done: 120, Failed: 3, LastError: "bank: 500 Internal Server Error", At: ago(12 * time.Second),
				},
			},
			held: []holding{{"4711", "worker-7f9/1", 41 * time.Minute}, {"4712", "worker-7f9/1", 38 * time.Minute}},
			reasons: []mq.ReasonCount{
				{Reason: "card declined", Count: 200, First: ago(3 * time.Hour), Last: ago(3 * time.Hour)},
				{Reason: "bank: 500 Internal Server Error", Count: 100, First: ago(3 * time.Hour), Last: ago(2 * time.Hour)},
			},
			looked: 300,
		})
		if guide := readDoc(t, "docs/cli.md"); err != nil || !strings.Contains(guide, "```text\n"+strings.TrimSuffix(stdout.String(), "\n")+"```\n") {
			t.Errorf("docs/cli.md does not show, %v\n%s", err, stdout)
		}
	})
}

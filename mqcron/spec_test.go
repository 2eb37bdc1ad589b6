package mqcron

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct{ spec, zone, want string }{
		{"", "UTC", "empty spec"},
		{"* * * *", "UTC", "expected exactly 5 fields"},
		{"* * * * * *", "UTC", "expected exactly 5 fields"},
		{"60 * * * *", "UTC", "above maximum"},
		{"0 0 * * 7", "UTC", "above maximum"},
		{"*/0 * * * *", "UTC", "step of range should be a positive number"},
		{"@reboot", "UTC", "unrecognized descriptor"},
		{"TZ=UTC * * * * *", "UTC", "names a time zone"},
		{"CRON_TZ=0", "UTC", "names a time zone"},
		{strings.Repeat("1", 256), "UTC", "256 bytes"},
		{"@every 999ms", "UTC", "not a second or more"},
		{"@every -1h", "UTC", "not a second or more"},
		{"@every", "UTC", "unrecognized descriptor"},
		{"@every x", "UTC", "not a second or more"},
		{"@daily", "Local", "give an IANA name"},
		{"@daily", "Europe/Nowhere", "give an IANA name"},
		{"@daily", "../etc", "give an IANA name"},
		{"@daily", strings.Repeat("x", 256), "256 bytes"},
		{"@every 1s", "UTC", ""},
		{"0 6 * jan-MAR MON-FRI", "America/New_York", ""},
	} {
		_, err := parse(tt.spec, tt.zone)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%q: %v", tt.spec, err)
		case tt.want != "" && (!errors.Is(err, mq.ErrInvalid) || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%.20q in %.20q: %v, want ErrInvalid with %q", tt.spec, tt.zone, err, tt.want)
		}
	}
}

// TestNext lists the occurrences of texts after a time, as the clocks of the zone show them.
func TestNext(t *testing.T) {
	const day = "2006-01-02T15:04 MST"
	for _, tt := range []struct {
		name, spec, zone, from string
		want                   []string
	}{
		{
			"in the hour that does not exist", "30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z",
			[]string{"2026-03-28T02:30 CET", "2026-03-29T03:30 CEST", "2026-03-30T02:30 CEST"},
		},
		{
			"in New York", "30 2 * * *", "America/New_York", "2026-03-07T06:00:00Z",
			[]string{"2026-03-07T02:30 EST", "2026-03-08T03:30 EDT", "2026-03-09T02:30 EDT"},
		},
		{
			"several in that hour", "10,50 2 * * *", "Europe/Berlin", "2026-03-28T01:50:00Z",
			[]string{"2026-03-29T03:10 CEST", "2026-03-29T03:50 CEST", "2026-03-30T02:10 CEST"},
		},
		{
			"and in the next", "0,30 2,3 * * *", "Europe/Berlin", "2026-03-29T00:00:00Z",
			[]string{"2026-03-29T03:00 CEST", "2026-03-29T03:30 CEST", "2026-03-30T02:00 CEST"},
		},
		{
			"in the hour that comes twice", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z",
			[]string{"2026-10-25T02:30 CEST", "2026-10-26T02:30 CET"},
		},
		{
			"in New York", "30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z",
			[]string{"2026-11-01T01:30 EDT", "2026-11-02T01:30 EST"},
		},
		{
			"from within the second pass", "45 2 * * *", "Europe/Berlin", "2026-10-25T01:20:00Z",
			[]string{"2026-10-26T02:45 CET"},
		},
		{
			"every hour, forward", "30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z",
			[]string{"2026-03-29T01:30 CET", "2026-03-29T03:30 CEST", "2026-03-29T04:30 CEST"},
		},
		{
			"every hour, back", "30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z",
			[]string{"2026-10-25T02:30 CEST", "2026-10-25T02:30 CET", "2026-10-25T03:30 CET"},
		},
		{
			"midnight that does not exist", "@daily", "Africa/Cairo", "2026-04-23T12:00:00Z",
			[]string{"2026-04-24T01:00 EEST", "2026-04-25T00:00 EEST"},
		},
		{
			"by half an hour", "15 2 * * *", "Australia/Lord_Howe", "2026-10-02T15:00:00Z",
			[]string{"2026-10-03T02:15 +1030", "2026-10-04T02:45 +11", "2026-10-05T02:15 +11"},
		},
		{
			"a later time of day comes sooner", "15,40 2 * * *", "Australia/Lord_Howe", "2026-10-03T14:00:00Z",
			[]string{"2026-10-04T02:40 +11", "2026-10-04T02:45 +11", "2026-10-05T02:15 +11"},
		},
		{
			"month ends", "0 0 31 * *", "UTC", "2026-01-31T00:00:00Z",
			[]string{"2026-03-31T00:00 UTC", "2026-05-31T00:00 UTC", "2026-07-31T00:00 UTC"},
		},
		{
			"leap days", "0 12 29 2 *", "UTC", "2024-02-29T12:00:00Z",
			[]string{"2028-02-29T12:00 UTC", "2032-02-29T12:00 UTC"},
		},
		{
			"either day", "0 0 13 * FRI", "UTC", "2026-02-01T00:00:00Z",
			[]string{"2026-02-06T00:00 UTC", "2026-02-13T00:00 UTC", "2026-02-20T00:00 UTC", "2026-02-27T00:00 UTC", "2026-03-06T00:00 UTC", "2026-03-13T00:00 UTC"},
		},
		{
			"strictly after", "* * * * *", "UTC", "2026-01-01T00:00:00Z",
			[]string{"2026-01-01T00:01 UTC"},
		},
		{
			"intervals", "@every 24h", "Europe/Berlin", "2026-03-28T12:00:00Z",
			[]string{"2026-03-29T01:00 CET", "2026-03-30T02:00 CEST"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table, err := parse(tt.spec, tt.zone)
			if err != nil {
				t.Fatal(err)
			}
			loc, _ := time.LoadLocation(tt.zone)
			at, err := time.Parse(time.RFC3339, tt.from)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range tt.want {
				at = table.next(at)
				if got := at.In(loc).Format(day); got != want {
					t.Errorf("%q comes at %s, want %s", tt.spec, got, want)
				}
			}
		})
	}
}

func TestNextNever(t *testing.T) {
	for _, spec := range []string{"0 0 30 2 *", "0 0 31 4,6,9,11 *", "* * 31 6 *"} {
		table, err := parse(spec, "Europe/Berlin")
		if err != nil || !table.next(time.Now()).IsZero() {
			t.Errorf("%q comes at %v, %v", spec, table.next(time.Now()), err)
		}
	}
}

// FuzzNext checks that occurrences come in order, and that the time that is asked from does
// not matter.
func FuzzNext(f *testing.F) {
	f.Add("30 2 * * *", int64(1774656000))
	f.Add("10,50 0-3 * * *", int64(1793000000))
	f.Add("*/7 * 29 2 *", int64(0))
	f.Add("@every 1h7m", int64(-1))
	f.Fuzz(func(t *testing.T, spec string, from int64) {
		table, err := parse(spec, "Europe/Berlin")
		if err != nil {
			return
		}
		at := time.Unix(from%(1<<32), 0)
		for range 20 {
			next := table.next(at)
			if next.IsZero() {
				return
			}
			if !next.After(at) {
				t.Fatalf("%q: %v comes after %v", spec, next, at)
			}
			if mid := table.next(at.Add(next.Sub(at) / 2)); !mid.Equal(next) {
				t.Fatalf("%q: after %v comes %v, and between them %v", spec, at, next, mid)
			}
			at = next
		}
	})
}

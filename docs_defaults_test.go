package mq

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

// TestDocsDefaults compares the table of docs/operations.md with the code: each field
// of a configuration has a row, and each default that is a value has it there.
func TestDocsDefaults(t *testing.T) {
	rows := defaultRows(t)
	consumer, config := ConsumerConfig{}.withDefaults(driver.Caps{}), Config{}.withDefaults()
	receive, err := New(new(fake), Config{}).Queue("q").request(ReceiveOptions{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	for setting, want := range map[string]any{
		"Config.CallTimeout":              config.CallTimeout,
		"Config.AllowDuplicateMoves":      config.AllowDuplicateMoves,
		"ConsumerConfig.Concurrency":      consumer.Concurrency,
		"ConsumerConfig.Visibility":       consumer.Visibility,
		"ConsumerConfig.MaxAttempts":      consumer.MaxAttempts,
		"ConsumerConfig.PrefetchBytes":    fmt.Sprint(consumer.PrefetchBytes>>20, " MiB"),
		"ConsumerConfig.SoftStop":         consumer.SoftStop,
		"ConsumerConfig.HardStop":         consumer.HardStop,
		"the last settlements and events": lastSettlements,
		"ReceiveOptions.Max":              receive.Max,
		"ReceiveOptions.Visibility":       receive.Visibility,
		"ReceiveOptions.Wait":             receive.Wait,
		"SearchOptions.Scan":              defaultScan,
		"GroupOptions.IncludeDelayed":     false,
		"QueueOptions.AnyName":            false,
	} {
		if got := rows[setting]; got != fmt.Sprint(want) {
			t.Errorf("%s: the table has %q, the code %v", setting, got, want)
		}
	}
	for _, of := range []reflect.Type{
		reflect.TypeFor[Config](), reflect.TypeFor[ConsumerConfig](), reflect.TypeFor[BatchConfig](), reflect.TypeFor[ReceiveOptions](),
		reflect.TypeFor[BrowseOptions](), reflect.TypeFor[SearchOptions](), reflect.TypeFor[RedriveOptions](), reflect.TypeFor[GroupOptions](), reflect.TypeFor[QueueOptions](),
	} {
		for f := range of.Fields() {
			if name := of.Name() + "." + f.Name; !f.Anonymous && rows[name] == "" {
				t.Errorf("the table has no row for %s", name)
			}
		}
	}
}

// The default backoff, as the table and the comments have it.
func TestDocsDefaultBackoff(t *testing.T) {
	if got := defaultRows(t)["ConsumerConfig.Backoff"]; got != "`Exponential(1s, 1h)`" {
		t.Errorf("the table has %s", got)
	}
	for attempt, middle := range map[int]time.Duration{1: time.Second, 100: time.Hour} {
		if d := defaultBackoff(attempt); d < middle*4/5 || d > middle*6/5 {
			t.Errorf("after attempt %d it is %v", attempt, d)
		}
	}
}

// defaultRows returns the defaults in docs/operations.md, by setting.
func defaultRows(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "<!-- defaults -->\n")
	table, _, ok := strings.Cut(rest, "<!-- end -->")
	if !ok {
		t.Fatal("docs/operations.md has no table of defaults")
	}
	rows := make(map[string]string)
	for line := range strings.Lines(table) {
		if cells := strings.Split(line, " | "); len(cells) == 3 {
			rows[strings.Trim(cells[0], "|` ")] = cells[1]
		}
	}
	return rows
}

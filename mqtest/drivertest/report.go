package drivertest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

// column is one column of the table of drivers.
type column struct {
	title string
	cell  func(h Harness, p driver.Provider, c driver.Caps) string
}

var columns = []column{
	{"driver", func(_ Harness, p driver.Provider, _ driver.Caps) string { return p.Name() }},
	{"order", func(_ Harness, _ driver.Provider, c driver.Caps) string { return c.Order.String() }},
	{"delay", mark(delays)},
	{"head start", mark(headStart)},
	{"headers", mark(headers)},
	{"attempts", mark(attempts)},
	{"groups", mark(grouped)},
	{"group limit", mark(limited)},
	{"dedup", mark(deduplicates)},
	{"topics", mark(routes)},
	{"tx", canTx},
	{"manage", list(operation{"drop", canDrop}, operation{"list", canList}, operation{"purge", canPurge})},
	{"browse", list(operation{"queue", canPeek}, operation{"archive", canSeeArchive})},
	{"redrive", mark(canRedrive)},
	{"move", mark(moves)},
	{"operate", list(operation{"act by id", canOverride}, operation{"pause", canPause}, operation{"see consumers", canReport})},
	{"pop", mark(canPop)},
	{"shared", mark(shared)},
	{"durable", mark(durable)},
	{"portable receipts", mark(portable)},
	{"exact bodies", mark(exactBodies)},
	{"exact stats", mark(exactStats)},
	{"max batch", func(_ Harness, _ driver.Provider, c driver.Caps) string { return strconv.Itoa(c.BatchLimit()) }},
	{"max body", func(_ Harness, _ driver.Provider, c driver.Caps) string { return bytesText(c.MaxBody) }},
	{"max delay", func(_ Harness, _ driver.Provider, c driver.Caps) string { return durationText(c.MaxDelay) }},
	{"max hold", func(_ Harness, _ driver.Provider, c driver.Caps) string { return durationText(c.MaxHold) }},
	{"resolution", func(_ Harness, _ driver.Provider, c driver.Caps) string { return durationText(c.Resolution) }},
}

// mark shows whether a need is met.
func mark(n need) func(Harness, driver.Provider, driver.Caps) string {
	return func(h Harness, p driver.Provider, c driver.Caps) string {
		if n(h, p, c) == "" {
			return "yes"
		}
		return "no"
	}
}

// canTx shows whether there are transactions. A harness needs no Begin for it.
func canTx(_ Harness, p driver.Provider, _ driver.Caps) string {
	if t, ok := p.(driver.Transactor); ok {
		if _, err := t.Tx(nil); !errors.Is(err, driver.ErrNotSupported) {
			return "yes"
		}
	}
	return "no"
}

// operation is one of several that a column is about.
type operation struct {
	name string
	can  need
}

// list shows which operations there are, if not all or none.
func list(ops ...operation) func(Harness, driver.Provider, driver.Caps) string {
	return func(h Harness, p driver.Provider, c driver.Caps) string {
		var able []string
		for _, op := range ops {
			if op.can(h, p, c) == "" {
				able = append(able, op.name)
			}
		}
		switch len(able) {
		case 0:
			return "no"
		case len(ops):
			return "yes"
		}
		return strings.Join(able, ", ")
	}
}

// ReportHeader returns the header rows of a Markdown table of drivers.
func ReportHeader() string {
	titles, lines := make([]string, len(columns)), make([]string, len(columns))
	for i, c := range columns {
		titles[i], lines[i] = c.title, "---"
	}
	return row(titles) + row(lines)
}

// Report returns the row of the driver of h. It asks the provider for its Caps
// and tries its optional interfaces, so that nothing in it is only claimed.
func Report(h Harness) string {
	cells := make([]string, len(columns))
	failures := record(context.Background(), "report", func(tb testing.TB) {
		client := h.Open(tb)
		defer closeClient(tb, client)
		for i, c := range columns {
			cells[i] = c.cell(h, client.Provider(), client.Caps())
		}
	})
	if len(failures) > 0 {
		return row([]string{"failed: " + strings.ReplaceAll(failures[0], "\n", " ")})
	}
	return row(cells)
}

func row(cells []string) string { return "| " + strings.Join(cells, " | ") + " |\n" }

// bytesText shows a limit on a size.
func bytesText(n int) string {
	switch {
	case n == 0:
		return "none"
	case n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}

// durationText shows a limit on a time.
func durationText(d time.Duration) string {
	if d == 0 {
		return "none"
	}
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}

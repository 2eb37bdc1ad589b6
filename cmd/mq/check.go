package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/drivers/pgmq"
	"github.com/portmq/mq/drivers/rabbitmq"
	"github.com/portmq/mq/drivers/rabbitstub"
	"github.com/portmq/mq/drivers/sqlite"
	"github.com/portmq/mq/mqtest/drivertest"
)

func checkCommand(a *app) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "check [DSN]",
		Short: "Run the conformance suite on a live backend, and show what it can do",
		Long: `Run the conformance suite on a live backend, and show what it can do.

Only those cases are run that are safe beside other users: they make queues of
their own, whose names begin with drivertest_, and drop them in the end where the
provider can. The exit code is 0 if no case failed. It takes about a minute.`,
		Example: `  mq check pgmq://app@localhost/shop
  mq check -o json | jq 'select(.result == "failed")'`,
		Args: takes(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.argDSN(args); err != nil {
				return err
			}
			dsn, err := a.theDSN()
			if err != nil {
				return err
			}
			c, err := a.openDSN(dsn)
			if err != nil {
				return err
			}
			err = c.Ping(cmd.Context())
			if err = errors.Join(err, c.Close()); err != nil {
				return err
			}
			return a.check(cmd.Context(), dsn, all)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().BoolVar(&all, "all", false, "list the cases that passed, too")
	return cmd
}

// caseLine is the JSON of the result of a case.
type caseLine struct {
	Case     string   `json:"case"`
	Result   string   `json:"result"` // passed, failed or skipped
	Rule     string   `json:"rule"`
	Failures []string `json:"failures,omitempty"`
	Why      string   `json:"why,omitempty"`
}

func (a *app) check(ctx context.Context, dsn string, all bool) error {
	db, h, err := a.harness(dsn)
	if err != nil {
		return err
	}
	defer db()
	if isTerminal(a.stderr) {
		a.note("checking; this takes about a minute")
	}
	results := drivertest.Check(ctx, h)
	out := newPrinter(a, "CASE", "RESULT", "RULE¶")
	counts := make(map[string]int)
	for _, r := range results {
		line := caseLine{Case: r.Name, Result: outcome(r), Rule: r.Rule, Failures: r.Failures, Why: r.Skipped}
		counts[line.Result]++
		if !a.json() && !all && line.Result != "failed" {
			continue
		}
		out.row(line, line.Case, line.Result, line.Rule)
		if !a.json() {
			for _, f := range r.Failures {
				out.cells([]string{"", "", strings.TrimSpace(f)})
			}
		}
	}
	out.fail(a.capabilities(out, h))
	if err := out.flush(); err != nil {
		return err
	}
	summary := fmt.Sprintf("%d passed, %d failed, %d do not apply", counts["passed"], counts["failed"], counts["skipped"])
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w (%s, or were not run)", context.Cause(ctx), summary)
	case counts["failed"] > 0:
		return errors.New(summary)
	}
	a.note("%s", summary)
	return nil
}

func outcome(r drivertest.Result) string {
	switch {
	case len(r.Failures) > 0:
		return "failed"
	case r.Skipped != "":
		return "skipped"
	}
	return "passed"
}

// capabilities shows the table of drivers' row of this one, turned on its side.
func (a *app) capabilities(out *printer, h drivertest.Harness) error {
	header, _, _ := strings.Cut(drivertest.ReportHeader(), "\n")
	titles, cells := cellsOf(header), cellsOf(drivertest.Report(h))
	if len(titles) != len(cells) {
		return errors.New("the capabilities cannot be told: " + strings.Join(cells, " "))
	}
	if a.json() {
		capabilities := make(map[string]string, len(titles))
		for i, title := range titles {
			capabilities[title] = cells[i]
		}
		out.row(map[string]any{"capabilities": capabilities})
		return out.err
	}
	out.fail(out.flush()) // what follows is a table of its own
	out.widths = nil
	out.cells([]string{""})
	out.cells([]string{"CAPABILITY", "VALUE"})
	for i, title := range titles {
		out.cells([]string{title, cells[i]})
	}
	return out.err
}

// cellsOf cuts a row of a Markdown table.
func cellsOf(row string) []string {
	cells := strings.Split(strings.Trim(strings.TrimSpace(row), "|"), "|")
	return slices.Collect(func(yield func(string) bool) {
		for _, c := range cells {
			if !yield(strings.TrimSpace(c)) {
				return
			}
		}
	})
}

// harness is that of clients which share a namespace with everybody else. done
// must be called in the end.
func (a *app) harness(dsn string) (done func(), h drivertest.Harness, err error) {
	open := func(t testing.TB) *mq.Client {
		t.Helper()
		c, err := a.openDSN(dsn)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	h = drivertest.Harness{
		Open:   open,
		Common: true,
		Again:  func(t testing.TB, _ *mq.Client) *mq.Client { t.Helper(); return open(t) },
	}
	c, err := a.openDSN(dsn)
	if err != nil {
		return nil, h, err
	}
	provider := c.Provider()
	if err := c.Close(); err != nil {
		return nil, h, err
	}
	switch provider.(type) {
	case *rabbitmq.Provider, *rabbitstub.Provider:
		h.Known = map[string]string{
			"lifecycle/purge-delayed": "docs/rabbitmq.md: AMQP does not reach what is delayed",
			"topic/delay":             "docs/rabbitmq.md, Topics: what is published cannot be delayed",
		}
	case *mem.Provider:
		h.Begin = func(_ testing.TB, c *mq.Client) drivertest.Tx {
			return drivertest.TxOf(c.Provider().(*mem.Provider).Begin())
		}
	case *pgmq.Provider:
		db, err := pgmq.OpenDB(dsn)
		if err != nil {
			return nil, h, err
		}
		h.Begin = begins(db)
		return func() { _ = db.Close() }, h, nil
	case *sqlite.Provider:
		db, err := openFile(dsn)
		if err != nil {
			return nil, h, err
		}
		h.Begin = begins(db)
		return func() { _ = db.Close() }, h, nil
	}
	return func() {}, h, nil
}

// begins returns a hook that begins a transaction on db.
func begins(db *sql.DB) func(testing.TB, *mq.Client) drivertest.Tx {
	return func(t testing.TB, _ *mq.Client) drivertest.Tx {
		t.Helper()
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return drivertest.TxOf(tx)
	}
}

// openFile opens the file of a sqlite:// DSN for transactions beside the provider.
func openFile(dsn string) (*sql.DB, error) {
	_, path, _ := strings.Cut(dsn, "://")
	path, _, _ = strings.Cut(path, "?")
	return sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
}

// Package docs keeps true what the README and the other documents say of
// servers.
package docs

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/portmq/mq"
	_ "github.com/portmq/mq/drivers/mem"
	_ "github.com/portmq/mq/drivers/pgmq"
	_ "github.com/portmq/mq/drivers/rabbitmq"
	_ "github.com/portmq/mq/drivers/rabbitstub"
	_ "github.com/portmq/mq/drivers/sqlite"
	"github.com/portmq/mq/internal/integration/server"
	"github.com/portmq/mq/mqtest/drivertest"
)

var update = flag.Bool("update", false, "write the table to README.md")

// toolDir is where the command mq is.
var toolDir string

func TestMain(m *testing.M) {
	var err error
	if toolDir, err = os.MkdirTemp("", "mq"); err != nil {
		panic(err)
	}
	code := server.Run(m)
	_ = os.RemoveAll(toolDir)
	os.Exit(code)
}

// TestDrivers compares the table with what the providers say and do.
func TestDrivers(t *testing.T) {
	pg := "pgmq" + strings.TrimPrefix(server.Postgres(t).Database(t), "postgres")
	amqp := server.RabbitMQ(t).Vhost(t)
	file := "sqlite://" + filepath.ToSlash(filepath.Join(t.TempDir(), "readme.db"))
	rows := []string{drivertest.ReportHeader()}
	for _, dsn := range []string{"mem://readme", file, pg, amqp, "rabbitstub://readme"} {
		rows = append(rows, drivertest.Report(drivertest.Harness{Open: func(t testing.TB) *mq.Client {
			c, err := mq.Open(dsn)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}}))
	}
	want := transposed(strings.Join(rows, ""))

	const readme, begin, end = "../../../README.md", "<!-- drivers -->\n", "<!-- end -->\n"
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), begin)
	got, after, ok2 := strings.Cut(rest, end)
	switch {
	case !ok1 || !ok2:
		t.Fatal("README.md has no table of drivers")
	case got == want:
	case *update:
		if err := os.WriteFile(readme, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("README.md's table of drivers is out of date (go test ./docs -update writes it):\n%s\nwant:\n%s", got, want)
	}
}

// transposed makes the columns of a Markdown table its rows: there are more
// facts than drivers.
func transposed(table string) string {
	var cells [][]string
	for line := range strings.Lines(table) {
		if row := strings.Split(strings.Trim(line, "| \n"), " | "); row[0] != "---" {
			cells = append(cells, row)
		}
	}
	var b strings.Builder
	for i := range cells[0] {
		for _, row := range cells {
			b.WriteString("| " + row[i] + " ")
		}
		b.WriteString("|\n")
		if i == 0 {
			b.WriteString(strings.Repeat("|---", len(cells)) + "|\n")
		}
	}
	return b.String()
}

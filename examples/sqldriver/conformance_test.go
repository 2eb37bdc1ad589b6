package sqldriver_test

import (
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/mqtest/drivertest"

	_ "github.com/portmq/mq/examples/sqldriver"
)

func TestMain(m *testing.M) {
	drivertest.KillChild()
	os.Exit(m.Run())
}

// dsns are those of the clients.
var dsns sync.Map

func freshDSN(t testing.TB) string {
	return (&url.URL{Scheme: "table", Path: filepath.Join(t.TempDir(), "queue.db")}).String()
}

func open(t testing.TB, dsn string) *mq.Client {
	c, err := mq.OpenConfig(dsn, mq.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	dsns.Store(c, dsn)
	return c
}

var harness = drivertest.Harness{
	Open: func(t testing.TB) *mq.Client { return open(t, freshDSN(t)) },
	Again: func(t testing.TB, c *mq.Client) *mq.Client {
		dsn, _ := dsns.Load(c)
		return open(t, dsn.(string))
	},
	BadDSN: []string{
		"table://",
		"table://host/queue.db",
		"table://user:secret@/queue.db",
		"table:///queue.db?pasword=secret",
	},
	DownDSN: "table:///nonexistent/secret/queue.db",
	Want:    driver.Caps{Delay: true, Headers: true, Durable: true, Shared: true, PortableReceipts: true, ExactStats: true},
}

func TestConformance(t *testing.T) {
	h := harness
	if testing.Short() { // the loads take longest, most of all under the race detector
		h.Only = func(name string) bool { return !heavy.MatchString(name) }
	}
	drivertest.Run(t, h)
}

var heavy = regexp.MustCompile(`^(receive/(each-once|two-clients)|concurrency/.*|consumer/ledger|send/order-batch)$`)

func TestKilled(t *testing.T) { drivertest.Kill(t, freshDSN(t)) }

package rabbitstub_test

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/rabbitstub"
	"github.com/portmq/mq/mqtest/drivertest"
)

var silent = mq.Config{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}

// promised is what the stub must declare: what drivers/rabbitmq does.
var promised = driver.Caps{Delay: true, Headers: true, NackFences: true, ExactBodies: true, Attempts: true, NackReasons: true}

// private is the harness of rabbitstub://.
func private() drivertest.Harness {
	return drivertest.Harness{
		Open:   func(t testing.TB) *mq.Client { return open(t, "rabbitstub://") },
		Again:  func(t testing.TB, _ *mq.Client) *mq.Client { return open(t, "rabbitstub://") },
		Break:  func(_ testing.TB, c *mq.Client) { brokerOf(c).Disconnect() },
		BadDSN: badDSN,
		Want:   promised,
		Known: map[string]string{
			"lifecycle/purge-delayed": "docs/rabbitmq.md: AMQP does not reach what is delayed",
			"topic/delay":             "docs/rabbitmq.md, Topics: what is published cannot be delayed",
		},
		Bubble: true,
	}
}

var badDSN = []string{
	"rabbitstub://?prefetch=1", "rabbitstub://user:s3cret@name", "rabbitstub://name/vhost", "rabbitstub://name:5672",
	"rabbitstub:opaque", "rabbitstub://name#fragment", "rabbitstub://a b:s3cret@c", "rabbitstub://u:p%20w@h:port",
}

func open(t testing.TB, dsn string) *mq.Client {
	t.Helper()
	c, err := mq.OpenConfig(dsn, silent)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func brokerOf(c *mq.Client) *rabbitstub.Broker {
	return c.Provider().(*rabbitstub.Provider).Broker()
}

var names atomic.Int64

func freshDSN() string { return "rabbitstub://b" + strconv.FormatInt(names.Add(1), 10) }

// shared is the harness of rabbitstub://name.
func shared() drivertest.Harness {
	var dsns sync.Map // by client
	remember := func(t testing.TB, dsn string) *mq.Client {
		c := open(t, dsn)
		dsns.Store(c, dsn)
		return c
	}
	h := private()
	h.Open = func(t testing.TB) *mq.Client { return remember(t, freshDSN()) }
	h.Again = func(t testing.TB, c *mq.Client) *mq.Client {
		dsn, _ := dsns.Load(c)
		return remember(t, dsn.(string))
	}
	h.Want.Shared = true
	return h
}

// restartable is the harness of a broker that is restarted, and has the
// messages that it had before: Caps.Durable, if it were not for the process.
func restartable() drivertest.Harness {
	h := shared()
	var last *rabbitstub.Broker // cases in bubbles run one after the other
	client := func(t testing.TB, dsn string) *mq.Client {
		p := open(t, dsn).Provider().(*rabbitstub.Provider)
		last = p.Broker()
		return mq.New(durable{p, dsn}, silent)
	}
	h.Open = func(t testing.TB) *mq.Client { return client(t, freshDSN()) }
	h.Again = func(t testing.TB, c *mq.Client) *mq.Client { return client(t, c.Provider().(durable).dsn) }
	h.Break = func(testing.TB, *mq.Client) { last.Disconnect() }
	h.Restart = func(testing.TB) {
		last.Stop()
		last.Start()
	}
	h.Want.Durable = true
	return h
}

type durable struct {
	*rabbitstub.Provider
	dsn string
}

func (p durable) Caps() driver.Caps {
	c := p.Provider.Caps()
	c.Durable = true
	return c
}

func TestConformance(t *testing.T) { drivertest.Run(t, private()) }

func TestConformanceShared(t *testing.T) { drivertest.Run(t, shared()) }

func TestConformanceRestart(t *testing.T) { drivertest.Run(t, restartable()) }

// FuzzStub does without purges, which are not those of the model: they leave
// what is delayed.
func FuzzStub(f *testing.F) {
	h := private()
	h.Open = func(testing.TB) *mq.Client { return mq.New(unpurged{rabbitstub.New()}, silent) }
	drivertest.Fuzz(f, h)
}

type unpurged struct{ *rabbitstub.Provider }

func (unpurged) PurgeQueue(context.Context, string) (int64, error) { return 0, mq.ErrNotSupported }

func BenchmarkStub(b *testing.B) { drivertest.Bench(b, private()) }

package rabbitmq_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	_ "github.com/portmq/mq/drivers/rabbitmq"
	"github.com/portmq/mq/internal/integration/server"
	"github.com/portmq/mq/mqtest/drivertest"
)

// clients gives each client a vhost, or that of another client, and a way of
// its own to the broker.
type clients struct {
	*server.Broker
	ways sync.Map // *mq.Client to way
}

type way struct {
	vhost string // a DSN
	*server.Proxy
}

// harness is that of the suite.
func harness(b *server.Broker) (drivertest.Harness, *clients) {
	cs := &clients{Broker: b}
	return drivertest.Harness{
		Open:  func(t testing.TB) *mq.Client { return cs.client(t, cs.Vhost(t)) },
		Again: func(t testing.TB, c *mq.Client) *mq.Client { return cs.client(t, cs.of(c).vhost) },
		Break: func(_ testing.TB, c *mq.Client) { cs.of(c).Cut() },
		Hang: func(_ testing.TB, c *mq.Client) func() {
			return cs.of(c).Silence()
		},
		BadDSN:  badDSN,
		DownDSN: "rabbitmq://guest:down-s3cret@127.0.0.1:1/",
		Want: driver.Caps{
			Delay: true, Headers: true, Durable: true, Shared: true, NackFences: true, ExactBodies: true, Attempts: true, NackReasons: true,
		},
		Known: map[string]string{
			"lifecycle/purge-delayed": "docs/rabbitmq.md, Limits: AMQP cannot reach delayed messages",
			"topic/delay":             "docs/rabbitmq.md, Topics: what is published cannot be delayed",
		},
	}, cs
}

var badDSN = []string{
	"rabbitmq://guest:s3cret@127.0.0.1/?unknown=1",
	"rabbitmq://guest:s3cret@127.0.0.1/?heartbeat=often",
	"rabbitmq://guest:s3cret@127.0.0.1/?consumer_timeout=-1s",
	"rabbitmq://guest:s3cret@127.0.0.1/?max_message_size=0",
	"rabbitmq://guest:s3cret@127.0.0.1/?cacertfile=ca.pem",
	"amqps://guest:s3cret@127.0.0.1/?verify=maybe",
	"rabbitmq://guest:s3cret@127.0.0.1:port/",
	"rabbitmq://guest:s3cr/et@127.0.0.1/",
}

// open opens a client by an amqp:// DSN.
func open(t testing.TB, dsn string, params ...string) *mq.Client {
	t.Helper()
	dsn = "rabbitmq" + strings.TrimPrefix(dsn, "amqp")
	if len(params) > 0 {
		dsn += "?" + strings.Join(params, "&")
	}
	return must(mq.OpenConfig(dsn, quiet))(t)
}

func (cs *clients) client(t testing.TB, vhost string) *mq.Client {
	t.Helper()
	p, dsn := server.NewProxy(t, vhost)
	c := open(t, dsn)
	cs.ways.Store(c, way{vhost, p})
	return c
}

func (cs *clients) of(c *mq.Client) way {
	w, _ := cs.ways.Load(c)
	return w.(way)
}

// restart ends the node in either way by turns.
func (cs *clients) restart(t testing.TB) {
	t.Helper()
	how := server.Shutdown
	if restarts.Add(1)%2 == 0 {
		how = server.Crash
		writeDown(t, cs.Broker)
	}
	cs.Restart(t, how)
}

var restarts atomic.Int64

func TestRabbitMQ(t *testing.T) {
	h, _ := harness(server.RabbitMQ(t))
	drivertest.Run(t, h)
}

// testRestarts is the part of the suite that restarts the node.
func testRestarts(t *testing.T) {
	h, cs := harness(server.OwnRabbitMQ(t))
	h.Restart = cs.restart
	h.Only = func(name string) bool { return strings.HasPrefix(name, "fault/restart") || name == "fault/durable" }
	drivertest.Run(t, h)
}

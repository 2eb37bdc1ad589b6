package cli

import (
	"database/sql"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/portmq/mq/internal/integration/checks"
	"github.com/portmq/mq/internal/integration/server"
)

// shop is mq on a PostgreSQL database of its own, and plain SQL on it.
type shop struct {
	*tool
	admin string // the DSN for other programs
	db    *sql.DB
}

func newShop(t *testing.T) *shop { t.Helper(); return newShopOn(t, server.Postgres(t)) }

func newShopOn(t *testing.T, c *server.Cluster) *shop {
	t.Helper()
	dsn := c.Database(t)
	return &shop{on(t, "pgmq", dsn), dsn, checks.DB(t, "pgx", dsn)}
}

// of returns the same for a subtest.
func (s *shop) of(t *testing.T) *shop { return &shop{&tool{t, s.dsn}, s.admin, s.db} }

func (s *shop) exec(query string, args ...any) {
	s.Helper()
	checks.Exec(s, s.db, query, args...)
}

func (s *shop) count(query string) int {
	s.Helper()
	return checks.Value[int](s, s.db, query)
}

// depot is mq on a RabbitMQ vhost of its own, and AMQP on it.
type depot struct {
	*tool
	conn *amqp.Connection
}

func newDepot(t *testing.T) *depot { t.Helper(); return newDepotOn(t, server.RabbitMQ(t)) }

func newDepotOn(t *testing.T, b *server.Broker) *depot {
	t.Helper()
	dsn := b.Vhost(t)
	conn, err := amqp.Dial(dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &depot{on(t, "rabbitmq", dsn), conn}
}

// channel runs f on a channel, which an error costs.
func (d *depot) channel(f func(*amqp.Channel) error) error {
	d.Helper()
	ch, err := d.conn.Channel()
	if err != nil {
		d.Fatal(err)
	}
	defer func() { _ = ch.Close() }()
	return f(ch)
}

// exists reports whether there is a queue.
func (d *depot) exists(queue string) bool { d.Helper(); return d.ready(queue) >= 0 }

// ready counts the messages of a queue, or returns -1 if there is none.
func (d *depot) ready(queue string) (n int) {
	d.Helper()
	err := d.channel(func(ch *amqp.Channel) error {
		q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		n = q.Messages
		return err
	})
	if err != nil {
		return -1
	}
	return n
}

// declare makes a durable queue as another program might.
func (d *depot) declare(queue string, args amqp.Table) {
	d.Helper()
	err := d.channel(func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(queue, true, false, false, false, args)
		return err
	})
	if err != nil {
		d.Fatal(err)
	}
}

func (d *depot) remove(queue string) {
	d.Helper()
	err := d.channel(func(ch *amqp.Channel) error {
		_, err := ch.QueueDelete(queue, false, false, false)
		return err
	})
	if err != nil {
		d.Fatal(err)
	}
}

// eachProvider runs a test on both servers, at the same time.
func eachProvider(t *testing.T, f func(*tool)) {
	t.Run("pgmq", func(t *testing.T) { t.Parallel(); f(newShop(t).tool) })
	t.Run("rabbitmq", func(t *testing.T) { t.Parallel(); f(newDepot(t).tool) })
}

// lines decodes the objects of an output.
func lines[T any](m *tool, output string) (all []T) {
	m.Helper()
	for line := range strings.Lines(output) {
		var one T
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			m.Fatalf("%v: %s", err, line)
		}
		all = append(all, one)
	}
	return all
}

// worker is mq as a role without rights.
type worker struct {
	*tool
	name, password string
}

// newWorker returns a role, and the administrator of its database.
func newWorker(t *testing.T) (*worker, *shop) {
	t.Helper()
	user := server.Postgres(t).Role(t)
	s := newShop(t)
	u, err := url.Parse(s.dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.User = user
	password, _ := user.Password()
	return &worker{&tool{t, u.String()}, user.Username(), password}, s
}

// of returns the same for a subtest.
func (d *depot) of(t *testing.T) *depot { return &depot{&tool{t, d.dsn}, d.conn} }

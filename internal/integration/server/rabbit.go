package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Broker is a RabbitMQ node.
type Broker struct {
	dsn   *url.URL // of the administrator, without a vhost
	api   *url.URL // of the management plugin
	about string
	host  brokerHost // nil if the node is not ours
	lent  sync.Mutex // held by the test that may stop the node
}

// brokerHost runs a node that is ours, always at the same address.
type brokerHost interface {
	host
	// ctl runs rabbitmqctl.
	ctl(args ...string) error
}

var rabbitMQ = search[*Broker]{"RabbitMQ", "rabbitmq", "MQ_TEST_AMQP", "MQ_TEST_RABBITMQ_FROM", []way[*Broker]{
	{"env", openBrokerEnv},
	{"docker", openBrokerContainer},
	{"local", openBrokerLocal},
}}

// RabbitMQ returns the node that all tests share. Without one it skips the
// test, or fails it if one is required.
func RabbitMQ(tb testing.TB) *Broker {
	tb.Helper()
	b, err := FindRabbitMQ()
	rabbitMQ.check(tb, err)
	return b
}

// FindRabbitMQ is RabbitMQ for programs. They call Stop in the end.
var FindRabbitMQ = sync.OnceValues(rabbitMQ.find)

// OwnRabbitMQ lends the test a node of this process that it may stop or set
// up otherwise, once no other test has it.
func OwnRabbitMQ(tb testing.TB) *Broker {
	tb.Helper()
	b, err := findOwnRabbitMQ()
	if err != nil {
		missing(tb, "rabbitmq", err)
	}
	lend(tb, &b.lent)
	return b
}

var findOwnRabbitMQ = sync.OnceValues(rabbitMQ.own)

func (b *Broker) describe() string { return b.about }

// openBrokerEnv finds the management plugin at its usual port of the same
// host, unless MQ_TEST_RABBITMQ_API says otherwise.
func openBrokerEnv() (*Broker, error) {
	dsn := os.Getenv("MQ_TEST_AMQP")
	if dsn == "" {
		return nil, errors.New("MQ_TEST_AMQP is not set")
	}
	u, err := url.Parse(dsn)
	if err != nil || u.Scheme != "amqp" && u.Scheme != "amqps" {
		return nil, errors.New("MQ_TEST_AMQP is not an amqp:// URL")
	}
	if u.User == nil {
		u.User = url.UserPassword("guest", "guest")
	}
	api, err := url.Parse(cmp.Or(os.Getenv("MQ_TEST_RABBITMQ_API"), "http://"+u.Hostname()+":15672"))
	if err != nil {
		return nil, errors.New("MQ_TEST_RABBITMQ_API is not a URL")
	}
	return connectBroker(u, api, "of MQ_TEST_AMQP", nil)
}

// brokerDSN is the administrator's DSN of a node of ours, and the address of
// its management plugin.
func brokerDSN(user, password, port, apiPort string) (dsn, api *url.URL) {
	return &url.URL{Scheme: "amqp", User: url.UserPassword(user, password), Host: "127.0.0.1:" + port},
		&url.URL{Scheme: "http", Host: "127.0.0.1:" + apiPort}
}

// connectBroker returns a node that accepts the administrator.
func connectBroker(dsn, api *url.URL, how string, h brokerHost) (*Broker, error) {
	b := &Broker{dsn: dsn, api: api, host: h}
	if err := b.await(); err != nil {
		return nil, errors.Join(fmt.Errorf("RabbitMQ %s: %w", how, err), b.close())
	}
	var overview struct {
		Version string `json:"rabbitmq_version"`
	}
	if err := b.call("GET", "overview", nil, &overview); err != nil {
		return nil, errors.Join(err, b.close())
	}
	b.about = fmt.Sprintf("RabbitMQ %s %s, at %s", overview.Version, how, dsn.Host)
	return b, nil
}

// await returns when the node answers. One that is not ours should do so at
// once, and vhosts of others may be down: they are made and deleted all the time.
func (b *Broker) await() error {
	if b.host == nil {
		return b.call("GET", "overview", nil, nil)
	}
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		err := b.call("GET", "health/checks/virtual-hosts", nil, nil)
		if err == nil {
			err = b.listens()
		}
		if err == nil {
			err = b.call("GET", "overview", nil, nil) // which may come last
		}
		if err == nil || time.Now().After(end) {
			return err
		}
		if dead := b.host.dead(); dead != nil {
			return dead
		}
	}
}

// listens returns nil if the node takes AMQP connections: the management plugin
// may be faster.
func (b *Broker) listens() error {
	c, err := net.DialTimeout("tcp", b.dsn.Host, patience)
	if err != nil {
		return err
	}
	return c.Close()
}

// Get reads a path of the management plugin, such as "nodes".
func (b *Broker) Get(path string, answer any) error { return b.call("GET", path, nil, answer) }

// call calls the management plugin.
func (b *Broker) call(method, path string, body string2any, answer any) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, b.api.String()+"/api/"+path, strings.NewReader(string(text)))
	if err != nil {
		return err
	}
	password, _ := b.dsn.User.Password()
	req.SetBasicAuth(b.dsn.User.Username(), password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("the management plugin does not answer: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("the management plugin answers %s %s with %s: %s", method, path, resp.Status, data)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(data, answer)
}

type string2any map[string]any

func (b *Broker) close() error {
	if b.host == nil {
		return nil
	}
	return b.host.remove()
}

// String says which node it is and how it was found.
func (b *Broker) String() string { return b.about }

// DSN returns the administrator's DSN of a vhost.
func (b *Broker) DSN(vhost string) string {
	u := *b.dsn
	u.Path, u.RawPath = "/"+vhost, "/"+url.PathEscape(vhost)
	return u.String()
}

// Vhost makes a vhost for a test, and returns its DSN.
func (b *Broker) Vhost(tb testing.TB) (dsn string) {
	tb.Helper()
	name := fresh()
	user := b.dsn.User.Username()
	err := b.call("PUT", "vhosts/"+name, nil, nil)
	if err == nil {
		err = b.call("PUT", "permissions/"+name+"/"+url.PathEscape(user), string2any{"configure": ".*", "write": ".*", "read": ".*"}, nil)
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		tb.Helper()
		if err := b.call("DELETE", "vhosts/"+name, nil, nil); err != nil {
			tb.Error(err)
		}
	})
	return b.DSN(name)
}

// Ours reports whether this process has started the node, so that Ctl works.
func (b *Broker) Ours() bool { return b.host != nil }

// Ctl runs rabbitmqctl on the node.
func (b *Broker) Ctl(tb testing.TB, args ...string) {
	tb.Helper()
	if err := b.host.ctl(args...); err != nil {
		tb.Fatal(err)
	}
}

// How a node of ours may end.
const (
	// Shutdown stops it in order.
	Shutdown = syscall.SIGTERM
	// Crash is kill -9.
	Crash = syscall.SIGKILL
)

// Restart stops and starts a node of OwnRabbitMQ.
func (b *Broker) Restart(tb testing.TB, how syscall.Signal) {
	tb.Helper()
	b.Stop(tb, how)
	b.Start(tb)
}

// Stop stops a node of OwnRabbitMQ until Start.
func (b *Broker) Stop(tb testing.TB, how syscall.Signal) {
	tb.Helper()
	http.DefaultClient.CloseIdleConnections()
	if err := b.host.stop(how); err != nil {
		tb.Fatal(err)
	}
}

// Start starts a node that was stopped.
func (b *Broker) Start(tb testing.TB) {
	tb.Helper()
	err := b.host.start()
	if err == nil {
		err = b.await()
	}
	if err != nil {
		tb.Fatal(err)
	}
}

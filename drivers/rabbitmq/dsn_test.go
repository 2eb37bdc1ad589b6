package rabbitmq

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/portmq/mq/driver"
)

func TestParseDSN(t *testing.T) {
	o, err := parseDSN("rabbitmq://app:p%40ss@one,two:5673,[::1]:5674/my%2Fhost?heartbeat=3s&consumer_timeout=10m&max_message_size=1000&connection_name=shop")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"one:5672", "two:5673", "[::1]:5674"}; !slices.Equal(o.hosts, want) {
		t.Errorf("hosts = %q, want %q", o.hosts, want)
	}
	auth := o.sasl.(*amqp.PlainAuth)
	if o.vhost != "my/host" || auth.Username != "app" || auth.Password != "p@ss" || o.heartbeat != 3*time.Second || o.tls != nil ||
		o.maxHold() != 8*time.Minute || o.maxBody != 1000 || o.name != "shop" || o.dialTimeout != defaultDialTimeout {
		t.Errorf("options = %+v", o)
	}
}

func TestParseDSNDefaults(t *testing.T) {
	for dsn, host := range map[string]string{
		"amqp://": "localhost:5672", "AMQP:///": "localhost:5672", "rabbitmq://h": "h:5672", "amqps://h/": "h:5671", "amqp://[::1]": "[::1]:5672",
	} {
		o, err := parseDSN(dsn)
		if err != nil {
			t.Errorf("parseDSN(%q): %v", dsn, err)
			continue
		}
		auth := o.sasl.(*amqp.PlainAuth)
		if !slices.Equal(o.hosts, []string{host}) || o.vhost != "/" || auth.Username != "guest" || o.maxHold() != 24*time.Minute || o.maxBody != 16<<20 {
			t.Errorf("parseDSN(%q) = %+v", dsn, o)
		}
	}
}

func TestParseDSNErrors(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "s3cret.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for dsn, want := range map[string]string{
		"amqp:h":                                 "not of the form",
		"amqp://a:s3cret@h?heartbeet=1s":         `did you mean "heartbeat"`,
		"amqp://a:s3cret@h?heartbeat=s3cret":     `"heartbeat" must be a duration`,
		"amqp://a:s3cret@h?heartbeat=1ms":        "at least 1s",
		"amqp://a:s3cret@h?consumer_timeout=0s":  `"consumer_timeout" must be`,
		"amqp://a:s3cret@h?max_message_size=1e9": `"max_message_size" must be`,
		"amqp://a:s3cret@h?auth_mechanism=none":  `"auth_mechanism" must be`,
		"amqp://a:s3cret@h?verify=verify_none":   `"verify" needs the scheme amqps`,
		"amqps://a:s3cret@h?verify=none":         `"verify" must be`,
		"amqps://a:s3cret@h?certfile=s3cret":     "go together",
		"amqps://a:s3cret@h?cacertfile=/s3cret":  "no such file",
		"amqps://a:s3cret@h?cacertfile=" + empty: "has no certificate",
		"amqps://h?certfile=/s3cret&keyfile=/s":  "no such file",
		"amqp://a:s3cret@h:port":                 "invalid port",
		"amqp://a:s3cret@h:0":                    "invalid port",
		"amqp://a:s3/cret@h":                     "percent-encode",
		"amqp://a:s3#cret@h":                     "percent-encode",
		"amqp://a:s3cret@h/a/b":                  "percent-encoded as %2F",
		"amqp://a:s3cret@h h":                    "invalid host",
		"amqp://h/%01":                           "control characters",
	} {
		_, err := parseDSN(dsn)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("parseDSN(%q): %v, want %q", dsn, err, want)
		}
	}
}

func TestTLS(t *testing.T) {
	o, err := parseDSN("amqps://h?verify=verify_none&server_name_indication=other&auth_mechanism=external")
	if err != nil {
		t.Fatal(err)
	}
	if !o.tls.InsecureSkipVerify || o.tls.ServerName != "other" || o.tls.MinVersion != tls.VersionTLS12 {
		t.Errorf("tls = %+v", o.tls)
	}
	if _, external := o.sasl.(*amqp.ExternalAuth); !external {
		t.Errorf("sasl = %T", o.sasl)
	}
}

func FuzzParseDSN(f *testing.F) {
	f.Add("rabbitmq://app:hunter2secret@one,two:1/v?heartbeat=1s")
	f.Add("amqps://[::1]:1/%2f?verify=x")
	f.Add("?://hunter2secret@")
	f.Fuzz(func(t *testing.T, dsn string) {
		const secret = "hunter2secret"
		o, err := parseDSN(dsn)
		_, query, _ := strings.Cut(dsn, "?") // the names of parameters may be shown
		if err != nil && strings.Contains(err.Error(), secret) && !strings.Contains(query, secret) {
			t.Errorf("parseDSN(%q): %v", dsn, err)
		}
		if err == nil && (len(o.hosts) == 0 || o.vhost == "" || o.maxHold() <= 0 || o.maxBody < 1) {
			t.Errorf("parseDSN(%q) = %+v", dsn, o)
		}
	})
}

func TestOpen(t *testing.T) {
	p, err := rabbitDriver{}.Open("rabbitmq://h", driver.Env{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	c := p.Caps()
	if p.Name() != "rabbitmq" || c.MaxHold != 24*time.Minute || c.MaxDelay != (1<<24-1)*100*time.Millisecond {
		t.Errorf("%s has caps %+v", p.Name(), c)
	}
	for range 2 {
		if err := p.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if _, err := (rabbitDriver{}).Open("rabbitmq://h?x=1", driver.Env{}); err == nil {
		t.Error("a bad DSN opens")
	}
}

func TestQueueName(t *testing.T) {
	p := newProvider(options{}, nil)
	for _, name := range []string{"a", "A.b", "*", "日本", "mq.delay.lost", strings.Repeat("x", maxName)} {
		if got, err := p.QueueName(name); got != name || err != nil {
			t.Errorf("QueueName(%q) = %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "amq.gen", "mq.delay.01", "a\x00", "\xff", strings.Repeat("x", maxName+1)} {
		if _, err := p.QueueName(name); err == nil {
			t.Errorf("QueueName(%q) succeeds", name)
		}
	}
}

func TestVersion(t *testing.T) {
	for text, want := range map[string]string{
		"3.10.8": "", "3.13.7+1": "", "4.0.0-rc.1": "", "4.3.0": "", "10.0": "",
		"3.9.29": "3.10 is the oldest", "2.8.7": "3.10 is the oldest", "": "cannot be read", "x.y": "cannot be read", "3": "cannot be read",
	} {
		_, err := versionOf(amqp.Table{"product": "RabbitMQ", "version": text})
		if (err == nil) != (want == "") || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("version %q: %v, want %q", text, err, want)
		}
	}
	if _, err := versionOf(amqp.Table{"product": "LavinMQ", "version": "3.10"}); err == nil {
		t.Error("a broker that is not RabbitMQ passes")
	}
}

func TestReads(t *testing.T) {
	old, fresh := version{3, 10}, version{4, 3}
	for _, tt := range []struct {
		v       version
		headers amqp.Table
		again   bool
		want    int64
	}{
		{old, nil, false, 1},
		{old, nil, true, 2}, // a classic queue
		{old, amqp.Table{"x-delivery-count": int64(3)}, true, 4},
		{old, amqp.Table{"x-delivery-count": int64(1), "x-acquired-count": int64(9)}, true, 2},
		{fresh, amqp.Table{"x-delivery-count": int64(1), "x-acquired-count": int64(9)}, true, 10},
		{fresh, amqp.Table{"x-acquired-count": int64(1)}, true, 2},
		{fresh, amqp.Table{"x-delivery-count": "odd"}, false, 1},
	} {
		if got := tt.v.reads(&amqp.Delivery{Headers: tt.headers, Redelivered: tt.again}); got != tt.want {
			t.Errorf("%v reads %v as %d, want %d", tt.v, tt.headers, got, tt.want)
		}
	}
}

package rabbitmq

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/portmq/mq/driver"
)

var schemes = []string{"rabbitmq", "amqp", "amqps"}

// options are what a DSN says.
type options struct {
	hosts []string // host:port
	vhost string
	sasl  amqp.Authentication
	tls   *tls.Config // nil: plain TCP

	name            string
	heartbeat       time.Duration
	dialTimeout     time.Duration
	consumerTimeout time.Duration
	maxBody         int
}

// maxHold leaves the broker, which looks once a minute, room to be early.
func (o options) maxHold() time.Duration { return o.consumerTimeout / 5 * 4 }

const (
	defaultHeartbeat       = 10 * time.Second
	defaultDialTimeout     = 10 * time.Second
	defaultConsumerTimeout = 30 * time.Minute // the broker's own default
	// defaultMaxBody is the max_message_size of RabbitMQ 4. Before it was 128
	// MiB.
	defaultMaxBody = 16 << 20
)

var paramNames = []string{
	"heartbeat", "connection_timeout", "connection_name", "auth_mechanism", "consumer_timeout", "max_message_size",
	"cacertfile", "certfile", "keyfile", "verify", "server_name_indication",
}

// parseDSN parses rabbitmq://user:password@host:port,host2/vhost?name=value.
// Its errors contain no value from dsn.
func parseDSN(dsn string) (options, error) {
	u, hosts, err := driver.ParseHosts(dsn, paramNames...)
	if err != nil {
		return options{}, err
	}
	set := u.Query()
	get := func(name string) string { return set.Get(name) }
	o := options{vhost: cmp.Or(strings.TrimPrefix(u.Path, "/"), "/"), name: cmp.Or(get("connection_name"), driver.ClientName())}
	if strings.Contains(strings.TrimPrefix(u.EscapedPath(), "/"), "/") {
		return options{}, errors.New("malformed DSN: a / in the vhost must be percent-encoded as %2F")
	}
	if strings.ContainsFunc(o.vhost+o.name, func(r rune) bool { return r < ' ' }) || len(o.vhost) > 255 {
		return options{}, errors.New("malformed DSN: the vhost or the connection_name has control characters or is too long")
	}
	user, password := "guest", "guest"
	if u.User != nil {
		user = u.User.Username()
		password, _ = u.User.Password()
	}
	if o.sasl, err = mechanism(get("auth_mechanism"), user, password); err != nil {
		return options{}, err
	}
	defaultPort := "5672"
	if u.Scheme == "amqps" {
		defaultPort = "5671"
		if o.tls, err = tlsConfig(get); err != nil {
			return options{}, err
		}
	} else if i := slices.IndexFunc(paramNames[6:], set.Has); i >= 0 {
		return options{}, fmt.Errorf("parameter %q needs the scheme amqps", paramNames[6+i])
	}
	if o.hosts, err = addresses(hosts, defaultPort); err != nil {
		return options{}, err
	}
	return o, o.limits(get)
}

// addresses returns host:port of each host.
func addresses(hosts []driver.Host, defaultPort string) (addrs []string, err error) {
	for _, h := range hosts {
		if strings.ContainsAny(h.Name, "/@") {
			return nil, errors.New("malformed DSN: invalid host")
		}
		addrs = append(addrs, net.JoinHostPort(cmp.Or(h.Name, "localhost"), cmp.Or(h.Port, defaultPort)))
	}
	return addrs, nil
}

func mechanism(name, user, password string) (amqp.Authentication, error) {
	switch name {
	case "", "plain":
		return &amqp.PlainAuth{Username: user, Password: password}, nil
	case "external":
		return &amqp.ExternalAuth{}, nil
	}
	return nil, errors.New(`parameter "auth_mechanism" must be plain or external`)
}

// limits reads the parameters that are numbers.
func (o *options) limits(get func(string) string) error {
	for _, d := range []struct {
		name     string
		into     *time.Duration
		def, min time.Duration
	}{
		{"heartbeat", &o.heartbeat, defaultHeartbeat, time.Second},
		{"connection_timeout", &o.dialTimeout, defaultDialTimeout, time.Millisecond},
		{"consumer_timeout", &o.consumerTimeout, defaultConsumerTimeout, time.Second},
	} {
		*d.into = d.def
		text := get(d.name)
		if text == "" {
			continue
		}
		v, err := time.ParseDuration(text)
		if err != nil || v < d.min {
			return fmt.Errorf("parameter %q must be a duration such as %v, and at least %v", d.name, d.def, d.min)
		}
		*d.into = v
	}
	o.maxBody = defaultMaxBody
	if text := get("max_message_size"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 1 || n > math.MaxInt32 {
			return errors.New(`parameter "max_message_size" must be a number of bytes`)
		}
		o.maxBody = int(n)
	}
	return nil
}

func tlsConfig(get func(string) string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: get("server_name_indication")}
	switch get("verify") {
	case "", "verify_peer":
	case "verify_none":
		c.InsecureSkipVerify = true
	default:
		return nil, errors.New(`parameter "verify" must be verify_peer or verify_none`)
	}
	if file := get("cacertfile"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, unreadable("cacertfile", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New(`the file of parameter "cacertfile" has no certificate`)
		}
	}
	cert, key := get("certfile"), get("keyfile")
	if (cert == "") != (key == "") {
		return nil, errors.New(`parameters "certfile" and "keyfile" go together`)
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, unreadable("certfile or keyfile", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// unreadable says why without the name of the file.
func unreadable(name string, err error) error {
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		err = path.Err
	}
	return fmt.Errorf("the file of %s cannot be used: %w", name, err)
}

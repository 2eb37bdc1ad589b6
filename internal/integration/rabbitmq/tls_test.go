package rabbitmq_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/integration/server"
)

// testTLS: both connections are encrypted and verified. Whatever is wrong with a
// certificate is told at the first call, and no secret.
func testTLS(t *testing.T) {
	b := server.OwnRabbitMQ(t)
	r := newRigOn(t, b)
	ca, other := server.NewAuthority(t), server.NewAuthority(t)
	at := serveTLS(t, b, ca)
	u, err := url.Parse(r.User(t, r.dsn, ".*", ".*", ".*"))
	ok(t, err)
	me := u.User.Username()
	to := func(scheme, host string, params ...string) string {
		u := *u
		u.Scheme, u.Host, u.RawQuery = scheme, host, strings.Join(params, "&")
		return u.String()
	}
	trusting := func(ca *server.Authority) string { return "cacertfile=" + ca.File() }
	showing := func(c *server.Certificate) string { return "certfile=" + c.CertFile + "&keyfile=" + c.KeyFile }
	mine, stranger := showing(ca.Issue(me, 0)), showing(other.Issue(me, 0))
	expired := server.Stranger(t, server.Shows(t, ca.Issue("localhost", time.Hour)))
	for name, dsn := range map[string]string{
		"password": to("amqps", at, trusting(ca), mine),
		"external": to("amqps", at, trusting(ca), mine, "auth_mechanism=external"),
		"by name":  to("amqps", strings.Replace(at, "localhost", "127.0.0.1", 1), trusting(ca), mine, "server_name_indication=localhost"),
	} {
		t.Run(name, func(t *testing.T) {
			c := must(mq.OpenConfig(dsn, quiet))(t)
			defer func() { ok(t, c.Close()) }()
			q := c.Queue(queueName)
			must(q.Send(t.Context(), &mq.Message{Body: []byte(name)}))(t)
			d := r.takeFrom(q)
			if ok(t, d.Ack(t.Context())); string(d.Body) != name {
				t.Errorf("received %q", d.Body)
			}
		})
	}
	plain, err := url.Parse(r.dsn)
	ok(t, err)
	for _, trouble := range []struct{ name, dsn, says string }{
		{"authority", to("amqps", at, trusting(other), mine), "unknown authority"},
		{"host", to("amqps", strings.Replace(at, "localhost", "127.0.0.1", 1), trusting(ca), mine), "certificate for 127.0.0.1"},
		{"expired", to("amqps", strings.Replace(expired, "127.0.0.1", "localhost", 1), trusting(ca), mine), "expired"},
		{"no certificate", to("amqps", at, trusting(ca)), "certificate required"},
		{"certificate of another authority", to("amqps", at, trusting(ca), stranger), "unknown certificate authority"},
		{"plaintext", to("amqp", at, "connection_timeout=20s"), "TLS"},
		{"TLS to plaintext", to("amqps", plain.Host, trusting(ca)), "TLS"},
		{"silent", to("amqps", server.Stranger(t, server.Silent), trusting(ca), "connection_timeout=100ms"), "connection_timeout"},
	} {
		t.Run(trouble.name, func(t *testing.T) {
			c := must(mq.OpenConfig(trouble.dsn, quiet))(t)
			defer func() { ok(t, c.Close()) }()
			_, sent := c.Queue(queueName).Send(t.Context(), &mq.Message{})
			for _, err := range []error{c.Ping(t.Context()), sent} {
				if err == nil || !contains(err, trouble.says) || !errors.Is(err, mq.ErrBadConn) || contains(err, server.Canary) {
					t.Errorf("%v, want it to say %q and to be ErrBadConn", err, trouble.says)
				}
			}
		})
	}
}

// serveTLS makes the node listen for TLS, and want certificates of its clients. It
// returns the address.
func serveTLS(t *testing.T, b *server.Broker, ca *server.Authority) (at string) {
	t.Helper()
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	port := l.Addr().(*net.TCPAddr).Port
	ok(t, l.Close())
	cert := ca.Issue("localhost", 0)
	b.Ctl(t, "eval", fmt.Sprintf(`
		rabbit_networking:ensure_ssl(),
		ok = application:set_env(rabbit, auth_mechanisms, ['PLAIN', 'AMQPLAIN', 'EXTERNAL']),
		ok = application:set_env(rabbit, ssl_cert_login_from, common_name),
		ok = application:set_env(rabbit, ssl_options, [{verify, verify_peer}]), %% which EXTERNAL looks at
		[true = code:add_path(P) || P <- filelib:wildcard(filename:join([code:lib_dir(rabbit), "..", "rabbitmq_auth_mechanism_ssl*", "ebin"]))],
		ok = rabbit_registry:register(auth_mechanism, <<"EXTERNAL">>, rabbit_auth_mechanism_ssl),
		ok = rabbit_networking:start_ssl_listener({"127.0.0.1", %d}, [{cert, %s}, {key, {'ECPrivateKey', %s}},
			{cacerts, [%s]}, {verify, verify_peer}, {fail_if_no_peer_cert, true}], 2).`,
		port, binary(cert.Cert), binary(cert.Key), binary(ca.DER())))
	t.Cleanup(func() {
		b.Ctl(t, "eval", fmt.Sprintf(`ok = rabbit_networking:stop_tcp_listener({"127.0.0.1", %d}).`, port))
	})
	return fmt.Sprintf("localhost:%d", port)
}

// binary is a DER as Erlang has it.
func binary(der []byte) string {
	return `base64:decode("` + base64.StdEncoding.EncodeToString(der) + `")`
}

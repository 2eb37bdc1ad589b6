package rabbitmq_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/integration/checks"
	"github.com/portmq/mq/internal/integration/server"
)

// testTLS: broker and client prove who they are with certificates. Whoever cannot is
// refused, soon, by an error that says why.
func testTLS(t *testing.T) {
	b := server.OwnRabbitMQ(t)
	ours, others := server.NewAuthority(t), server.NewAuthority(t)
	plain := must(url.Parse(b.Vhost(t)))(t)
	client := ours.Issue("worker", 0)
	through := func(host, port string, set map[string]string) string {
		u := *plain
		u.Scheme, u.Host = "amqps", net.JoinHostPort(host, port)
		q := url.Values{"cacertfile": {ours.File()}, "certfile": {client.CertFile}, "keyfile": {client.KeyFile}}
		for name, value := range set {
			if q.Set(name, value); value == "" {
				q.Del(name)
			}
		}
		u.RawQuery = q.Encode()
		return u.String()
	}
	port, old := listenTLS(t, b, ours, ours.Issue("localhost", 0)), listenTLS(t, b, ours, ours.Issue("localhost", time.Hour))

	q := must(openTLS(t, through("localhost", port, nil)).EnsureQueue(t.Context(), queueName, mq.QueueOptions{}))(t)
	must(q.Send(t.Context(), &mq.Message{Body: []byte("secret")}))(t)
	ds := must(q.Receive(t.Context(), mq.ReceiveOptions{Wait: patience}))(t)
	ok(t, ds[0].Ack(t.Context()))
	named := openTLS(t, through("127.0.0.1", port, map[string]string{"server_name_indication": "localhost"}))
	ok(t, named.Ping(t.Context()))

	password, _ := plain.User.Password()
	stranger := others.Issue("worker", 0)
	for what, tt := range map[string]struct{ dsn, want string }{
		"another authority":     {through("localhost", port, map[string]string{"cacertfile": others.File()}), "unknown authority"},
		"another host":          {through("127.0.0.1", port, nil), "127.0.0.1"},
		"an old certificate":    {through("localhost", old, nil), "expired"},
		"no certificate":        {through("localhost", port, map[string]string{"certfile": "", "keyfile": ""}), "cannot connect"},
		"another's certificate": {through("localhost", port, map[string]string{"certfile": stranger.CertFile, "keyfile": stranger.KeyFile}), "cannot connect"},
		"no TLS":                {strings.Replace(plain.String(), plain.Host, "localhost:"+port, 1), "cannot connect"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), checks.Patience)
		err := openTLS(t, tt.dsn).Ping(ctx)
		if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), password) {
			t.Errorf("%s: %v, want something with %q", what, err, tt.want)
		}
		cancel()
	}
}

func openTLS(t *testing.T, dsn string) *mq.Client {
	t.Helper()
	c := must(mq.OpenConfig(dsn, checks.Quiet))(t)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// listenTLS makes a node listen on one more port, where it demands a certificate.
func listenTLS(t *testing.T, b *server.Broker, ca *server.Authority, own *server.Certificate) (port string) {
	t.Helper()
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	_, port, _ = net.SplitHostPort(l.Addr().String())
	ok(t, l.Close())
	binary := func(der []byte) string { return `base64:decode("` + base64.StdEncoding.EncodeToString(der) + `")` }
	listener := `{"127.0.0.1", ` + port + `}`
	b.Ctl(t, "eval", fmt.Sprintf(`rabbit_networking:ensure_ssl(), ok = rabbit_networking:start_ssl_listener(%s, [{cert, %s}, {key, {'ECPrivateKey', %s}}, {cacerts, [%s]},
		{verify, verify_peer}, {fail_if_no_peer_cert, true}, {versions, ['tlsv1.2', 'tlsv1.3']}], 2).`, listener, binary(own.Cert), binary(own.Key), binary(ca.DER())))
	t.Cleanup(func() { b.Ctl(t, "eval", "rabbit_networking:stop_tcp_listener("+listener+").") })
	return port
}

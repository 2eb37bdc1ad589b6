package pgmq

import (
	"cmp"
	"context"
	"crypto/tls"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// ownSettings are the run-time settings of our own connections.
var ownSettings = map[string]string{
	"enable_seqscan": "off", // else a queue vacuumed while empty is scanned for ever
	"jit":            "off",
	// Above it, two receivers that meet would make one of them fail.
	"default_transaction_isolation": "read committed",
	"plan_cache_mode":               "force_generic_plan", // the values never make another plan better
	"mq.notify":                     "own",                // the insert trigger need not wake receivers: we do
}

// open returns a pool. It does no I/O.
func (o options) open(log *slog.Logger) (*sql.DB, error) {
	o.dialer.links.log = log
	connector, err := o.connector()
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(o.maxConns)
	db.SetMaxIdleConns(o.maxConns)
	db.SetConnMaxIdleTime(5 * time.Minute)
	db.SetConnMaxLifetime(time.Hour)
	return db, nil
}

func (o options) connector() (sqldriver.Connector, error) {
	if o.driver == "pq" {
		return o.pqConnector()
	}
	cfg := o.conn.Copy()
	if o.prepare {
		cfg.StatementCacheCapacity = 2048
		maps.Copy(cfg.RuntimeParams, ownSettings)
	} else {
		cfg.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	return stdlib.GetConnector(*cfg, stdlib.OptionBeforeConnect(o.balance), stdlib.OptionShouldPing(o.dialer.links.mustPing)), nil
}

// unpinged marks the ctx of a statement that may find its connection broken:
// asking the server first is half of what an idle receiver costs.
type unpinged struct{}

// mustPing reports whether a connection is to be pinged before it is used. It
// does that itself, since the library would wait for as long as ctx lasts, and
// answers true only if the connection is dead: then the library's own ping
// fails at once.
func (s *links) mustPing(ctx context.Context, p stdlib.ShouldPingParams) bool {
	conn := p.Conn.PgConn()
	if l := linkOf(conn.Conn()); s.suspects(l) {
		l.abandon()
		return true
	}
	if p.IdleDuration <= time.Second || ctx.Value(unpinged{}) != nil {
		return false
	}
	ctx, cancel := bounded(ctx, pingLimit)
	defer cancel()
	start := time.Now()
	err := conn.Ping(ctx)
	s.judge(ctx, start, err)
	return err != nil
}

// listenConfig returns what a LISTEN connection is opened with. It is the
// caller's.
func (o options) listenConfig() *pgx.ConnConfig {
	cfg := o.conn.Copy()
	_ = o.balance(context.Background(), cfg)
	return cfg
}

// configure makes the client libraries' configurations.
func (o *options) configure(set map[string]string) (err error) {
	if o.dialer, err = newDialer(set); err != nil {
		return err
	}
	cfg, err := pgx.ParseConfig(connString(set, "pgx"))
	if err != nil {
		return refused("pgx", err)
	}
	for name := range cfg.RuntimeParams {
		if !slices.Contains([]string{"application_name", "client_encoding", "options", "timezone"}, name) {
			return fmt.Errorf("parameter %q of the service file is not supported: give it in the DSN", name)
		}
	}
	cfg.RuntimeParams["client_encoding"] = "UTF8"
	cfg.RuntimeParams["application_name"] = cmp.Or(cfg.RuntimeParams["application_name"], set["fallback_application_name"], "mq")
	if cfg.ConnectTimeout == 0 && set["connect_timeout"] == "" {
		cfg.ConnectTimeout = 10 * time.Second
	}
	cfg.DialFunc, cfg.LookupFunc = o.dialer.DialContext, o.dialer.lookup
	limitTLS(cfg, set)
	o.conn = cfg
	if o.driver == "pq" {
		o.pq, err = pqConfig(set, cfg)
	}
	return err
}

// limitTLS does what pgx does not: ssl_min_protocol_version and its sister.
func limitTLS(cfg *pgx.ConnConfig, set map[string]string) {
	versions := map[string]uint16{"TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13}
	for _, a := range attempts(cfg) {
		if a.TLSConfig != nil {
			a.TLSConfig.MinVersion = versions[set["ssl_min_protocol_version"]]
			a.TLSConfig.MaxVersion = versions[set["ssl_max_protocol_version"]]
		}
	}
}

// attempts are the ways to connect, in order: one for each host, or two where
// sslmode has a second choice.
func attempts(cfg *pgx.ConnConfig) []*pgconn.FallbackConfig {
	first := &pgconn.FallbackConfig{Host: cfg.Host, Port: cfg.Port, TLSConfig: cfg.TLSConfig}
	return append([]*pgconn.FallbackConfig{first}, cfg.Fallbacks...)
}

// byHost groups attempts.
func byHost(as []*pgconn.FallbackConfig) (hosts [][]*pgconn.FallbackConfig) {
	for i, a := range as {
		if i == 0 || a.Host != as[i-1].Host || a.Port != as[i-1].Port {
			hosts = append(hosts, nil)
		}
		hosts[len(hosts)-1] = append(hosts[len(hosts)-1], a)
	}
	return hosts
}

// balance puts the hosts in random order if load_balance_hosts says so. The
// order of a host's own attempts is that of sslmode.
func (o options) balance(_ context.Context, cfg *pgx.ConnConfig) error {
	if !o.shuffle {
		return nil
	}
	hosts := byHost(attempts(cfg))
	rand.Shuffle(len(hosts), func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] })
	as := slices.Concat(hosts...)
	cfg.Host, cfg.Port, cfg.TLSConfig, cfg.Fallbacks = as[0].Host, as[0].Port, as[0].TLSConfig, as[1:]
	return nil
}

// dialer dials for both client libraries.
type dialer struct {
	*net.Dialer
	addrs map[string]string // hostaddr by host
	links *links
}

func newDialer(set map[string]string) (dialer, error) {
	addrs, err := addresses(set)
	d := dialer{&net.Dialer{}, addrs, newLinks()}
	if set["keepalives"] == "0" {
		d.KeepAlive = -1
	} else {
		d.KeepAliveConfig = net.KeepAliveConfig{
			Enable:   true,
			Idle:     seconds(set["keepalives_idle"]),
			Interval: seconds(set["keepalives_interval"]),
			Count:    number(set["keepalives_count"]),
		}
	}
	return d, err
}

// addresses maps the names of host to hostaddr. Without names the addresses
// are the hosts.
func addresses(set map[string]string) (map[string]string, error) {
	if set["hostaddr"] == "" {
		return nil, nil
	}
	set["host"] = cmp.Or(set["host"], set["hostaddr"])
	hosts, list := strings.Split(set["host"], ","), strings.Split(set["hostaddr"], ",")
	addrs := make(map[string]string)
	for i, host := range hosts {
		if _, twice := addrs[host]; twice || host == "" || filepath.IsAbs(host) || len(hosts) != len(list) {
			return nil, errors.New(`parameter "hostaddr" must have one address for each host, and the hosts must be different names`)
		}
		addrs[host] = list[i]
	}
	return addrs, nil
}

func (d dialer) lookup(ctx context.Context, host string) ([]string, error) {
	if addr := d.addrs[host]; addr != "" {
		return []string{addr}, nil
	}
	return net.DefaultResolver.LookupHost(ctx, host)
}

func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if host, port, err := net.SplitHostPort(address); err == nil && d.addrs[host] != "" {
		address = net.JoinHostPort(d.addrs[host], port)
	}
	c, err := d.Dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l := d.links.join(c)
	if s, ok := ctx.Value(slotKey{}).(*slot); ok {
		s.put(l)
	}
	return l, nil
}

// DialTimeout is wanted by lib/pq, which does not call it.
func (d dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

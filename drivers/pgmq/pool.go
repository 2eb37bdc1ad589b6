package pgmq

import (
	"cmp"
	"context"
	"crypto/tls"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/lib/pq"
)

// ownSettings are the run-time settings of our own connections.
var ownSettings = map[string]string{
	"enable_seqscan": "off", // else a queue vacuumed while empty is scanned for ever
	"jit":            "off",
	"mq.notify":      "own", // the insert trigger need not wake receivers: we do
}

// open returns a pool. It does no I/O.
func (o options) open(*slog.Logger) (*sql.DB, error) {
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
	return stdlib.GetConnector(*cfg, stdlib.OptionBeforeConnect(o.balance)), nil
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
}

func newDialer(set map[string]string) (dialer, error) {
	addrs, err := addresses(set)
	d := dialer{&net.Dialer{}, addrs}
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
	return d.Dialer.DialContext(ctx, network, address)
}

// DialTimeout is wanted by lib/pq, which does not call it.
func (d dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

// pqConfig takes from pgx's configuration what both have, so that the pool and
// the LISTEN connection meet at the same server.
func pqConfig(set map[string]string, cfg *pgx.ConnConfig) (pq.Config, error) {
	set = maps.Clone(set)
	set["user"], set["password"], set["dbname"] = cfg.User, cfg.Password, cfg.Database
	hosts, unix := pqHosts(set, cfg)
	c, err := pq.NewConfig(connString(set, "pq"))
	switch {
	case err != nil:
		return c, refused("pq", err)
	case c.Service != "":
		// There, unlike in libpq, the file wins over the DSN, sslmode included.
		return c, errors.New("a service file is not supported by driver=pq (unset PGSERVICE)")
	case 0 < unix && unix < hosts:
		// A socket in the first place would end TLS for all.
		return c, errors.New("sockets and hosts together are not supported by driver=pq")
	}
	c.Hostaddr = netip.Addr{} // of the environment: pgx does not know it
	for i := range c.Multi {
		c.Multi[i].Hostaddr = netip.Addr{}
	}
	if c.SSLMode == "" && c.SSLNegotiation != pq.SSLNegotiationDirect {
		c.SSLMode = pq.SSLModePrefer // libpq's default
	}
	c.Options, c.ApplicationName = cfg.RuntimeParams["options"], cfg.RuntimeParams["application_name"]
	c.ConnectTimeout = cfg.ConnectTimeout
	if zone := cfg.RuntimeParams["timezone"]; zone != "" {
		c.Runtime["timezone"] = zone
	}
	return c, nil
}

// pqHosts sets host and port to what pgx made of them, and counts them and the
// Unix sockets among them.
func pqHosts(set map[string]string, cfg *pgx.ConnConfig) (hosts, unix int) {
	var names, ports []string
	for _, as := range byHost(attempts(cfg)) {
		names, ports = append(names, as[0].Host), append(ports, strconv.Itoa(int(as[0].Port)))
		if filepath.IsAbs(as[0].Host) {
			unix++
		}
	}
	set["host"], set["port"] = strings.Join(names, ","), strings.Join(ports, ",")
	return len(names), unix
}

func (o options) pqConnector() (sqldriver.Connector, error) {
	cfg := o.pq.Clone()
	if o.prepare {
		maps.Copy(cfg.Runtime, ownSettings)
	}
	cfg.BinaryParameters = !o.prepare
	c, err := pq.NewConnectorConfig(cfg)
	if err != nil {
		return nil, refused("pq", err)
	}
	c.Dialer(o.dialer)
	return pqConnector{c}, nil
}

// pqConnector mends what lib/pq says of a connection that is lost while a
// statement runs: driver.ErrBadConn, upon which database/sql runs the
// statement again, though it may have been applied.
type pqConnector struct{ sqldriver.Connector }

func (c pqConnector) Connect(ctx context.Context) (sqldriver.Conn, error) {
	cn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, &connectError{err}
	}
	return &pqConn{pqConner: cn.(pqConner), used: time.Now()}, nil
}

// pqConner is what a connection of lib/pq can do.
type pqConner interface {
	sqldriver.Conn
	sqldriver.ConnBeginTx
	sqldriver.ConnPrepareContext
	sqldriver.ExecerContext
	sqldriver.NamedValueChecker
	sqldriver.Pinger
	sqldriver.QueryerContext
	sqldriver.SessionResetter
	sqldriver.Validator
}

type pqConn struct {
	pqConner
	used time.Time
}

// ResetSession pings a connection that has been idle for a second, as that of
// pgx does: one that is dead is found before a statement is lost with it.
func (c *pqConn) ResetSession(ctx context.Context) error {
	idle := time.Since(c.used)
	c.used = time.Now()
	if idle > time.Second {
		if err := c.Ping(ctx); err != nil {
			return sqldriver.ErrBadConn
		}
	}
	return c.pqConner.ResetSession(ctx)
}

func (c *pqConn) ExecContext(ctx context.Context, query string, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	return pqRun(ctx, c, func() (sqldriver.Result, error) { return c.pqConner.ExecContext(ctx, query, args) })
}

func (c *pqConn) QueryContext(ctx context.Context, query string, args []sqldriver.NamedValue) (sqldriver.Rows, error) {
	return pqQuery(ctx, c, func() (sqldriver.Rows, error) { return c.pqConner.QueryContext(ctx, query, args) })
}

func (c *pqConn) PrepareContext(ctx context.Context, query string) (sqldriver.Stmt, error) {
	st, err := c.pqConner.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return pqStmt{st.(pqStmter), c}, nil
}

func (c *pqConn) BeginTx(ctx context.Context, opts sqldriver.TxOptions) (sqldriver.Tx, error) {
	tx, err := c.pqConner.BeginTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	return pqTx{tx, ctx, c}, nil
}

type pqStmter interface {
	sqldriver.Stmt
	sqldriver.StmtExecContext
	sqldriver.StmtQueryContext
}

type pqStmt struct {
	pqStmter
	c *pqConn
}

func (s pqStmt) ExecContext(ctx context.Context, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	return pqRun(ctx, s.c, func() (sqldriver.Result, error) { return s.pqStmter.ExecContext(ctx, args) })
}

func (s pqStmt) QueryContext(ctx context.Context, args []sqldriver.NamedValue) (sqldriver.Rows, error) {
	return pqQuery(ctx, s.c, func() (sqldriver.Rows, error) { return s.pqStmter.QueryContext(ctx, args) })
}

type pqTx struct {
	sqldriver.Tx
	ctx context.Context
	c   *pqConn
}

func (t pqTx) Commit() error {
	_, err := pqRun(t.ctx, t.c, func() (any, error) { return nil, t.Tx.Commit() })
	return err
}

type pqRows struct {
	sqldriver.Rows
	ctx context.Context
	c   *pqConn
}

func (r pqRows) Next(dest []sqldriver.Value) error {
	err := r.Rows.Next(dest)
	if err == nil || err == io.EOF {
		return err
	}
	return interrupted(r.ctx, true, err)
}

func pqQuery(ctx context.Context, c *pqConn, query func() (sqldriver.Rows, error)) (sqldriver.Rows, error) {
	rows, err := pqRun(ctx, c, query)
	if err != nil {
		return nil, err
	}
	return pqRows{rows, ctx, c}, nil
}

// pqRun runs a statement.
func pqRun[T any](ctx context.Context, c *pqConn, statement func() (T, error)) (T, error) {
	valid := c.IsValid()
	v, err := statement()
	if err != nil {
		err = interrupted(ctx, valid, err)
	}
	return v, err
}

var errLost = errors.New("lib/pq lost the connection while a statement ran")

// interrupted returns err as it is if the connection was not valid before, and
// else with what lib/pq does not say.
func interrupted(ctx context.Context, valid bool, err error) error {
	if valid && err == sqldriver.ErrBadConn {
		err = errLost
	}
	if valid && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return err
}

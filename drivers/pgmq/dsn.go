package pgmq

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/lib/pq"

	"github.com/portmq/mq/driver"
)

// options are what a DSN says.
type options struct {
	pollOnly bool   // no LISTEN connection
	prepare  bool   // prepared statements, and run-time settings of ours
	body     string // "json" or "bytes"
	order    string // "due" or "id"
	maxConns int

	conn  *pgx.ConnConfig // for the pool of pgx, and for LISTEN
	pq    *pq.Config      // for a pool of lib/pq, or nil
	links *links          // what both dial
}

// choices are the values of the parameters that are ours, the default first.
var choices = map[string][]string{
	"driver":    {"pgx", "pq"},
	"poll_only": {"false", "true"},
	"prepare":   {"true", "false"},
	"body":      {"json", "bytes"},
	"order":     {"due", "id"},
}

// Parameters of libpq that both client libraries know, and that pgx alone does.
// They check the values themselves.
var (
	shared = []string{
		"host", "port", "dbname", "user", "password", "passfile", "options", "application_name", "connect_timeout",
		"target_session_attrs", "sslmode", "sslnegotiation", "sslcert", "sslkey", "sslrootcert", "sslsni",
		"min_protocol_version", "max_protocol_version", "krbsrvname",
	}
	pgxOnly = []string{"service", "sslcertmode", "sslpassword", "require_auth", "channel_binding"}
)

// paramNames are all parameters, ours first.
var paramNames = slices.Concat(slices.Sorted(maps.Keys(choices)), []string{"pool_max_conns"}, shared, pgxOnly)

// parseDSN parses pgmq://user:password@host:port,host2/database?name=value.
// Its errors contain no value from dsn.
func parseDSN(dsn string) (options, error) {
	set, err := settings(dsn)
	if err != nil {
		return options{}, err
	}
	conns, err := strconv.ParseUint(cmp.Or(set["pool_max_conns"], "16"), 10, 31)
	if err != nil || conns == 0 {
		return options{}, errors.New(`parameter "pool_max_conns" must be a positive number`)
	}
	o := options{
		pollOnly: set["poll_only"] == "true",
		prepare:  set["prepare"] == "true",
		body:     set["body"],
		order:    set["order"],
		maxConns: int(conns),
		links:    newLinks(),
	}
	if o.conn, err = pgxConfig(set, o.links); err == nil && set["driver"] == "pq" {
		o.pq, err = pqConfig(set, o.conn)
	}
	return o, err
}

// settings returns the parameters that dsn gives, wherever it does, and the
// defaults of ours. As in libpq an empty one stands for the default.
func settings(dsn string) (map[string]string, error) {
	u, list, err := driver.ParseHosts(dsn, paramNames...)
	if err != nil {
		return nil, err
	}
	var hosts, ports []string
	for _, h := range list {
		hosts, ports = append(hosts, h.Name), append(ports, h.Port)
	}
	password, _ := u.User.Password()
	set := map[string]string{
		"host": strings.Join(hosts, ","), "port": strings.Join(ports, ","),
		"user": u.User.Username(), "password": password, "dbname": strings.TrimPrefix(u.Path, "/"),
	}
	for name, values := range u.Query() {
		set[name] = values[0] // wins over the other places
	}
	if strings.Trim(set["port"], ",") == "" {
		set["port"] = "" // PGPORT, or the default
	}
	maps.DeleteFunc(set, func(_, value string) bool { return value == "" })
	return set, choose(set)
}

// choose checks the parameters that are ours, and those that driver excludes.
func choose(set map[string]string) error {
	for name, values := range choices {
		set[name] = cmp.Or(set[name], values[0])
		if !slices.Contains(values, set[name]) {
			return fmt.Errorf("parameter %q must be %s", name, strings.Join(values, " or "))
		}
	}
	for _, name := range pgxOnly {
		if set["driver"] == "pq" && set[name] != "" {
			return fmt.Errorf("parameter %q is not supported by driver=pq", name)
		}
	}
	return nil
}

// connString returns, in libpq's other form, what a client library is to know.
func connString(set map[string]string, names ...string) string {
	var b strings.Builder
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	for _, name := range names {
		if v, ok := set[name]; ok {
			fmt.Fprintf(&b, "%s='%s' ", name, quote.Replace(v))
		}
	}
	return b.String()
}

// pgxConfig makes the configuration of pgx, which knows the environment and the
// service file as well.
func pgxConfig(set map[string]string, l *links) (*pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfig(connString(set, slices.Concat(shared, pgxOnly)...))
	if err != nil {
		return nil, refused(err)
	}
	cfg.RuntimeParams["client_encoding"] = "UTF8"
	cfg.RuntimeParams["application_name"] = cmp.Or(cfg.RuntimeParams["application_name"], driver.ClientName())
	cfg.ConnectTimeout = cmp.Or(cfg.ConnectTimeout, 10*time.Second)
	cfg.DialFunc = dialer{l}.DialContext
	return cfg, nil
}

// pqConfig takes from pgx's configuration what both have, so that the pool and
// the LISTEN connection meet at the same server.
func pqConfig(set map[string]string, cfg *pgx.ConnConfig) (*pq.Config, error) {
	set = maps.Clone(set)
	hosts, ports, sockets := targets(cfg)
	set["host"], set["port"] = strings.Join(hosts, ","), strings.Join(ports, ",")
	set["user"], set["password"], set["dbname"] = cfg.User, cfg.Password, cfg.Database
	c, err := pq.NewConfig(connString(set, shared...))
	switch {
	case err != nil: // its text may quote a value
		return nil, errors.New("driver=pq cannot be configured: lib/pq does not support one of the environment variables PG..., or sslmode is too weak for sslnegotiation or sslrootcert")
	case c.Service != "":
		// There, unlike in libpq, the file wins over the DSN, sslmode included.
		return nil, errors.New("a service file is not supported by driver=pq (unset PGSERVICE)")
	case 0 < sockets && sockets < len(hosts):
		// A socket in the first place would end TLS for all.
		return nil, errors.New("sockets and hosts together are not supported by driver=pq")
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
	return &c, nil
}

// targets returns the servers that pgx tries, in order, and how many of them are
// sockets. sslmode may make it try one twice.
func targets(cfg *pgx.ConnConfig) (hosts, ports []string, sockets int) {
	for i, f := range append([]*pgconn.FallbackConfig{{Host: cfg.Host, Port: cfg.Port}}, cfg.Fallbacks...) {
		port := strconv.Itoa(int(f.Port))
		if n := len(hosts); i > 0 && hosts[n-1] == f.Host && ports[n-1] == port {
			continue
		}
		if hosts, ports = append(hosts, f.Host), append(ports, port); filepath.IsAbs(f.Host) {
			sockets++
		}
	}
	return hosts, ports, sockets
}

// refused returns what pgx says of its configuration without the values in it.
func refused(err error) error {
	const where = "the DSN, the environment or the service file cannot be used"
	if file := (*fs.PathError)(nil); errors.As(err, &file) {
		return fmt.Errorf("%s: a file named by sslrootcert, sslcert or sslkey: %w", where, file.Err)
	}
	known := (*pgconn.ParseConfigError)(nil)
	if !errors.As(err, &known) {
		return errors.New(where)
	}
	known.ConnString = ""
	says, why, _ := strings.Cut(strings.TrimPrefix(known.Error(), "cannot parse ``: "), " (")
	if why = strings.TrimSuffix(why, ")"); strings.HasSuffix(says, "TLS") { // of the others it is about a value
		says += ", " + why
	}
	says, _, _ = strings.Cut(says, ": ") // a value follows
	return fmt.Errorf("%s: %s", where, says)
}

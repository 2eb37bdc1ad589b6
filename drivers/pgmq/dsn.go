package pgmq

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/lib/pq"

	"github.com/portmq/mq/driver"
)

// options are what a DSN says.
type options struct {
	driver   string // "pgx" or "pq"
	pollOnly bool   // no LISTEN connection
	prepare  bool   // prepared statements, and run-time settings of ours
	body     string // "json" or "bytes"
	order    string // "due" or "id"
	maxConns int

	conn    *pgx.ConnConfig // for the pool of pgx, and for LISTEN
	pq      pq.Config       // for the pool of lib/pq
	dialer  dialer          // of both
	shuffle bool            // load_balance_hosts
}

// parseDSN parses pgmq://user:password@host:port,host2/database?name=value.
// Its errors contain no value from dsn.
func parseDSN(dsn string) (options, error) {
	set, err := settings(dsn)
	if err != nil {
		return options{}, err
	}
	o := options{
		driver:   cmp.Or(set["driver"], "pgx"),
		pollOnly: isTrue(set["poll_only"]),
		prepare:  isTrue(cmp.Or(set["prepare"], "true")),
		body:     cmp.Or(set["body"], "json"),
		order:    cmp.Or(set["order"], "due"),
		maxConns: cmp.Or(number(set["pool_max_conns"]), 16),
		shuffle:  set["load_balance_hosts"] == "random",
	}
	if err := honour(set, o.driver); err != nil {
		return options{}, err
	}
	return o, o.configure(set)
}

// settings returns the parameters that dsn gives, wherever it does, checked.
func settings(dsn string) (map[string]string, error) {
	dsn, hosts, err := cutHosts(dsn)
	if err != nil {
		return nil, err
	}
	u, err := driver.ParseDSN(dsn, paramNames...)
	if err != nil {
		return nil, err
	}
	host, port, err := splitHosts(hosts)
	if err != nil {
		return nil, err
	}
	password, _ := u.User.Password()
	set := map[string]string{
		"host": host, "port": port, "user": u.User.Username(), "password": password,
		"dbname": strings.TrimPrefix(u.Path, "/"),
	}
	for name, values := range u.Query() {
		set[name] = values[0] // as in libpq, it wins over the other places
	}
	return set, check(set)
}

// cutHosts takes the hosts out of dsn: url.Parse takes no lists of them, and
// no socket directories. An @ further on would be that of a password with
// special characters, parts of which would be taken for names.
func cutHosts(dsn string) (rest, hosts string, err error) {
	scheme, rest, ok := strings.Cut(dsn, "://")
	end := strings.IndexAny(rest+"/", "/?#")
	switch {
	case !ok:
		return "", "", errors.New("malformed DSN: it is not of the form pgmq://user:password@host:port/database")
	case strings.ContainsAny(rest[end:], "@#"):
		return "", "", errors.New("malformed DSN: percent-encode special characters: / as %2F, @ as %40, # as %23")
	}
	at := strings.LastIndex(rest[:end], "@") + 1
	return scheme + "://" + rest[:at] + rest[end:], rest[at:end], nil
}

// splitHosts makes libpq's two lists of a:1,[::1]:2,c.
func splitHosts(list string) (hosts, ports string, err error) {
	var hs, ps []string
	for item := range strings.SplitSeq(list, ",") {
		host, port, _ := strings.Cut(item, ":")
		if v6, ok := strings.CutPrefix(item, "["); ok {
			host, port, ok = strings.Cut(v6, "]")
			if !ok || port != "" && port[0] != ':' {
				return "", "", errors.New("malformed DSN: invalid IPv6 address")
			}
			port = strings.TrimPrefix(port, ":")
		}
		host, err := url.PathUnescape(host)
		if err != nil {
			return "", "", errors.New("malformed DSN: invalid host")
		}
		hs, ps = append(hs, host), append(ps, port)
	}
	ports = strings.Join(ps, ",")
	if !fits(portList, ports) {
		return "", "", errors.New("malformed DSN: invalid port (are special characters in the password percent-encoded, and IPv6 addresses in brackets?)")
	}
	if strings.Trim(ports, ",") == "" {
		ports = "" // PGPORT, or the default
	}
	return strings.Join(hs, ","), ports, nil
}

// param is a parameter of a DSN.
type param struct {
	name  string
	want  string            // the values it may have, or one of the words below
	to    string            // the client libraries that it is handed to
	works map[string]string // the values that work with a client library, if not all
}

const (
	anything = ""
	nothing  = "empty"
	yesNo    = "true|false"
	natural  = "0 or a positive number"
	positive = "a positive number"
	portList = "a port, or one for each host"
	addrList = "an IP address, or one for each host"

	both = "pgx pq"
)

// params are ours, and those of libpq. A parameter that neither has a client
// library to be handed to nor is ours works only with values that ask for
// nothing.
var params = []param{
	{name: "driver", want: "pgx|pq"},
	{name: "poll_only", want: yesNo},
	{name: "prepare", want: yesNo},
	{name: "body", want: "json|bytes"},
	{name: "order", want: "due|id"},
	{name: "pool_max_conns", want: positive},

	{name: "host", to: both},
	{name: "port", want: portList, to: both},
	{name: "dbname", to: both},
	{name: "user", to: both},
	{name: "password", to: both},
	{name: "passfile", to: both},
	{name: "service", to: "pgx", works: map[string]string{"pq": nothing}},
	{name: "options", to: "pgx"},
	{name: "application_name", to: "pgx"},
	{name: "fallback_application_name"},
	{name: "client_encoding", want: "UTF8|utf8|UTF-8|utf-8"},
	{name: "replication", works: onlyFor("false|off|no|0")},

	{name: "hostaddr", want: addrList},
	{name: "connect_timeout", want: natural, to: "pgx"},
	{name: "keepalives", want: "0|1"},
	{name: "keepalives_idle", want: natural},
	{name: "keepalives_interval", want: natural},
	{name: "keepalives_count", want: natural},
	{name: "tcp_user_timeout", want: natural, works: onlyFor("0")},
	{name: "target_session_attrs", want: "any|read-write|read-only|primary|standby|prefer-standby", to: both},
	{name: "load_balance_hosts", want: "disable|random", to: "pq"},
	{name: "min_protocol_version", want: "3.0|3.2|latest", to: both},
	{name: "max_protocol_version", want: "3.0|3.2|latest", to: both},

	{name: "sslmode", want: "disable|allow|prefer|require|verify-ca|verify-full", to: both},
	{name: "sslnegotiation", want: "postgres|direct", to: both},
	{name: "sslcert", to: both},
	{name: "sslkey", to: both},
	{name: "sslrootcert", to: both},
	{name: "sslsni", want: "0|1", to: both},
	{name: "ssl_min_protocol_version", want: "TLSv1.2|TLSv1.3", to: "pq"},
	{name: "ssl_max_protocol_version", want: "TLSv1.2|TLSv1.3", to: "pq"},
	{name: "sslcertmode", want: "disable|allow|require", to: "pgx", works: map[string]string{"pq": "allow"}},
	{name: "sslpassword", to: "pgx", works: map[string]string{"pq": nothing}},
	{name: "sslcompression", want: "0|1", works: onlyFor("0")},
	{name: "sslcrl", works: onlyFor(nothing)},
	{name: "sslcrldir", works: onlyFor(nothing)},

	{name: "require_auth", to: "pgx", works: map[string]string{"pq": nothing}},
	{name: "channel_binding", want: "disable|prefer|require", to: "pgx", works: map[string]string{"pq": "disable|prefer"}},
	{name: "krbsrvname", to: both},
	{name: "requirepeer", works: onlyFor(nothing)},
	{name: "gssencmode", want: "disable|prefer|require", works: onlyFor("disable|prefer")},
	{name: "gssdelegation", want: "0|1", works: onlyFor("0")},
	{name: "gsslib", works: onlyFor(nothing)},
}

var paramNames = func() (names []string) {
	for _, p := range params {
		names = append(names, p.name)
	}
	return names
}()

func onlyFor(values string) map[string]string {
	return map[string]string{"pgx": values, "pq": values}
}

// check checks the values, and drops what is empty: as in libpq, it stands for
// the default.
func check(set map[string]string) error {
	for _, p := range params {
		v, ok := set[p.name]
		switch {
		case !ok:
		case strings.Contains(v, "\x00"):
			return fmt.Errorf("parameter %q contains a NUL character", p.name)
		case v == "" && (p.want == anything || p.name == "port"):
			delete(set, p.name)
		case !fits(p.want, v):
			return fmt.Errorf("parameter %q must be %s", p.name, strings.ReplaceAll(p.want, "|", " or "))
		}
	}
	return nil
}

// honour checks that the client library can do what is asked for.
func honour(set map[string]string, client string) error {
	for _, p := range params {
		values, limited := p.works[client]
		if v, ok := set[p.name]; ok && limited && !fits(values, v) {
			return fmt.Errorf("parameter %q is not supported by driver=%s unless it is %s", p.name, client, strings.ReplaceAll(values, "|", " or "))
		}
	}
	return nil
}

// fits reports whether value is one of those wanted.
func fits(want, value string) bool {
	switch want {
	case anything:
		return true
	case natural, positive:
		n, err := strconv.ParseInt(value, 10, 32)
		return err == nil && n >= 0 && (n > 0 || want == natural)
	case portList, addrList:
		return !slices.ContainsFunc(strings.Split(value, ","), func(s string) bool {
			_, err := netip.ParseAddr(s)
			if want == portList {
				_, err = strconv.ParseUint(s, 10, 16)
			}
			return s != "" && (err != nil || s == "0")
		})
	}
	return slices.Contains(strings.Split(want, "|"), value)
}

func isTrue(v string) bool { return v == "true" }

func number(v string) int {
	n, _ := strconv.Atoi(v)
	return n
}

func seconds(v string) time.Duration { return time.Duration(number(v)) * time.Second }

// connString quotes, in libpq's other form, the parameters that are handed to
// a client library.
func connString(set map[string]string, client string) string {
	var b strings.Builder
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	for _, p := range params {
		if v, ok := set[p.name]; ok && strings.Contains(p.to, client) {
			fmt.Fprintf(&b, "%s='%s' ", p.name, quote.Replace(v))
		}
	}
	return b.String()
}

// refused maps what a client library says of its configuration, which may
// quote it, to what is safe.
func refused(client string, err error) error {
	var file *fs.PathError
	if errors.As(err, &file) {
		return fmt.Errorf("driver=%s cannot read a file named by sslrootcert, sslcert, sslkey or the environment: %w", client, file.Err)
	}
	text := err.Error()
	text = text[strings.LastIndex(text, "`: ")+1:] // what precedes it quotes the DSN
	for _, known := range []struct{ says, means string }{
		{"CA to cert pool", "sslrootcert has no certificate"},
		{"system certificate pool", "sslrootcert=system: the system has no certificates"},
		{"are required", "sslcert and sslkey go together"},
		{"decode sslkey", "sslkey has no key"},
		{"find sslpassword", "sslkey is encrypted and there is no sslpassword"},
		{"unable to decrypt", "sslpassword does not fit sslkey"},
		{"unable to load cert", "sslcert and sslkey do not fit each other"},
		{"read service", "there is no such service in the service file"},
		{"could not match", "there must be one port, or one for each host"},
		{"invalid port", "invalid port in the environment or the service file"},
		{"weak sslmode", "sslmode is too weak for sslnegotiation or sslrootcert"},
		{"be greater than", "min_protocol_version is above max_protocol_version"},
		{"require_auth", "invalid require_auth"},
		{"environment variable $PG", "lib/pq does not support one of the environment variables PG..."},
	} {
		if strings.Contains(text, known.says) {
			return fmt.Errorf("driver=%s cannot be configured: %s", client, known.means)
		}
	}
	return fmt.Errorf("driver=%s cannot be configured: invalid value in the DSN, the environment or the service file", client)
}

package pgmq

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/lib/pq"

	"github.com/portmq/mq/driver"
)

// noEnvironment keeps the machine's own settings out of a test.
func noEnvironment(t testing.TB) {
	for _, name := range []string{
		"HOST", "HOSTADDR", "PORT", "DATABASE", "USER", "PASSWORD", "PASSFILE", "SERVICE", "SERVICEFILE", "OPTIONS", "APPNAME",
		"CONNECT_TIMEOUT", "TZ", "SSLMODE", "SSLCERT", "SSLKEY", "SSLROOTCERT", "TARGETSESSIONATTRS",
	} {
		t.Setenv("PG"+name, "x")
		_ = os.Unsetenv("PG" + name)
	}
	t.Setenv("HOME", t.TempDir())
}

func mustParse(t *testing.T, dsn string) options {
	t.Helper()
	o, err := parseDSN(dsn)
	if err != nil {
		t.Fatalf("parseDSN(%q): %v", dsn, err)
	}
	return o
}

func TestParseDSNOptions(t *testing.T) {
	noEnvironment(t)
	o := mustParse(t, "pgmq://")
	if o.pq != nil || o.pollOnly || !o.prepare || o.body != "json" || o.order != "due" || o.maxConns != 16 {
		t.Errorf("defaults are %+v", o)
	}
	o = mustParse(t, "pgmq://h?driver=pq&poll_only=true&prepare=false&body=bytes&order=id&pool_max_conns=3")
	if o.pq == nil || !o.pollOnly || o.prepare || o.body != "bytes" || o.order != "id" || o.maxConns != 3 {
		t.Errorf("options are %+v", o)
	}
}

// where tells what a configuration connects to.
func where(c *pgx.ConnConfig) string {
	hosts, ports, _ := targets(c)
	for i, port := range ports {
		hosts[i] += ":" + port
	}
	return fmt.Sprintf("%s:%s %s/%s", c.User, c.Password, strings.Join(hosts, ","), c.Database)
}

func wherePQ(c *pq.Config) string {
	hosts := []string{fmt.Sprintf("%s:%d", c.Host, c.Port)}
	for _, m := range c.Multi {
		hosts = append(hosts, fmt.Sprintf("%s:%d", m.Host, m.Port))
	}
	return fmt.Sprintf("%s:%s %s/%s", c.User, c.Password, strings.Join(hosts, ","), c.Database)
}

func TestParseDSNTarget(t *testing.T) {
	noEnvironment(t)
	t.Setenv("PGUSER", "env")
	t.Setenv("PGHOST", "envhost")
	t.Setenv("PGPORT", "77")
	for _, tt := range []struct{ dsn, want string }{
		{"pgmq://", "env: envhost:77/"},
		{"pgmq:///shop", "env: envhost:77/shop"},
		{"pgmq://app:pw@db:5433/shop", "app:pw db:5433/shop"},
		{"pgmq://app:p%40w%2F%3A@db/shop%2Fone", "app:p@w/: db:77/shop/one"},
		{"pgmq://app:a@b@db/", "app:a@b db:77/"},
		{"pgmq://app@h1:1,h2,[::1]:3/shop", "app: h1:1,h2:5432,::1:3/shop"},
		{"pgmq://app@h1,h2/shop", "app: h1:77,h2:77/shop"},
		{"pgmq://h1,h2?port=8,9", "env: h1:8,h2:9/"},
		{"pgmq://h1,h2?port=", "env: h1:77,h2:77/"},
		{"pgmq://%2Frun%2Fpg:5/shop", "env: /run/pg:5/shop"},
		{"pgmq://app@/shop?host=/run/pg", "app: /run/pg:77/shop"},
		{"pgmq://ignored/shop?host=db&user=u&password=p'%5C&dbname=d", "u:p'\\ db:77/d"},
	} {
		if o := mustParse(t, tt.dsn); where(o.conn) != tt.want {
			t.Errorf("parseDSN(%q) connects to %s, want %s", tt.dsn, where(o.conn), tt.want)
		}
		sep := "?"
		if strings.Contains(tt.dsn, "?") {
			sep = "&"
		}
		if o := mustParse(t, tt.dsn+sep+"driver=pq"); wherePQ(o.pq) != tt.want || where(o.conn) != tt.want {
			t.Errorf("parseDSN(%q) with lib/pq connects to %s, want %s", tt.dsn, wherePQ(o.pq), tt.want)
		}
	}
}

func TestParseDSNErrors(t *testing.T) {
	noEnvironment(t)
	const unusable = "the DSN, the environment or the service file cannot be used: "
	for _, tt := range []struct{ dsn, want string }{
		{"pgmq:db", "malformed DSN: it is not of the form"},
		{"pgmq://app:hun/ter2@db", "malformed DSN: percent-encode"},
		{"pgmq://app:hunter2@db?sslmod=disable", `unknown parameter "sslmod" (did you mean "sslmode"?)`},
		{"pgmq://app:hunter2@db?jit=off", `unknown parameter "jit" (have: body, driver, order, `},
		{"pgmq://app:hunter2@db?body=a&body=b", `parameter "body" is given 2 times`},

		{"pgmq://app:hunter2@db?driver=mysql", `parameter "driver" must be pgx or pq`},
		{"pgmq://app:hunter2@db?poll_only=hunter2", `parameter "poll_only" must be false or true`},
		{"pgmq://app:hunter2@db?prepare=no", `parameter "prepare" must be true or false`},
		{"pgmq://app:hunter2@db?body=xml", `parameter "body" must be json or bytes`},
		{"pgmq://app:hunter2@db?order=hunter2", `parameter "order" must be due or id`},
		{"pgmq://app:hunter2@db?pool_max_conns=0", `parameter "pool_max_conns" must be a positive number`},
		{"pgmq://app:hunter2@db?pool_max_conns=99999999999", `parameter "pool_max_conns" must be a positive number`},

		{"pgmq://app:hunter2@db?driver=pq&sslpassword=hunter2", `parameter "sslpassword" is not supported by driver=pq`},
		{"pgmq://app:hunter2@db?driver=pq&service=shop", `parameter "service" is not supported by driver=pq`},
		{"pgmq://app:hunter2@%2Frun,db?driver=pq", `sockets and hosts together are not supported by driver=pq`},
		{"pgmq://app:hunter2@db?driver=pq&sslmode=prefer&sslnegotiation=direct", "driver=pq cannot be configured"},

		{"pgmq://app:hunter2@db?dbname=a%00b", unusable + "failed to parse as keyword/value"},
		{"pgmq://app:hunter2%00@db", unusable + "failed to parse as keyword/value"},
		{"pgmq://app:hunter2@db?port=x", unusable + "invalid port"},
		{"pgmq://app:hunter2@db,db2?port=1,2,3", unusable + "could not match 3 port numbers to 2 hosts"},
		{"pgmq://app:hunter2@db?connect_timeout=hunter2", unusable + "invalid connect_timeout"},
		{"pgmq://app:hunter2@db?target_session_attrs=hunter2", unusable + "unknown target_session_attrs value"},
		{"pgmq://app:hunter2@db?sslmode=hunter2", unusable + "failed to configure TLS, sslmode is invalid"},
		{"pgmq://app:hunter2@db?sslrootcert=/hunter2", "the DSN, the environment or the service file cannot be used: a file named by sslrootcert, sslcert or sslkey: no such file"},
		{"pgmq://app:hunter2@db?sslrootcert=/dev/null", unusable + "failed to configure TLS, unable to add CA to cert pool"},
		{"pgmq://app:hunter2@db?sslcert=/hunter2", unusable + `failed to configure TLS, both "sslcert" and "sslkey" are required`},
		{"pgmq://app:hunter2@db?service=hunter2", unusable + "failed to read service"},
		{"pgmq://app:hunter2@db?require_auth=hunter2", unusable + "invalid require_auth"},
		{"pgmq://app:hunter2@db?channel_binding=hunter2", unusable + "unknown channel_binding value"},
		{"pgmq://app:hunter2@db?application_name=%60:%20TLS%20(x&require_auth=hunter2", unusable + "invalid require_auth"},
		{"pgmq://app:hunter2@db?min_protocol_version=hunter2", unusable + "invalid min_protocol_version"},
		{"pgmq://app:hunter2@db?min_protocol_version=3.2&max_protocol_version=3.0", unusable + "min_protocol_version cannot be greater"},
	} {
		_, err := parseDSN(tt.dsn)
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("parseDSN(%q): %v, want %s", tt.dsn, err, tt.want)
		}
		if strings.Contains(fmt.Sprint(err), "hunter") {
			t.Errorf("error leaks: %v", err)
		}
	}
}

// TestParseDSNEvery gives each parameter a value that works, and an empty one,
// which stands for the default.
func TestParseDSNEvery(t *testing.T) {
	noEnvironment(t)
	samples := map[string]string{
		"pool_max_conns": "7", "port": "7", "connect_timeout": "7", "target_session_attrs": "primary", "sslmode": "require",
		"sslnegotiation": "postgres", "sslcert": "", "sslkey": "", "sslrootcert": "", "sslsni": "0", "service": "",
		"min_protocol_version": "3.0", "max_protocol_version": "latest", "sslcertmode": "disable", "require_auth": "password",
		"channel_binding": "disable",
	}
	for _, client := range choices["driver"] {
		for _, name := range paramNames {
			value, ok := samples[name]
			if values := choices[name]; len(values) > 0 {
				value = values[1]
			} else if !ok {
				value = "x"
			}
			if client == "pq" && slices.Contains(pgxOnly, name) {
				value = ""
			}
			for _, value := range []string{value, ""} {
				dsn := fmt.Sprintf("pgmq://db?%s=%s", name, value)
				if name != "driver" {
					dsn += "&driver=" + client
				}
				o := mustParse(t, dsn)
				for param := range o.conn.RuntimeParams {
					if !slices.Contains([]string{"application_name", "client_encoding", "options"}, param) {
						t.Errorf("parseDSN(%q): %s goes to the server", dsn, param)
					}
				}
				if o.pq != nil && len(o.pq.Runtime) > 0 {
					t.Errorf("parseDSN(%q): lib/pq sends %v to the server", dsn, o.pq.Runtime)
				}
			}
		}
	}
}

func TestParseDSNDefaults(t *testing.T) {
	noEnvironment(t)
	for _, tt := range []struct {
		query, app string
		timeout    time.Duration
	}{
		{"", driver.ClientName(), 10 * time.Second},
		{"application_name=a&connect_timeout=3", "a", 3 * time.Second},
		{"connect_timeout=0", driver.ClientName(), 10 * time.Second},
	} {
		o := mustParse(t, "pgmq://db?driver=pq&"+tt.query)
		if got := o.conn.RuntimeParams["application_name"]; got != tt.app || o.pq.ApplicationName != tt.app {
			t.Errorf("%s: application_name %q and %q, want %q", tt.query, got, o.pq.ApplicationName, tt.app)
		}
		if o.conn.ConnectTimeout != tt.timeout || o.pq.ConnectTimeout != tt.timeout {
			t.Errorf("%s: connect_timeout %v and %v, want %v", tt.query, o.conn.ConnectTimeout, o.pq.ConnectTimeout, tt.timeout)
		}
	}
}

func TestParseDSNEnvironment(t *testing.T) {
	noEnvironment(t)
	for name, value := range map[string]string{
		"PGPASSWORD": "pw", "PGAPPNAME": "app", "PGCONNECT_TIMEOUT": "4", "PGOPTIONS": "-c x.y=1", "PGTZ": "UTC",
		"PGSSLMODE": "require", "PGHOSTADDR": "192.0.2.1", "PGUSER": "u", "PGHOST": "/run/pg",
	} {
		t.Setenv(name, value)
	}
	o := mustParse(t, "pgmq://db:5/shop?driver=pq&options=-c%20x.y%3D2")
	c := o.pq
	if got := wherePQ(c); got != "u:pw db:5/shop" || c.Hostaddr.IsValid() || c.ApplicationName != "app" || c.ConnectTimeout != 4*time.Second ||
		c.Options != "-c x.y=2" || c.Runtime["timezone"] != "UTC" || c.SSLMode != pq.SSLModeRequire {
		t.Errorf("lib/pq is configured as %s %+v", got, c)
	}
	if o.conn.TLSConfig == nil || len(o.conn.Fallbacks) > 0 || o.conn.RuntimeParams["options"] != "-c x.y=2" {
		t.Errorf("pgx is configured as %+v", o.conn)
	}
	t.Setenv("PGREALM", "x")
	if _, err := parseDSN("pgmq://db?driver=pq"); err == nil || !strings.Contains(err.Error(), "does not support one of the environment variables") {
		t.Errorf("PGREALM: %v", err)
	}
}

func TestParseDSNService(t *testing.T) {
	noEnvironment(t)
	file := filepath.Join(t.TempDir(), "services")
	if err := os.WriteFile(file, []byte("[a]\nhost=db\npassword=pw\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PGSERVICEFILE", file)
	if o := mustParse(t, "pgmq://u@?service=a"); where(o.conn) != "u:pw db:5432/" {
		t.Errorf("service a is %s", where(o.conn))
	}
	t.Setenv("PGSERVICE", "a")
	if _, err := parseDSN("pgmq://u@db?driver=pq&sslmode=verify-full"); err == nil || !strings.Contains(err.Error(), "unset PGSERVICE") {
		t.Errorf("PGSERVICE with lib/pq: %v", err)
	}
}

func TestParseDSNTLS(t *testing.T) {
	noEnvironment(t)
	for _, tt := range []struct {
		query string
		pgx   string // whether each attempt has TLS
		pq    pq.SSLMode
	}{
		{"", "true false", pq.SSLModePrefer},
		{"sslmode=disable", "false", pq.SSLModeDisable},
		{"sslmode=allow", "false true", pq.SSLModeAllow},
		{"sslmode=verify-full", "true", pq.SSLModeVerifyFull},
		{"sslnegotiation=direct", "true", ""}, // "" requires TLS
		{"host=/run/pg&sslmode=require", "false", pq.SSLModeDisable},
	} {
		o := mustParse(t, "pgmq://db?driver=pq&"+tt.query)
		tls := []string{fmt.Sprint(o.conn.TLSConfig != nil)}
		for _, f := range o.conn.Fallbacks {
			tls = append(tls, fmt.Sprint(f.TLSConfig != nil))
		}
		if got := strings.Join(tls, " "); got != tt.pgx || o.pq.SSLMode != tt.pq {
			t.Errorf("%s: pgx %q, lib/pq %q, want %q and %q", tt.query, got, o.pq.SSLMode, tt.pgx, tt.pq)
		}
	}
}

func FuzzParseDSN(f *testing.F) {
	f.Add("", "", "db:5432/shop?sslmode=disable")
	f.Add("x@h/?", "=", "h")
	f.Add("1?", "=1&sslmode", "h")
	f.Add("/", "#", "[::1]:1,h?driver=pq&port=1,2")
	f.Add(" ", "%", "?service=x&sslcert=y")
	f.Fuzz(func(t *testing.T, before, after, rest string) {
		const secret = "hunter2secret"
		dsn := "pgmq://u:" + before + secret + after + "@" + rest
		o, err := parseDSN(dsn)
		switch {
		case err == nil:
			if _, err := o.connector(); err != nil {
				t.Errorf("parseDSN(%q) accepts what cannot be opened: %v", dsn, err)
			}
		case strings.Contains(err.Error(), secret):
			t.Errorf("parseDSN(%q): %v", dsn, err)
		}
	})
}

package pgmq

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"log/slog"
	"maps"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
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
	o.links.log = log
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
	if o.pq != nil {
		return o.pqConnector()
	}
	cfg := o.conn.Copy()
	if o.prepare {
		cfg.StatementCacheCapacity = 2048
		maps.Copy(cfg.RuntimeParams, ownSettings)
	} else {
		cfg.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	return stdlib.GetConnector(*cfg, stdlib.OptionShouldPing(o.links.mustPing)), nil
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
	s.checkSilence(ctx, start, err)
	return err != nil
}

// dialer dials for both client libraries.
type dialer struct{ links *links }

func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l := d.links.join(c)
	if s, ok := ctx.Value(slotKey{}).(*slot); ok {
		s.put(l)
	}
	return l, nil
}

// Dial and DialTimeout are wanted by lib/pq, which does not call them.
func (d dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialTimeout(network, address, time.Minute)
}

func (d dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

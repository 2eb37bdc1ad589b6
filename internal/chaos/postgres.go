package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the administrator's driver
	"github.com/portmq/mq/internal/chaos/judge"
)

// postgres is the provider pgmq, by one of its libraries: a server of its own, and a
// standby when one is promoted.
type postgres struct {
	library string // pgx, pq or frompool
	bin     string
	dir     string
	disk    *smallDisk
	node    *pgNode // the primary
	old     []*pgNode
	way     *proxy // of the workers
	side    *proxy // of the keeper

	admin, password string // passwords, of the administrator and of the workers
	db              *sql.DB
}

// pgNode is a server.
type pgNode struct {
	*servant
	bin, data, port string
}

// settings of every node. The data need not survive the machine, but a commit is one.
var settings = []string{
	"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=120", "-c", "shared_buffers=32MB", "-c", "wal_level=replica",
	"-c", "max_wal_size=64MB", "-c", "min_wal_size=32MB", "-c", "wal_keep_size=32MB", "-c", "log_min_messages=warning",
}

func (n *pgNode) start(dir string) (err error) {
	args := append([]string{"-D", n.data, "-h", "127.0.0.1", "-p", n.port, "-k", ""}, settings...)
	n.servant, err = serve(dir, "postgres-"+n.port, nil, filepath.Join(n.bin, "postgres"), args...)
	return err
}

func (n *pgNode) addr() string { return "127.0.0.1:" + n.port }

func (p *postgres) facts() judge.Facts { return everything }

// url is the DSN of a user of the run's database, at an address.
func (p *postgres) url(scheme, user, password, addr, database string) string {
	u := url.URL{Scheme: scheme, User: url.UserPassword(user, password), Host: addr, Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

func (p *postgres) dsn(keeper bool) string {
	if keeper {
		return p.url("pgmq", "keeper", p.admin, p.side.addr(), "chaos")
	}
	dsn := p.url("pgmq", "worker", p.password, p.way.addr(), "chaos")
	if p.library == "pq" {
		dsn += "&driver=pq"
	}
	return dsn
}

func (p *postgres) start(ctx context.Context, dir string) (err error) {
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is good
	if len(bins) == 0 {
		return errors.New("no PostgreSQL in /usr/lib/postgresql: install postgresql")
	}
	p.dir, p.bin, p.admin, p.password = dir, bins[len(bins)-1], rand.Text(), rand.Text()
	base := dir
	if p.disk, err = newSmallDisk(filepath.Join(dir, "disk"), "1g"); err == nil {
		base = p.disk.path
	} else if !errors.Is(err, errSkipped) {
		return err
	}
	if err := errors.Join(give(dir), give(base)); err != nil {
		return err
	}
	p.node = &pgNode{bin: p.bin, data: filepath.Join(base, "data")}
	if p.node.port, err = freePort(); err != nil {
		return err
	}
	if err := p.init(ctx); err != nil {
		return err
	}
	if err := p.node.start(p.dir); err != nil {
		return err
	}
	return p.open(ctx)
}

func (p *postgres) init(ctx context.Context) error {
	file := filepath.Join(p.dir, "password")
	if err := os.WriteFile(file, []byte(p.admin), 0o600); err != nil {
		return err
	}
	if cred, err := nobody(); err != nil || cred != nil && os.Chown(file, int(cred.Uid), int(cred.Gid)) != nil {
		return fmt.Errorf("chown %s: %w", file, err)
	}
	return once(ctx, p.dir, nil, filepath.Join(p.bin, "initdb"), "--pgdata="+p.node.data, "--username=postgres", "--pwfile="+file,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--wal-segsize=1")
}

// open makes users and database, and the ways to them.
func (p *postgres) open(ctx context.Context) (err error) {
	if err := p.connect(ctx); err != nil {
		return err
	}
	for _, statement := range []string{
		"CREATE ROLE worker LOGIN PASSWORD '" + p.password + "'",
		"CREATE ROLE keeper LOGIN PASSWORD '" + p.admin + "' IN ROLE worker",
		"ALTER ROLE keeper SET role = worker",
		"CREATE DATABASE chaos OWNER worker",
	} {
		if err := p.exec(ctx, statement); err != nil {
			return err
		}
	}
	if p.way, err = newProxy(p.node.addr()); err != nil {
		return err
	}
	p.side, err = newProxy(p.node.addr())
	return err
}

// connect returns when the primary answers.
func (p *postgres) connect(ctx context.Context) (err error) {
	if p.db != nil {
		_ = p.db.Close() // of a server that may be gone
	}
	if p.db, err = sql.Open("pgx", p.url("postgres", "postgres", p.admin, p.node.addr(), "postgres")); err != nil {
		return err
	}
	return awaitPostgres(ctx, p.db, p.node.servant)
}

func awaitPostgres(ctx context.Context, db *sql.DB, s *servant) (err error) {
	for end := time.Now().Add(limit); ; sleep(ctx, 30*time.Millisecond) {
		one, cancel := context.WithTimeout(ctx, 5*time.Second)
		err = db.PingContext(one)
		cancel()
		if err == nil || ctx.Err() != nil || time.Now().After(end) {
			return err
		}
		if !s.running() {
			log, _ := os.ReadFile(s.log)
			return fmt.Errorf("PostgreSQL has ended: %s", log[max(0, len(log)-2000):])
		}
	}
}

// exec runs a statement of the administrator. The pool may hold connections of before a
// crash.
func (p *postgres) exec(ctx context.Context, statement string) (err error) {
	for range 5 {
		if _, err = p.db.ExecContext(ctx, statement); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%.60s: %w", statement, err)
}

// inside opens the run's database as the administrator.
func (p *postgres) inside() (*sql.DB, error) {
	return sql.Open("pgx", p.url("postgres", "postgres", p.admin, p.node.addr(), "chaos"))
}

func (p *postgres) left(ctx context.Context) (what []string, err error) {
	for _, q := range []struct{ what, count string }{
		{"sessions", "SELECT count(*) FROM pg_stat_activity WHERE usename IN ('worker', 'keeper')"},
		{"locks", "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.pid <> pg_backend_pid() AND a.usename IN ('worker', 'keeper')"},
		{"prepared transactions", "SELECT count(*) FROM pg_prepared_xacts"},
		{"advisory locks", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"},
	} {
		n := 0
		for end := time.Now().Add(15 * time.Second); ; sleep(ctx, 50*time.Millisecond) {
			if err := p.db.QueryRowContext(ctx, q.count).Scan(&n); err != nil {
				return what, err
			}
			if n == 0 || time.Now().After(end) {
				break
			}
		}
		if n > 0 {
			what = append(what, strconv.Itoa(n)+" "+q.what)
		}
	}
	return what, nil
}

func (p *postgres) stop() (err error) {
	for _, w := range []*proxy{p.way, p.side} {
		if w != nil {
			err = errors.Join(err, w.close())
		}
	}
	if p.db != nil {
		err = errors.Join(err, p.db.Close())
	}
	for _, n := range append(p.old, p.node) {
		if n != nil && n.servant != nil {
			n.toAll(syscall.SIGCONT)
			err = errors.Join(err, n.end(syscall.SIGQUIT))
		}
	}
	if p.disk != nil {
		err = errors.Join(err, p.disk.remove())
	}
	return err
}

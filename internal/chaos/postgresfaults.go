package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/portmq/mq/drivers/pgmq"
)

func (p *postgres) faults(r *runner) (all []*fault, skips []skipped) {
	all = append(p.way.faults(), []*fault{
		{"backends are terminated", 0, 2 * time.Second, p.terminate},
		{"immediate stop", 0, time.Second, p.restart(syscall.SIGQUIT)},
		{"kill -9 of the server", 0, time.Second, p.kill},
		{"the server is frozen", time.Second, 5 * time.Second, p.freeze},
		{"sessions on a read-only node", time.Second, 3 * time.Second, p.role("default_transaction_read_only = on", false)},
		{"statement timeouts", time.Second, 3 * time.Second, p.role("statement_timeout = 4", true)},
		{"lock timeouts", time.Second, 3 * time.Second, p.role("lock_timeout = 2", true)},
		{"full pools", time.Second, 4 * time.Second, p.full},
		{"VACUUM FULL", 500 * time.Millisecond, 2 * time.Second, p.repeat("VACUUM FULL pgmq.q_plain", "VACUUM FULL pgmq.q_grouped")},
		{"REINDEX", 500 * time.Millisecond, 2 * time.Second, p.repeat("REINDEX SCHEMA pgmq")},
		{"tables are locked", 500 * time.Millisecond, 4 * time.Second, p.hold("LOCK TABLE pgmq.q_plain, pgmq.q_grouped IN ACCESS EXCLUSIVE MODE")},
		{"a snapshot is held", 3 * time.Second, max(10*time.Second, r.duration/3), p.hold("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pgmq.q_plain")},
		{"schema install", 0, 2 * time.Second, p.install},
		{"rotation of credentials", time.Second, 2 * time.Second, p.rotate(r)},
		{"promotion of a standby", 0, time.Second, p.promote},
	}...)
	if p.disk != nil {
		all = append(all, &fault{"a full disk", time.Second, 3 * time.Second, p.fillDisk})
	} else {
		skips = append(skips, skipped{"a full disk", "no small file system can be mounted here"})
	}
	return all, append(skips, clockSkipped)
}

// healing is what ends a fault.
type healing = func(context.Context) error

// terminate ends some of the workers' sessions, several times.
func (p *postgres) terminate(ctx context.Context, pick pick) (healing, error) {
	for end := time.Now().Add(pick.hold); ; sleep(ctx, 200*time.Millisecond) {
		err := p.exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'worker' AND random() < 0.5")
		if err != nil || time.Now().After(end) {
			return nil, err
		}
	}
}

// revive starts the primary again after it has ended.
func (p *postgres) revive(ctx context.Context) error {
	if err := p.node.start(p.dir); err != nil {
		return err
	}
	return p.connect(ctx)
}

func (p *postgres) restart(how syscall.Signal) func(context.Context, pick) (healing, error) {
	return func(context.Context, pick) (healing, error) { return p.revive, p.node.end(how) }
}

func (p *postgres) kill(context.Context, pick) (healing, error) { return p.revive, p.node.crash() }

func (p *postgres) freeze(context.Context, pick) (healing, error) {
	p.node.toAll(syscall.SIGSTOP)
	return func(context.Context) error { p.node.toAll(syscall.SIGCONT); return nil }, nil
}

// role gives the workers' sessions a setting. Those that have begun with it keep it when
// it is taken back, as sessions that are left on a node which became a standby, unless they
// are ended.
func (p *postgres) role(setting string, end bool) func(context.Context, pick) (healing, error) {
	name, _, _ := strings.Cut(setting, " ")
	return func(ctx context.Context, _ pick) (healing, error) {
		heal := func(ctx context.Context) error {
			err := p.exec(ctx, "ALTER ROLE worker RESET "+name)
			if end {
				err = errors.Join(err, p.endSessions(ctx))
			}
			return err
		}
		return heal, errors.Join(p.exec(ctx, "ALTER ROLE worker SET "+setting), p.endSessions(ctx))
	}
}

func (p *postgres) endSessions(ctx context.Context) error {
	return p.exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'worker'")
}

// full leaves the workers fewer connections than they need.
func (p *postgres) full(ctx context.Context, _ pick) (healing, error) {
	heal := func(ctx context.Context) error { return p.exec(ctx, "ALTER ROLE worker CONNECTION LIMIT -1") }
	return heal, errors.Join(p.exec(ctx, "ALTER ROLE worker CONNECTION LIMIT 4"), p.endSessions(ctx))
}

// repeat runs statements in the run's database again and again. They may block others, and
// be blocked by others: the errors of that are ignored.
func (p *postgres) repeat(statements ...string) func(context.Context, pick) (healing, error) {
	return func(ctx context.Context, pick pick) (healing, error) {
		db, err := p.inside()
		if err != nil {
			return nil, err
		}
		for end := time.Now().Add(pick.hold); err == nil && time.Now().Before(end); sleep(ctx, 100*time.Millisecond) {
			for _, s := range statements {
				if _, err = db.ExecContext(ctx, s); err != nil {
					if err = expected(err); err != nil {
						break
					}
				}
			}
		}
		return nil, errors.Join(err, db.Close())
	}
}

// expected returns nil for an error that sessions which block each other may get.
func expected(err error) error {
	for _, text := range []string{"40P01", "55P03", "57014", "42P01", "40001", "XX000"} {
		if err != nil && strings.Contains(err.Error(), text) {
			return nil
		}
	}
	return err
}

// hold runs statements in a transaction that stays open.
func (p *postgres) hold(statements string) func(context.Context, pick) (healing, error) {
	return func(ctx context.Context, _ pick) (healing, error) {
		db, err := p.inside()
		if err != nil {
			return nil, err
		}
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return nil, errors.Join(err, db.Close())
		}
		for s := range strings.SplitSeq(statements, "; ") {
			if _, err := tx.ExecContext(ctx, s); err != nil {
				return nil, errors.Join(err, tx.Rollback(), db.Close())
			}
		}
		return func(context.Context) error { return errors.Join(tx.Rollback(), db.Close()) }, nil
	}
}

// install brings the schema up to date, as each deployment may.
func (p *postgres) install(ctx context.Context, pick pick) (healing, error) {
	db, err := sql.Open("pgx", p.url("postgres", "keeper", p.admin, p.node.addr(), "chaos"))
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(pick.hold); ; sleep(ctx, 200*time.Millisecond) {
		if err := pgmq.Install(ctx, db); err != nil || time.Now().After(end) {
			return nil, errors.Join(err, db.Close())
		}
	}
}

// rotate changes the password of the workers, and deploys each with the new one. Until then
// they cannot open connections.
func (p *postgres) rotate(r *runner) func(context.Context, pick) (healing, error) {
	return func(ctx context.Context, pick pick) (healing, error) {
		r.deployments.Lock()
		p.password = rand.Text()
		r.deployments.Unlock()
		err := p.exec(ctx, "ALTER ROLE worker PASSWORD '"+p.password+"'")
		if err == nil && pick.IntN(2) == 0 {
			err = p.endSessions(ctx)
		}
		return r.deploy, err
	}
}

// fillDisk fills the server's disk. If the server ends it is started again.
func (p *postgres) fillDisk(ctx context.Context, pick pick) (healing, error) {
	if !strings.HasPrefix(p.node.data, p.disk.path) {
		return nil, fmt.Errorf("%w: the primary has moved to another disk", errSkipped)
	}
	empty, err := p.disk.fill(ctx, pick)
	heal := func(ctx context.Context) error {
		if err := empty(ctx); err != nil {
			return err
		}
		if err := p.connect(ctx); err == nil || p.node.running() {
			return err
		}
		return p.revive(ctx)
	}
	return heal, err
}

// promote makes a standby that confirms each commit, then makes it the primary. The old one
// goes on, so that sessions stay on a node that can no longer commit anything: it waits for a
// standby forever. So whatever was acknowledged is on both.
func (p *postgres) promote(ctx context.Context, _ pick) (healing, error) {
	next, err := p.standby(ctx)
	if err != nil {
		return nil, err
	}
	was := p.node
	heal := func(ctx context.Context) error {
		p.way.cut()
		p.side.cut()
		return was.end(syscall.SIGQUIT)
	}
	db, err := sql.Open("pgx", p.url("postgres", "postgres", p.admin, next.addr(), "postgres"))
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		p.exec(ctx, "ALTER SYSTEM SET default_transaction_read_only = on"),
		p.exec(ctx, "SELECT pg_reload_conf()"),
		awaitPostgres(ctx, db, next.servant),
	)
	if err == nil {
		_, err = db.ExecContext(ctx, "SELECT pg_promote()")
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return heal, err
	}
	p.old, p.node = append(p.old, was), next
	p.way.lead(next.addr())
	p.side.lead(next.addr())
	return heal, errors.Join(err, p.connect(ctx))
}

// standby starts a standby, and returns when commits wait for it.
func (p *postgres) standby(ctx context.Context) (*pgNode, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	n := &pgNode{bin: p.bin, data: p.dir + "/standby-" + port, port: port}
	err = once(ctx, p.dir, nil, p.bin+"/pg_basebackup", "-d", p.url("postgres", "postgres", p.admin, p.node.addr(), "postgres"),
		"-D", n.data, "-R", "-X", "stream", "-c", "fast", "--no-sync")
	if err != nil {
		return nil, err
	}
	if err := n.start(p.dir); err != nil {
		return nil, err
	}
	p.old = append(p.old, n) // so that it ends with the run, whatever happens
	err = errors.Join(
		p.exec(ctx, "ALTER SYSTEM SET synchronous_standby_names = '*'"),
		p.exec(ctx, "SELECT pg_reload_conf()"),
	)
	for n := 0; err == nil && n == 0; sleep(ctx, 50*time.Millisecond) {
		err = p.db.QueryRowContext(ctx, "SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum') AND state = 'streaming'").Scan(&n)
		err = errors.Join(err, ctx.Err())
	}
	if err != nil {
		return nil, errors.Join(err, p.exec(context.WithoutCancel(ctx), "ALTER SYSTEM RESET synchronous_standby_names"), p.exec(ctx, "SELECT pg_reload_conf()"))
	}
	p.old = slices.DeleteFunc(p.old, func(o *pgNode) bool { return o == n })
	return n, nil
}

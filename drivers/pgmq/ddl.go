package pgmq

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// A statement that changes a table waits for all transactions that use it, and
// every later statement waits behind it. So it gives up after lock_timeout (see
// {{template "lock timeout"}}), lets the others pass, and tries again.
const (
	lockTries = 12
	lockPause = time.Second
	tellAfter = 2 * time.Second // how long a build waits in silence
	tellGrace = 500 * time.Millisecond
)

// ddl changes tables in a database.
type ddl struct {
	db    *sql.DB
	log   *slog.Logger // may be nil
	queue string       // whose tables they are
}

// run runs f in a transaction that waits for no lock for long, and maps its
// errors. If that comes to nothing the error names the session in the way.
func (d ddl) run(ctx context.Context, f func(*sql.Tx) error) error {
	for try := 1; ; try++ {
		err := inTx(ctx, d.db, func(tx *sql.Tx) error {
			if err := exec(ctx, tx, statement("lock timeout", nil)); err != nil {
				return err
			}
			return f(tx)
		})
		if sqlState(err) != "55P03" {
			return err
		}
		who := d.holder(ctx, "holders", d.queue)
		if try == lockTries {
			return &dbError{text: "the tables are locked by " + who.String() + " (end it, or try again later)", code: "55P03", cause: unmapped(err)}
		}
		d.tell(who)
		if !pause(ctx, lockPause) {
			return &waitError{who, ctx.Err()}
		}
	}
}

// unmapped returns the error of the client library. The mapped error, ErrBadConn,
// would have the call made again, with as many tries.
func unmapped(err error) error {
	if e := (*dbError)(nil); errors.As(err, &e) {
		return e.cause
	}
	return err
}

func (d ddl) tell(who session) {
	if d.log != nil {
		d.log.Warn("pgmq: waiting for a lock", "queue", d.queue, "held by", who.String())
	}
}

// session is one that holds a lock.
type session struct {
	pid        int
	app, state string
	age        time.Duration // of its transaction
}

func (s session) String() string {
	if s.pid == 0 {
		return "another session"
	}
	text := fmt.Sprintf("session %d", s.pid)
	if s.app != "" {
		text += fmt.Sprintf(" of %q", s.app)
	}
	if s.state == "" {
		return text
	}
	return fmt.Sprintf("%s, %s, in a transaction of %v", text, s.state, s.age.Round(time.Second))
}

// waitError says what a caller waited for whose ctx ended.
type waitError struct {
	session
	ended error
}

func (e *waitError) Error() string { return fmt.Sprintf("%v, waiting for %v", e.ended, e.session) }
func (e *waitError) Unwrap() error { return e.ended }

// waited reports whether err names the session that a caller waited for.
func waited(err error) bool {
	var e *waitError
	return errors.As(err, &e)
}

// holder looks for the session that is in the way. Nothing depends on it.
func (d ddl) holder(ctx context.Context, which, arg string) (s session) {
	limit := tellAfter
	if ctx.Err() != nil { // a caller that gives up learns what it waited for, if that is quick
		limit = tellGrace
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	_ = query(ctx, d.db, statement(which, nil), []any{arg}, func(rows row) (err error) {
		s, err = scanSession(rows)
		return err
	})
	return s
}

func scanSession(rows row) (s session, err error) {
	var age float64
	err = rows.Scan(&s.pid, &s.app, &s.state, &age)
	s.age = time.Duration(age * float64(time.Second))
	return s, err
}

// build makes or drops an index while the queue is in use.
func (p *Provider) build(ctx context.Context, queue, text string) error {
	d := ddl{p.db, p.log, queue}
	blocked := make(chan session, 1)
	watched, stop := context.WithCancel(ctx)
	go d.watch(watched, text, blocked)
	err := exec(ctx, p.db, text)
	stop()
	who := <-blocked
	if err == nil {
		return nil
	}
	if ended := ctx.Err(); ended != nil {
		d.cancel(ctx, text)
		if who.pid != 0 {
			return &waitError{who, ended}
		}
	}
	return ddlError(err)
}

// watch looks for the session that a build waits for, logs it once, and returns
// the last one on blocked when ctx ends.
func (d ddl) watch(ctx context.Context, text string, blocked chan<- session) {
	var last session
	for logged := false; pause(ctx, tellAfter); {
		who := d.holder(ctx, "blockers", text)
		if who.pid == 0 {
			continue
		}
		if last = who; !logged {
			d.tell(who)
			logged = true
		}
	}
	blocked <- last
}

// cancel ends a build that would go on in the server without its caller.
func (d ddl) cancel(ctx context.Context, text string) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), claimGrace)
	defer stop()
	err := exec(ctx, d.db, statement("cancel", nil), text)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) && d.log != nil {
		d.log.Debug("pgmq: cancelling the build of an index failed", "queue", d.queue, "error", mapError(err))
	}
}

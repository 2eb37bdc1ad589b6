package pgmq

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// listener holds the connection that listens, for all queues of a client.
type listener struct {
	p      *Provider
	change chan struct{} // holds one: the connection has something to do

	mu     sync.Mutex
	wanted map[string]string // queues by channel
	heard  map[string]bool   // channels that the connection listens on
	proven bool              // notifications do get through to it
	again  bool              // it may be the wrong server by now
}

func newListener(p *Provider) *listener {
	return &listener{p: p, change: make(chan struct{}, 1), wanted: make(map[string]string), heard: make(map[string]bool)}
}

// add makes the listener listen for a queue.
func (l *listener) add(queue string, channels []string) {
	l.mu.Lock()
	live := l.proven
	for _, ch := range channels {
		l.want(ch, queue)
		live = live && l.heard[ch]
	}
	l.mu.Unlock()
	if h := l.p.hub(queue); live && !h.isLive() { // the queue was forgotten meanwhile
		h.setLive(true)
	}
}

// pauseListener stands for AwaitPause among the queues. No queue has such a name.
const pauseListener = "\x00"

// addPauses makes the listener listen for pauses.
func (l *listener) addPauses() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.want(pauseChannel, pauseListener)
}

// want makes the listener listen on a channel. l.mu is held.
func (l *listener) want(channel, queue string) {
	if l.wanted[channel] == "" {
		l.wanted[channel] = queue
		l.poke()
	}
}

// drop ends listening for a queue.
func (l *listener) drop(queue string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for ch, q := range l.wanted {
		if q == queue {
			delete(l.wanted, ch)
			l.poke()
		}
	}
}

// restart makes the listener connect again: the server that it is connected to
// has become another one's standby.
func (l *listener) restart() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.again = true
	l.poke()
}

func (l *listener) poke() {
	select {
	case l.change <- struct{}{}:
	default:
	}
}

// The pauses between attempts to connect. A way on which LISTEN does not work
// is tried again rarely.
const (
	minRedial, maxRedial = 100 * time.Millisecond, 10 * time.Second
	deafRedial           = 5 * time.Minute
)

// errDeaf says that LISTEN succeeds, and notifications do not come.
var errDeaf = errors.New("no notification comes through")

// run connects, and connects again, until the provider is closed.
func (l *listener) run() {
	defer l.p.tasks.Done()
	redial, deaf := minRedial, false
	for l.p.ctx.Err() == nil {
		start := time.Now()
		err := l.connected()
		l.lost()
		if l.p.ctx.Err() != nil {
			return
		}
		switch {
		case err != errDeaf:
			l.p.log.Warn("pgmq: the connection that listens for inserts is lost: receivers poll", "error", mapError(err), "again in", redial)
		case !deaf:
			deaf = true
			l.p.log.Warn("pgmq: LISTEN does not work on this connection, as behind a pooler of transactions or in another database: receivers poll (set poll_only=true, or give a Config.Listen that leads to the server directly)")
		}
		if time.Since(start) > maxRedial {
			redial = minRedial
		}
		if err == errDeaf {
			pause(l.p.ctx, deafRedial)
		} else {
			pause(l.p.ctx, redial)
		}
		redial = min(2*redial, maxRedial)
	}
}

// connected listens on one connection until it breaks.
func (l *listener) connected() error {
	conn, err := l.connect()
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	echo := "pgmq.mq_echo." + rand.Text()
	if err := l.catchUp(conn, echo); err != nil {
		return err
	}
	if err := l.prove(conn, echo); err != nil {
		return err
	}
	for {
		n, err := l.wait(conn, aliveEvery)
		switch {
		case err != nil:
			return err
		case n != "":
			l.notify(n)
			continue
		case l.restarted():
			return errors.New("a node of the database is read-only: looking for the other")
		}
		if err := l.catchUp(conn, echo); err != nil { // which also shows that it is alive
			return err
		}
	}
}

func (l *listener) connect() (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(l.p.ctx, callLimit)
	defer cancel()
	cfg, err := l.p.listenConfig(ctx)
	if err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, cfg)
}

func (l *listener) restarted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	again := l.again
	l.again = false
	return again
}

// prove waits for a notification that the pool sends. A pooler may give each of
// our statements to another session, and the session that listens to somebody
// else.
func (l *listener) prove(conn *pgx.Conn, echo string) error {
	err := l.p.within(l.p.ctx, probeLimit, sqlNotify, []any{arrayOf(echo)}, ignore)
	for end := time.Now().Add(probeLimit); err == nil; {
		left := time.Until(end)
		if left <= 0 {
			return errDeaf
		}
		n, err := l.wait(conn, left)
		switch {
		case err != nil:
			return err
		case n == echo:
			return l.setProven()
		case n != "":
			l.notify(n)
		}
	}
	l.p.log.Debug("pgmq: cannot try whether LISTEN works", "error", mapError(err))
	return l.setProven()
}

// setProven lets the receivers rely on notifications.
func (l *listener) setProven() error {
	l.mu.Lock()
	l.proven = true
	queues := l.queues(l.heard)
	l.poke() // for what has come meanwhile
	l.mu.Unlock()
	l.setLive(queues, true)
	return nil
}

// queues returns those of channels. l.mu is held.
func (l *listener) queues(channels map[string]bool) (queues []string) {
	for ch := range channels {
		if q := l.wanted[ch]; q != "" && !slices.Contains(queues, q) {
			queues = append(queues, q)
		}
	}
	return queues
}

func (l *listener) setLive(queues []string, live bool) {
	for _, q := range queues {
		switch {
		case q != pauseListener:
			l.p.hub(q).setLive(live)
		case live: // for what came before
			l.p.pauses.wake()
		}
	}
}

// catchUp listens on the channels that are new, and no longer on those that are
// not wanted, with one command. There is always one: to listen on echo once
// more is how a silent connection is checked.
func (l *listener) catchUp(conn *pgx.Conn, echo string) error {
	fresh, stale := l.changes()
	var b strings.Builder
	b.WriteString("LISTEN " + ident(echo))
	for _, ch := range fresh {
		b.WriteString("; LISTEN " + ident(ch))
	}
	for _, ch := range stale {
		b.WriteString("; UNLISTEN " + ident(ch))
	}
	ctx, cancel := context.WithTimeout(l.p.ctx, probeLimit)
	defer cancel()
	if _, err := conn.PgConn().Exec(ctx, b.String()).ReadAll(); err != nil {
		return err
	}
	l.caughtUp(fresh, stale)
	return nil
}

// changes returns the channels to listen on, and those to listen on no longer.
func (l *listener) changes() (fresh, stale []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for ch := range l.wanted {
		if !l.heard[ch] {
			fresh = append(fresh, ch)
		}
	}
	for ch := range l.heard {
		if l.wanted[ch] == "" {
			stale = append(stale, ch)
		}
	}
	return fresh, stale
}

func (l *listener) caughtUp(fresh, stale []string) {
	l.mu.Lock()
	now := make(map[string]bool, len(fresh))
	for _, ch := range fresh {
		l.heard[ch], now[ch] = true, true
	}
	for _, ch := range stale {
		delete(l.heard, ch)
	}
	queues := l.queues(now)
	if !l.proven {
		queues = nil
	}
	l.mu.Unlock()
	l.setLive(queues, true)
}

// aliveEvery is how often a silent connection is checked.
const aliveEvery = 15 * time.Second

// wait returns the channel of the next notification, or "" after a while or if
// there is something to do.
func (l *listener) wait(conn *pgx.Conn, limit time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(l.p.ctx, limit)
	defer cancel()
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-l.change:
			cancel()
		case <-stop:
		}
	}()
	n, err := conn.WaitForNotification(ctx)
	close(stop)
	<-done
	switch {
	case err == nil:
		if ctx.Err() != nil { // the change was taken, and is still to be seen to
			l.poke()
		}
		return n.Channel, nil
	case l.p.ctx.Err() != nil || conn.IsClosed() || ctx.Err() == nil:
		return "", err
	}
	return "", nil
}

func (l *listener) notify(ch string) {
	l.mu.Lock()
	queue := l.wanted[ch]
	l.mu.Unlock()
	switch queue {
	case "":
	case pauseListener:
		l.p.pauses.wake()
	default:
		h := l.p.hub(queue)
		h.stayAwake()
		h.wake()
	}
}

// lost is called when the connection is lost. What crashed may have taken the
// rows of the triggers with it, so that the queues are looked up again.
func (l *listener) lost() {
	l.mu.Lock()
	queues := slices.Compact(slices.Sorted(maps.Values(l.wanted)))
	clear(l.heard)
	l.proven = false
	l.mu.Unlock()
	l.p.queues.Clear()
	l.setLive(queues, false)
}

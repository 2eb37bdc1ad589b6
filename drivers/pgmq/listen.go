package pgmq

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// listen reports whether inserts into q by others are heard of: PGMQ's trigger
// is there, with a throttle, and the connection listens or is about to.
func (p *Provider) listen(ctx context.Context, q *queue) bool {
	if p.listenConfig == nil {
		return false
	}
	if !p.readTrigger(ctx, q) {
		return false
	}
	p.mu.Lock()
	if p.listener == nil && p.enterLocked() {
		p.listener = newListener(p)
		go p.listener.run()
	}
	l := p.listener
	p.mu.Unlock()
	if l == nil {
		return false
	}
	l.add(q.channels, q.hub)
	return q.throttle > 0
}

// readTrigger reads the interval of a queue's trigger and the channels that it
// may notify, once; who comes meanwhile does without. PGMQ's own trigger is
// silent if its row is missing, as after a crash.
func (p *Provider) readTrigger(ctx context.Context, q *queue) (known bool) {
	if !q.trigger.TryLock() {
		return false
	}
	defer q.trigger.Unlock()
	if q.known {
		return true
	}
	every, channels := time.Duration(0), []string{channel(q.name)}
	if q.names.notifies {
		err := query(ctx, p.pool, sqlThrottle, []any{q.name}, func(rows row) error {
			var spelling string
			var ms int64
			err := rows.Scan(&spelling, &ms)
			every = max(every, time.Duration(ms)*time.Millisecond, time.Millisecond)
			if spelling != q.name { // PGMQ 1.13.1 notifies the spelling
				channels = append(channels, channel(spelling))
			}
			return err
		})
		if err != nil && ctx.Err() != nil {
			return false
		}
		if err != nil {
			p.log.Info("pgmq: cannot read pgmq.notify_insert_throttle: receivers poll", "queue", q.name, "error", readError(err))
			every = 0
		}
	}
	q.throttle, q.channels, q.known = every, channels, true
	q.hub.setThrottle(every)
	return true
}

// listener holds the connection that listens, for all queues of a client.
type listener struct {
	p      *Provider
	change chan struct{} // holds one: wanted has grown

	mu     sync.Mutex
	wanted map[string]*hub // by channel
	heard  map[string]bool // on the connection there is
}

func newListener(p *Provider) *listener {
	return &listener{p: p, change: make(chan struct{}, 1), wanted: make(map[string]*hub)}
}

// add makes the listener listen for a queue.
func (l *listener) add(channels []string, h *hub) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ch := range channels {
		if l.wanted[ch] == nil {
			l.wanted[ch] = h
			select {
			case l.change <- struct{}{}:
			default:
			}
		}
	}
}

// The pauses between attempts to connect.
const minRedial, maxRedial = 100 * time.Millisecond, 10 * time.Second

// run connects, and connects again, until the provider is closed.
func (l *listener) run() {
	defer l.p.tasks.Done()
	pause := minRedial
	for l.p.ctx.Err() == nil {
		start := time.Now()
		err := l.connected()
		l.deaf()
		if l.p.ctx.Err() != nil {
			return
		}
		l.p.log.Warn("pgmq: the connection that listens for inserts is lost: receivers poll", "error", mapError(err), "again in", pause)
		if time.Since(start) > maxRedial {
			pause = minRedial
		}
		select {
		case <-time.After(pause):
		case <-l.p.done:
		}
		pause = min(2*pause, maxRedial)
	}
}

// connected listens on one connection until it breaks.
func (l *listener) connected() error {
	conn, err := pgx.ConnectConfig(l.p.ctx, l.p.listenConfig())
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	for {
		if err := l.catchUp(conn); err != nil {
			return err
		}
		n, err := l.wait(conn)
		switch {
		case err != nil:
			return err
		case n != "":
			l.notify(n)
		}
	}
}

// catchUp listens on the channels that are new.
func (l *listener) catchUp(conn *pgx.Conn) error {
	for _, ch := range l.unheard() {
		if _, err := conn.Exec(l.p.ctx, "LISTEN "+ident(ch)); err != nil {
			return err
		}
		l.mu.Lock()
		l.heard[ch] = true
		h := l.wanted[ch]
		l.mu.Unlock()
		h.setLive(true)
	}
	return nil
}

func (l *listener) unheard() (channels []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.heard == nil {
		l.heard = make(map[string]bool)
	}
	for ch := range l.wanted {
		if !l.heard[ch] {
			channels = append(channels, ch)
		}
	}
	return channels
}

// aliveEvery is how often a silent connection is checked.
const aliveEvery = time.Minute

// wait returns the channel of the next notification, or "" if there are new
// channels to listen on.
func (l *listener) wait(conn *pgx.Conn) (string, error) {
	ctx, cancel := context.WithTimeout(l.p.ctx, aliveEvery)
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
		return n.Channel, nil
	case l.p.ctx.Err() != nil || conn.IsClosed() || ctx.Err() == nil:
		return "", err
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return "", conn.Ping(l.p.ctx)
	}
	return "", nil
}

func (l *listener) notify(ch string) {
	l.mu.Lock()
	h := l.wanted[ch]
	l.mu.Unlock()
	if h != nil {
		h.stayAwake()
		h.wake()
	}
}

// deaf is called when the connection is lost. What crashed may have taken the
// rows of the triggers with it, so that the queues are looked up again.
func (l *listener) deaf() {
	l.mu.Lock()
	l.heard = nil
	hubs := make([]*hub, 0, len(l.wanted))
	for _, h := range l.wanted {
		hubs = append(hubs, h)
	}
	l.mu.Unlock()
	l.p.queues.Clear()
	for _, h := range hubs {
		h.setLive(false)
	}
}

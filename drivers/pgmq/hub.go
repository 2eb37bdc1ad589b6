package pgmq

import (
	"slices"
	"sync"
	"time"
)

// hub is where the receivers of one queue wait. A wake-up goes to one plain
// receiver, which passes it on if there is more, and to all group receivers,
// whose groups differ.
type hub struct {
	queue string

	mu       sync.Mutex
	plain    []*waiter
	groups   []*waiter
	live     bool          // LISTEN covers this queue
	awake    time.Time     // until then the trigger may have suppressed a notification
	throttle time.Duration // of the trigger

	plan   int // see Provider.replan
	intake intake

	notified  time.Time     // when the last notification left
	pause     time.Duration // between it and the next one
	owed      bool          // another one is due, unless a later send sends it along
	following bool          // a goroutine of follow sees to that
	tx        txNotify
}

// waiter is one receiver that waits.
type waiter struct {
	ch    chan struct{} // holds one wake-up
	group bool
}

func (w *waiter) wake() {
	select {
	case w.ch <- struct{}{}:
	default:
	}
}

// hub returns the hub of a queue.
func (p *Provider) hub(queue string) *hub {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.hubs[queue]
	if h == nil {
		h = &hub{queue: queue}
		p.hubs[queue] = h
	}
	return h
}

// join adds a receiver to the hub of q, which is not given up while it waits.
func (p *Provider) join(q *queue, group bool) (*hub, *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.hubs[q.name]
	if h == nil { // forgotten meanwhile
		h = q.hub
		p.hubs[q.name] = h
	}
	return h, h.join(group)
}

// forget gives up what is kept for a queue, because it is not there or has not
// been used for long. A hub at which somebody waits stays.
func (p *Provider) forget(name string) {
	p.queues.Delete(name)
	p.groups.Range(func(id, g any) bool {
		if g.(*grouping).q.name == name {
			p.groups.Delete(id)
		}
		return true
	})
	p.mu.Lock()
	h, l := p.hubs[name], p.listener
	idle := h != nil && h.idle()
	if idle {
		delete(p.hubs, name)
	}
	p.mu.Unlock()
	if idle && l != nil {
		l.drop(name)
	}
}

// idle reports whether nobody waits at the hub, or notifies on its behalf.
func (h *hub) idle() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.plain)+len(h.groups) == 0 && !h.owed && !h.following && !h.tx.running
}

// unusedFor is how long a queue is remembered that nobody uses.
const unusedFor = 3 * shapeAge

// sweep forgets queues that have not been used for long.
func (p *Provider) sweep() {
	now := time.Now()
	p.mu.Lock()
	due := now.Sub(p.swept) >= shapeAge
	if due {
		p.swept = now
	}
	p.mu.Unlock()
	if !due {
		return
	}
	p.queues.Range(func(name, q any) bool {
		if now.Sub(q.(*queue).readAt) >= unusedFor {
			p.forget(name.(string))
		}
		return true
	})
}

// join adds a receiver. It joins before its first claim, so that nothing is
// missed between that and the waiting.
func (h *hub) join(group bool) *waiter {
	w := &waiter{ch: make(chan struct{}, 1), group: group}
	h.mu.Lock()
	defer h.mu.Unlock()
	if group {
		h.groups = append(h.groups, w)
	} else {
		h.plain = append(h.plain, w)
	}
	return w
}

// leave removes a receiver, and hands on what it knew or was told.
func (h *hub) leave(w *waiter) {
	h.mu.Lock()
	h.groups = slices.DeleteFunc(h.groups, func(x *waiter) bool { return x == w })
	h.plain = slices.DeleteFunc(h.plain, func(x *waiter) bool { return x == w })
	h.mu.Unlock()
	if !w.group {
		h.pass()
	}
}

// pass wakes one plain receiver, the one that waits longest.
func (h *hub) pass() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.plain) > 0 {
		w := h.plain[0]
		h.plain = append(h.plain[1:], w)
		w.wake()
	}
}

func (h *hub) wakeGroups() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.groups {
		w.wake()
	}
}

// wake says that there may be something.
func (h *hub) wake() {
	h.pass()
	h.wakeGroups()
}

// setLive says whether inserts are heard of. Both changes wake everybody: for
// what came in between, and to poll from now on.
func (h *hub) setLive(live bool) {
	h.mu.Lock()
	h.live = live
	h.mu.Unlock()
	h.wakeAll()
}

func (h *hub) wakeAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range slices.Concat(h.plain, h.groups) {
		w.wake()
	}
}

func (h *hub) isLive() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.live
}

// stayAwake makes receivers look often for two throttles, those who come later
// too: the trigger does not tell of what comes within one after a wake-up.
func (h *hub) stayAwake() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.awake = time.Now().Add(2*h.throttle + minPoll)
}

func (h *hub) setThrottle(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.throttle = d
}

func (h *hub) awakeUntil() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.awake
}

func (h *hub) planNow() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.plan
}

// notifyEvery bounds the notifications of one process for one queue: NOTIFY
// takes a lock of the whole database at commit.
const (
	notifyEvery = 5 * time.Millisecond
	followAfter = time.Millisecond // gives the next send the chance to notify
)

// takeNotify reports whether the next insert is to notify in its statement. That
// notification is for earlier inserts, too.
func (h *hub) takeNotify() bool { return h.takeNotifyEvery(notifyEvery) }

// takeNotifyEvery is takeNotify with a different minimum pause, which holds until the
// next insert sets its own.
func (h *hub) takeNotifyEvery(pause time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if h.pause = pause; now.Sub(h.notified) < pause {
		return false
	}
	h.notified, h.owed = now, false
	return true
}

// inserted wakes the receivers of this process after messages became available,
// and has the others notified soon, unless the insert has done so.
func (h *hub) inserted(p *Provider, notified bool) {
	h.wake()
	if !notified {
		h.notifySoon(p)
	}
}

// notifySoon has a notification sent in a moment, by the next send or by follow.
func (h *hub) notifySoon(p *Provider) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.owed = true; h.following || !p.enter() {
		return
	}
	h.following = true
	go h.follow(p)
}

// follow notifies after a moment, on behalf of all inserts until then, unless a
// send does.
func (h *hub) follow(p *Provider) {
	defer p.tasks.Done()
	wait, notify := h.due(p.closed())
	for wait > 0 {
		wait, notify = h.due(!pause(p.ctx, wait)) // Close waits for a last notification
	}
	if !notify {
		return
	}
	p.notifier.notify(p, h.queue)
}

// due returns how long follow is to wait. If that is 0 it ends, and may have to
// notify before.
func (h *hub) due(closing bool) (wait time.Duration, notify bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.owed && !closing {
		wait = max(0, max(notifyEvery, h.pause)+followAfter-time.Since(h.notified))
	}
	if wait > 0 {
		return wait, false
	}
	if notify = h.owed; notify {
		h.notified = time.Now()
	}
	h.owed, h.following = false, false
	return 0, notify
}

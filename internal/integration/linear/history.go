package linear

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/portmq/mq/driver"
)

// maxMessages is how many messages a history can have.
const maxMessages = 6

// forever is when a call returns whose outcome nobody knows.
const forever = math.MaxInt64

// kind is what an event says about its message.
type kind int8

const (
	sent     kind = iota // the message was stored
	claimed              // a receive has leased it
	missed               // a receive had room for it, and did not get it
	settled              // a receipt was acked, nacked or archived
	extended             // a receipt was extended
	seen                 // a look at the queue has shown it
	unseen               // and has not
	filed                // a look at the archive has shown it
	unfiled              // and has not
	last                 // every call that has returned is over
)

// outcome is how a call ended.
type outcome int8

const (
	done    outcome = iota
	stale           // ErrStaleReceipt
	gone            // ErrMessageNotFound
	unknown         // ErrUnavailable
	refused         // certainly without effect
)

func (o outcome) String() string {
	return [...]string{"done", "stale", "not found", "unknown", "refused"}[o]
}

// outcomeOf returns what err says about a call. ok is false if that is not an answer that
// a call may give.
func outcomeOf(err error) (o outcome, ok bool) {
	switch {
	case err == nil:
		return done, true
	case errors.Is(err, driver.ErrUnavailable):
		return unknown, true
	case errors.Is(err, driver.ErrBadConn), ended(err):
		return refused, true
	case errors.Is(err, driver.ErrMessageNotFound):
		return gone, true
	case errors.Is(err, driver.ErrStaleReceipt):
		return stale, true
	}
	return unknown, false
}

// event is what one call says about one message.
type event struct {
	kind      kind
	message   int
	call      *call
	outcome   outcome
	lease     int           // of the receipt; 0 if nobody knows it
	span      time.Duration // how long the lease, the delay or the extension is
	op        driver.Op
	uncounted bool
	reason    string // given, or shown
	reads     int
	attempt   int
	lastError string
	state     driver.State
}

// call is one call of a client.
type call struct {
	of          *History
	n           int
	client      string
	text        string
	begun, over int64 // nanoseconds since the history began
	returned    int64 // over, or forever
	events      []*event
	whole       bool // its events are one step
	receives    bool
}

// History is what clients have called, and what was answered.
type History struct {
	caps   driver.Caps
	leeway Leeway
	start  time.Time

	mu       sync.Mutex
	calls    []*call
	leases   map[driver.Receipt]int
	owners   []int // of the leases: the messages
	receipts []driver.Receipt
	ids      map[int]string
	ages     map[string]time.Time // when the messages were enqueued, by id
	sent     []bool               // by message: a send was called
	events   [maxMessages][]*event
	flaws    []string // what is wrong in any order
	unknowns int
	end      int64
}

// NewHistory returns a history on a provider with these caps.
func NewHistory(caps driver.Caps) *History {
	return &History{
		caps: caps, start: time.Now(), leases: make(map[driver.Receipt]int), owners: []int{-1}, receipts: []driver.Receipt{""},
		ids: make(map[int]string), ages: make(map[string]time.Time), sent: make([]bool, maxMessages),
	}
}

// Unknowns returns how many calls have an unknown outcome.
func (h *History) Unknowns() int { return h.unknowns }

// Calls returns how many calls there were.
func (h *History) Calls() int { return len(h.calls) }

func (h *History) now() int64 { return int64(time.Since(h.start)) }

// begin notes the start of a call.
func (h *History) begin(client, format string, args ...any) *call {
	return &call{of: h, client: client, text: fmt.Sprintf(format, args...), begun: h.now()}
}

// add notes the end of a call. Its events are added under the lock.
func (h *History) add(c *call, answer string, o outcome, events func()) {
	c.over = h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	c.n, c.returned = len(h.calls)+1, c.over
	h.end = max(h.end, c.over)
	if o == unknown {
		c.returned = forever
		h.unknowns++
	}
	c.text += " -> " + answer
	h.calls = append(h.calls, c)
	events()
}

func (c *call) add(e event) {
	e.call = c
	c.events = append(c.events, &e)
	if e.kind != last {
		c.of.events[e.message] = append(c.of.events[e.message], &e)
	}
}

// flaw notes what no order can explain.
func (h *History) flaw(format string, args ...any) {
	h.flaws = append(h.flaws, fmt.Sprintf(format, args...))
}

// body is the body of a message: JSON, which no backend changes in a way that counts.
func body(message int) []byte { return fmt.Appendf(nil, `{"message": %d}`, message) }

func messageOf(b []byte) (n int, ok bool) {
	var content struct{ Message *int }
	if json.Unmarshal(b, &content) != nil || content.Message == nil || *content.Message < 0 || *content.Message >= maxMessages {
		return 0, false
	}
	return *content.Message, true
}

// identify checks that a message has one id, and an id one message and one age.
func (h *History) identify(message int, id string, age time.Time) {
	for other, known := range h.ids {
		if known == id && other != message {
			h.flaw("messages %d and %d have the same id %s", other, message, id)
		}
	}
	if known, ok := h.ids[message]; ok && known != id {
		h.flaw("message %d has the ids %s and %s", message, known, id)
	}
	h.ids[message] = id
	if known, ok := h.ages[id]; ok && !age.IsZero() && !known.Equal(age) {
		h.flaw("message %d was enqueued at %v and at %v", message, known, age)
	}
	if !age.IsZero() {
		h.ages[id] = age
	}
}

// lease returns the number of a receipt.
func (h *History) lease(r driver.Receipt) int { return h.leases[r] }

// newLease numbers a receipt that was given out.
func (h *History) newLease(message int, r driver.Receipt) int {
	if n, ok := h.leases[r]; ok {
		h.flaw("the receipt of lease %d was given out again", n)
		return n
	}
	n := len(h.owners)
	h.leases[r] = n
	h.owners = append(h.owners, message)
	h.receipts = append(h.receipts, r)
	return n
}

// Receipt returns a receipt that was given out, mostly one of the last ones.
func (h *History) Receipt(pick func(n int) int) (r driver.Receipt, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(h.receipts) - 1
	if n == 0 {
		return "", false
	}
	back := 0
	if pick(5) >= 2 {
		back = pick(min(n, 6))
	}
	return h.receipts[n-back], true
}

// String returns the calls in the order in which they began.
func (h *History) String() string { return h.describe(-1) }

// describe returns the calls that say something of a message, or all if it is -1.
func (h *History) describe(message int) string {
	calls := slices.Clone(h.calls)
	slices.SortFunc(calls, func(a, b *call) int { return int(a.begun - b.begun) })
	var b strings.Builder
	for _, c := range calls {
		about := message < 0 || slices.ContainsFunc(c.events, func(e *event) bool { return e.message == message })
		if about {
			fmt.Fprintf(&b, "%s\n", c)
		}
	}
	return b.String()
}

func (c *call) String() string {
	end := "open"
	if c.returned != forever {
		end = fmt.Sprintf("%.3f", float64(c.over)/1e6)
	}
	return fmt.Sprintf("#%-3d %-8s %9.3f..%-9s ms  %s", c.n, c.client, float64(c.begun)/1e6, end, c.text)
}

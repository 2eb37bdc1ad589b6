package rabbitmq

import amqp "github.com/rabbitmq/amqp091-go"

// tags finds deliveries that never came: amqp091-go drops what the broker
// delivers to a consumer after it has confirmed its cancellation. Such a
// message would stay leased by nobody until the channel ends, but it leaves a
// gap: the tags of a channel go up by one. If it was the last one there is no
// gap to see, and the channel is suspect until the next delivery. It is
// replaced as soon as that costs no lease.
type tags struct {
	demands  int // under way
	handing  int // those that are not leased yet
	settling int // calls that are about to settle
	suspect  bool
	retired  bool
	next     uint64          // the lowest tag that was not seen
	ahead    map[uint64]bool // seen ones above it
}

func newTags() tags { return tags{next: 1, ahead: make(map[uint64]bool)} }

func (t *tags) see(tag uint64) {
	if tag >= t.next {
		t.ahead[tag] = true
	}
	for ; t.ahead[t.next]; t.next++ {
		delete(t.ahead, t.next)
	}
}

// missing returns the gaps, once nobody can be about to fill them.
func (t *tags) missing() (gaps []uint64) {
	if t.demands > 0 || len(t.ahead) == 0 {
		return nil
	}
	for len(t.ahead) > 0 {
		if !t.ahead[t.next] {
			gaps = append(gaps, t.next)
		}
		delete(t.ahead, t.next)
		t.next++
	}
	return gaps
}

// begin notes a demand, and reports whether the channel is still to be used.
func (c *channel) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tags.demands++
	c.tags.handing++
	return !c.tags.retired
}

// conclude notes the end of a demand and what it got, and returns the tags
// that nobody got. open says that there may be more of them.
func (c *channel) conclude(ds []amqp.Delivery, open bool) []uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range ds {
		c.tags.see(ds[i].DeliveryTag)
	}
	c.tags.suspect = open || c.tags.suspect && len(ds) == 0
	c.tags.demands--
	return c.tags.missing()
}

// handed notes that what a demand got is leased, or given back.
func (c *channel) handed() {
	c.mu.Lock()
	c.tags.handing--
	c.mu.Unlock()
	c.refresh()
}

// refresh ends a suspect channel that is not in use.
func (c *channel) refresh() {
	if c.retire(false) {
		c.q.discard(c)
	}
}

// retire takes a channel out of use that is not in use, and suspect unless all
// are meant. It reports whether it has, or the channel is over.
func (c *channel) retire(all bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &c.tags
	if c.leases == nil {
		return all
	}
	idle := (all || t.suspect) && !t.retired && t.demands+t.handing+t.settling+len(c.spare.ds)+c.postponed+len(c.leases) == 0
	t.retired = t.retired || idle
	return idle
}

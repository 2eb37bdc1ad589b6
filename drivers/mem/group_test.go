package mem

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

var (
	byGroup = driver.GroupBy{}
	byCase  = driver.GroupBy{Path: []string{"case"}}
)

func grouped(group, body string) driver.Message {
	return driver.Message{Body: []byte(body), Group: group}
}

func (c client) heads(by driver.GroupBy, limit int) []driver.Delivery {
	c.t.Helper()
	ds, err := c.ReceiveHeads(c.t.Context(), "q", driver.GroupRequest{
		ReceiveRequest: driver.ReceiveRequest{Max: limit, Visibility: time.Minute}, By: by,
	})
	c.must(err)
	return ds
}

// drain receives from a group of Message.Group.
func (c client) drain(value string, limit int, delayed bool, holding ...driver.Delivery) []driver.Delivery {
	c.t.Helper()
	r := driver.GroupDrainRequest{
		ReceiveRequest: driver.ReceiveRequest{Max: limit, Visibility: time.Minute},
		Value:          value,
		IncludeDelayed: delayed,
	}
	for _, d := range holding {
		r.Holding = append(r.Holding, d.Receipt)
	}
	ds, err := c.ReceiveGroup(c.t.Context(), "q", r)
	c.must(err)
	return ds
}

func (c client) ack(ds ...driver.Delivery) {
	c.t.Helper()
	for _, d := range ds {
		c.settle("q", driver.Settlement{Receipt: d.Receipt, Op: driver.OpAck})
	}
}

func TestReceiveHeads(t *testing.T) {
	c := open(t)
	c.send("q", grouped("x", "x1"), grouped("y", "y1"), grouped("x", "x2"), text("alone1"), text("alone2"), grouped("z", "z1"))
	first := c.heads(byGroup, 4)
	requireBodies(t, first, "x1", "y1", "alone1", "alone2")
	for i, want := range []string{"x", "y", "", ""} {
		if first[i].GroupKey != want {
			t.Errorf("group of %s is %q, want %q", first[i].Body, first[i].GroupKey, want)
		}
	}
	requireBodies(t, c.heads(byGroup, 4), "z1")
	requireBodies(t, c.heads(byGroup, 4))
	c.ack(first[0])
	requireBodies(t, c.heads(byGroup, 4), "x2")
	c.settle("q", driver.Settlement{Receipt: first[1].Receipt, Op: driver.OpNack})
	requireBodies(t, c.heads(byGroup, 4), "y1")
}

// TestGroupsOfIndexBuiltLate has messages in every state before the first
// receive by group.
func TestGroupsOfIndexBuiltLate(t *testing.T) {
	c := open(t)
	c.send("q", grouped("x", "x1"), grouped("y", "y1"))
	c.receive("q", driver.ReceiveRequest{Max: 1, Visibility: time.Minute}) // x1
	c.send("q", grouped("x", "x2"), driver.Message{Body: []byte("z1"), Group: "z", Delay: time.Hour}, grouped("z", "z2"))
	requireBodies(t, c.heads(byGroup, 9), "y1")
}

func TestReceiveHeadsByPath(t *testing.T) {
	c := open(t)
	c.send("q",
		grouped("g", `{"case":1,"n":1}`), grouped("h", `{"case":"1","n":2}`), grouped("g", `{"case":{"a": 1}}`),
		grouped("g", `{"case":null}`), grouped("g", `{}`), grouped("g", `no json`), grouped("g", `{"case":""}`), grouped("g", `{"case":"","n":2}`), text(`[]`))
	ds := c.heads(byCase, 9)
	requireBodies(t, ds, `{"case":1,"n":1}`, `{"case":{"a": 1}}`, `{"case":null}`, `{}`, `no json`, `{"case":""}`, `[]`)
	for i, want := range []string{"1", `{"a": 1}`, "", "", "", "", ""} {
		if ds[i].GroupKey != want {
			t.Errorf("group of %s is %q, want %q", ds[i].Body, ds[i].GroupKey, want)
		}
	}
	// By Message.Group, g is held, and h is not.
	requireBodies(t, c.heads(byGroup, 9), `{"case":"1","n":2}`)
}

// TestNoKeyIsNotTheEmptyKey has a group whose key is "" beside messages
// without a key, which come and go.
func TestNoKeyIsNotTheEmptyKey(t *testing.T) {
	c := open(t)
	c.send("q", text(`{"case":"","n":1}`))
	head := c.heads(byCase, 9)
	c.send("q", text(`{}`))
	alone := c.heads(byCase, 9)
	requireBodies(t, alone, `{}`)
	c.ack(alone...)
	c.send("q", text(`{"case":"","n":2}`))
	requireBodies(t, c.heads(byCase, 9))
	c.ack(head...)
	requireBodies(t, c.heads(byCase, 9), `{"case":"","n":2}`)
}

func TestPathIsCopied(t *testing.T) {
	c := open(t)
	c.send("q", text(`{"case":1,"n":1}`), text(`{"case":1,"n":2}`))
	by := driver.GroupBy{Path: []string{"case"}}
	c.heads(by, 0)
	by.Path[0] = "n"
	requireBodies(t, c.heads(by, 9), `{"case":1,"n":1}`, `{"case":1,"n":2}`)
}

// TestEmptyPathIsTheWholeBody tells no path from a path of no steps.
func TestEmptyPathIsTheWholeBody(t *testing.T) {
	c := open(t)
	c.send("q", grouped("g", `"a"`), grouped("g", `"b"`), grouped("h", ` "a"`))
	ds := c.heads(driver.GroupBy{Path: []string{}}, 9)
	requireBodies(t, ds, `"a"`, `"b"`)
	if ds[1].GroupKey != "b" {
		t.Errorf("group is %q, want b", ds[1].GroupKey)
	}
	c.ack(ds...)
	requireBodies(t, c.heads(byGroup, 9), ` "a"`)
}

// TestGroupIsBlocked lists what may be wrong with a group: its messages 1 to
// 3, one of which is in another state.
func TestGroupIsBlocked(t *testing.T) {
	tests := map[string]struct {
		act  func(c client)
		want string
	}{
		"nothing":       {func(client) {}, "1"},
		"head leased":   {func(c client) { c.one("q") }, ""},
		"middle leased": {func(c client) { d := c.one("q"); c.one("q"); c.nack(d, 0) }, ""},
		"head delayed":  {func(c client) { c.nack(c.one("q"), time.Hour) }, ""},
		"other delayed": {func(c client) { d := c.one("q"); c.nack(c.one("q"), time.Hour); c.nack(d, 0) }, "1"},
		"head nacked":   {func(c client) { c.nack(c.one("q"), 0) }, "1"},
		"head popped":   {func(c client) { c.pop() }, "2"},
		"all popped":    {func(c client) { c.pop(); c.pop(); c.pop() }, ""},
		"head acked":    {func(c client) { c.ack(c.one("q")) }, "2"},
		"purged":        {func(c client) { c.purge() }, ""},
		"refilled":      {func(c client) { c.purge(); c.send("q", grouped("g", "4")) }, "4"},
		"lease ended":   {func(c client) { c.one("q"); time.Sleep(time.Hour) }, "1"},
		"delay ended":   {func(c client) { c.nack(c.one("q"), time.Minute); time.Sleep(time.Hour) }, "1"},
	}
	for name, tt := range tests {
		for _, early := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/index early=%v", name, early), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := open(t)
					if early {
						c.heads(byGroup, 1)
					}
					c.send("q", grouped("g", "1"), grouped("g", "2"), grouped("g", "3"))
					tt.act(c)
					if tt.want == "" {
						requireBodies(t, c.heads(byGroup, 9))
						return
					}
					requireBodies(t, c.heads(byGroup, 9), tt.want)
				})
			})
		}
	}
}

func (c client) nack(d driver.Delivery, delay time.Duration) {
	c.t.Helper()
	c.settle("q", driver.Settlement{Receipt: d.Receipt, Op: driver.OpNack, Delay: delay})
}

func (c client) pop() {
	c.t.Helper()
	_, err := c.Pop(c.t.Context(), "q", 1)
	c.must(err)
}

func (c client) purge() {
	c.t.Helper()
	_, err := c.PurgeQueue(c.t.Context(), "q")
	c.must(err)
}

func TestReceiveGroup(t *testing.T) {
	c := open(t)
	c.send("q", grouped("x", "1"), grouped("y", "other"), grouped("x", "2"), grouped("x", "3"), grouped("x", "4"))
	head := c.heads(byGroup, 1)
	requireBodies(t, c.drain("x", 9, false)) // held by somebody
	more := c.drain("x", 2, false, head...)
	requireBodies(t, more, "2", "3")
	requireBodies(t, c.drain("x", 9, false, head...)) // the caller forgot some
	rest := c.drain("x", 9, false, append(head, more...)...)
	requireBodies(t, rest, "4")
	for _, d := range append(more, rest...) {
		if d.GroupKey != "x" || d.ReadCount != 1 || d.Receipt == "" {
			t.Errorf("received %+v", d)
		}
	}
	requireBodies(t, c.drain("missing", 9, false))
	requireBodies(t, c.drain("", 9, false))
	requireBodies(t, c.drain("y", 9, false), "other") // without a head
}

func TestReceiveGroupByPath(t *testing.T) {
	c := open(t)
	c.send("q", text(`{"case":7,"n":1}`), text(`{"case":8}`), text(`{"case":"7","n":2}`))
	ds, err := c.ReceiveGroup(t.Context(), "q", driver.GroupDrainRequest{
		ReceiveRequest: driver.ReceiveRequest{Max: 9, Visibility: time.Minute}, By: byCase, Value: "7",
	})
	c.must(err)
	requireBodies(t, ds, `{"case":7,"n":1}`, `{"case":"7","n":2}`)
	if ds[0].GroupKey != "7" || ds[1].GroupKey != "7" {
		t.Errorf("groups are %q and %q", ds[0].GroupKey, ds[1].GroupKey)
	}
}

func TestReceiveGroupDelayed(t *testing.T) {
	c := open(t)
	late := grouped("x", "3")
	late.Delay = time.Hour
	c.send("q", grouped("x", "1"), grouped("x", "2"), late, grouped("x", "4"))
	head := c.heads(byGroup, 1)
	more := c.drain("x", 9, false, head...)
	requireBodies(t, more, "2")
	requireBodies(t, c.drain("x", 9, false, append(more, head...)...))
	rest := c.drain("x", 9, true, append(more, head...)...)
	requireBodies(t, rest, "3", "4")
	if s := c.stats("q"); s.Leased != 4 || s.Delayed != 0 {
		t.Errorf("stats: %+v", s)
	}
}

// TestReceiveGroupHolding has receipts that do not show that the caller holds
// the group.
func TestReceiveGroupHolding(t *testing.T) {
	c := open(t)
	c.send("q", grouped("x", "1"), grouped("y", "2"), grouped("x", "3"))
	ds := c.heads(byGroup, 2)
	x, y := ds[0], ds[1]
	requireBodies(t, c.drain("x", 9, false, y))
	requireBodies(t, c.drain("x", 9, false, y, y))
	c.nack(x, 0)
	other := c.heads(byGroup, 1)
	requireBodies(t, c.drain("x", 9, false, x)) // stale
	requireBodies(t, c.drain("x", 9, false, x, y, other[0], other[0]), "3")

	_, err := c.ReceiveGroup(t.Context(), "q", driver.GroupDrainRequest{Value: "x", Holding: []driver.Receipt{"x"}})
	requireErr(t, err, driver.ErrInvalidReceipt)
}

// TestGroupOfLateCommit sends a message that gets a lower id than the one that
// is leased: it follows the lease in progress, and then goes first.
func TestGroupOfLateCommit(t *testing.T) {
	for _, early := range []bool{true, false} {
		c := open(t)
		if early {
			c.heads(byGroup, 1)
		}
		tx := c.Begin()
		_, err := txProvider{c.Provider, tx}.Send(t.Context(), "q", []driver.Message{grouped("x", "1")})
		c.must(err)
		c.send("q", grouped("x", "2"), grouped("x", "3"))
		held := c.one("q")
		requireBodies(t, []driver.Delivery{held}, "2")
		c.must(tx.Commit())
		requireBodies(t, c.heads(byGroup, 9))
		c.ack(held)
		first := c.heads(byGroup, 9)
		requireBodies(t, first, "1")
		requireBodies(t, c.drain("x", 9, false, first...), "3")
	}
}

// TestLateCommitOvertakes makes a waiting head of a free group not the head.
func TestLateCommitOvertakes(t *testing.T) {
	c := open(t)
	c.heads(byGroup, 1)
	tx := c.Begin()
	_, err := txProvider{c.Provider, tx}.Send(t.Context(), "q", []driver.Message{grouped("x", "1")})
	c.must(err)
	c.send("q", grouped("y", "2"), grouped("x", "3"))
	c.must(tx.Commit())
	requireBodies(t, c.heads(byGroup, 1), "1")
	requireBodies(t, c.heads(byGroup, 9), "2")
}

func TestGroupsAreForgotten(t *testing.T) {
	c := open(t)
	c.heads(byGroup, 1)
	for i := range 100 {
		c.send("q", grouped(fmt.Sprint(i), "a"))
	}
	x := c.store.queue("q").indexes[0]
	if len(x.groups) != 100 {
		t.Fatalf("%d groups, want 100", len(x.groups))
	}
	for range 100 {
		c.pop()
	}
	if len(x.groups) != 0 || x.free.len() != 0 {
		t.Errorf("%d groups are left, %d free", len(x.groups), x.free.len())
	}
}

// TestWaitForGroup has one case for each way in which a group becomes free.
func TestWaitForGroup(t *testing.T) {
	tests := map[string]struct {
		act   func(c client, held driver.Delivery)
		after time.Duration
		want  string
	}{
		"ack":       {func(c client, d driver.Delivery) { c.ack(d) }, 0, "2"},
		"nack":      {func(c client, d driver.Delivery) { c.nack(d, 0) }, 0, "1"},
		"delay":     {func(c client, d driver.Delivery) { c.nack(d, time.Second) }, time.Second, "1"},
		"timeout":   {func(client, driver.Delivery) {}, time.Minute, "1"},
		"send":      {func(c client, _ driver.Delivery) { c.send("q", grouped("y", "3")) }, 0, "3"},
		"same send": {func(c client, _ driver.Delivery) { c.send("q", grouped("x", "3")) }, time.Minute, "1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, c client) {
				c.send("q", grouped("x", "1"), grouped("x", "2"))
				held := c.heads(byGroup, 1)[0]
				w := c.begin(func() ([]driver.Delivery, error) {
					return c.ReceiveHeads(t.Context(), "q", driver.GroupRequest{ReceiveRequest: waitFor(2, forever)})
				})
				tt.act(c, held)
				w.require(t, tt.after, tt.want)
			})
		})
	}
}

func TestWaitForRestOfGroup(t *testing.T) {
	bubble(t, func(t *testing.T, c client) {
		c.send("q", grouped("x", "1"))
		held := c.heads(byGroup, 1)[0]
		start := func(delayed bool) *waiting {
			return c.begin(func() ([]driver.Delivery, error) {
				return c.ReceiveGroup(t.Context(), "q", driver.GroupDrainRequest{
					ReceiveRequest: waitFor(9, time.Second),
					Value:          "x",
					Holding:        []driver.Receipt{held.Receipt},
					IncludeDelayed: delayed,
				})
			})
		}
		late := grouped("x", "2")
		late.Delay = time.Hour
		w := start(false)
		c.send("q", grouped("y", "other"), late)
		w.require(t, time.Second)
		w = start(true)
		w.require(t, 0, "2")
		c.ack(w.ds...)

		w = start(true)
		c.send("q", grouped("x", "3"))
		w.require(t, 0, "3")
		c.ack(w.ds...)
		c.pop() // other
		w = start(true)
		c.send("q", late)
		w.require(t, 0, "2")
	})
}

// TestWaitersOfGroupsAreServed has a plain receiver between two of groups.
func TestWaitersOfGroupsAreServed(t *testing.T) {
	bubble(t, func(t *testing.T, c client) {
		groups := func() *waiting {
			return c.begin(func() ([]driver.Delivery, error) {
				return c.ReceiveHeads(t.Context(), "q", driver.GroupRequest{ReceiveRequest: waitFor(1, forever)})
			})
		}
		g1 := groups()
		plain := c.start(t.Context(), "q", waitFor(1, forever))
		g2 := groups()
		c.send("q", grouped("x", "1"), grouped("x", "2"), grouped("x", "3"))
		g1.require(t, 0, "1")
		plain.require(t, 0, "2")
		c.ack(g1.ds...)
		g2.requireWaiting(t) // for what the plain receiver holds
		c.ack(plain.ds...)
		g2.require(t, 0, "3")
	})
}

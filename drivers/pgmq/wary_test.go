package pgmq

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

// blindly is a row of a blind claim.
func blindly(id int64, more ...any) values {
	row := leased(id)
	row[4], row[5] = nil, nil
	for _, v := range more {
		row = append(row, v)
	}
	return row
}

// content is a row of {{template "bodies"}}.
func content(id int64) values { return append(values{id}, leased(id)[4], leased(id)[5], nil, nil) }

var bodies = statement("bodies", layout113.names("jobs").measured())

// TestWary: a message that cannot be printed does not keep its neighbours from
// being handed out. It is named, and put into the archive, or off for a while
// if it may only be slow.
func TestWary(t *testing.T) {
	blindClaim := statement("claim", layout113.names("jobs").blind())
	for name, receive := range map[string]func(*rig) ([]driver.Delivery, error){"receive": claims["receive"], "pop": claims["pop"]} {
		for _, bad := range []queued{{err: pgxError("22P05", "ERROR", "")}, {err: pgxError("54000", "ERROR", "")}, {took: time.Hour}} {
			t.Run(fmt.Sprint(name, " ", sqlState(bad.err)), func(t *testing.T) {
				onRig(t, func(t *testing.T, r *rig) {
					r.ctx = t.Context()
					q := r.known("jobs")
					first := bad
					if bad.err == nil { // the claim before was cut off
						q.hub.intake.claimed(10, 0, time.Minute, context.DeadlineExceeded)
					} else {
						r.add(map[string]string{"receive": jobs.claim, "pop": jobs.pop}[name], queued{err: bad.err})
					}
					r.answers(blindClaim, blindly(7), blindly(8), blindly(9))
					r.add(bodies, first)
					r.answers(bodies, content(7))
					r.add(bodies, bad)
					r.answers(bodies, content(9))
					ds, err := receive(r)
					r.must(err)
					if len(ds) != 2 || ds[0].ID != "7" || ds[1].ID != "9" || len(ds[0].Body) == 0 || ds[1].Group != "g" {
						t.Errorf("it receives %v", ds)
					}
					args := r.ran[slices.IndexFunc(r.ran, func(e exchange) bool { return e.text == jobs.settle || e.text == jobs.nack })].args
					if op := args[3]; args[0] != "{8}" || op != map[bool]string{true: "{3}", false: "{2}"}[bad.err != nil] {
						t.Errorf("it settles %v by %v", args[0], op)
					}
					if log := r.log.take(); !strings.Contains(log, "id=8") || strings.Contains(log, secret) {
						t.Errorf("it logs %q", log)
					}
					if r.known("jobs").hub.intake.wary() {
						t.Error("it stays wary")
					}
				})
			})
		}
	}
}

// TestWaryRoom: what there is no room for is given back, whether the statement
// that reads all ends in front of it or fails, and the next claim asks for less.
func TestWaryRoom(t *testing.T) {
	blindClaim := statement("claim", layout113.names("jobs").blind())
	large := func(id int64) values {
		return values{id, append([]byte(`"`), append(bytes.Repeat([]byte("1"), claimBytes), '"')...), nil, nil, nil}
	}
	for name, first := range map[string]queued{
		"together": {rows: []values{large(7)}},
		"alone":    {err: pgxError("54000", "ERROR", "")},
	} {
		t.Run(name, func(t *testing.T) {
			onRig(t, func(t *testing.T, r *rig) {
				q := r.known("jobs")
				r.add(jobs.claim, queued{err: pgxError("22P05", "ERROR", "")})
				r.answers(blindClaim, blindly(9), blindly(7), blindly(8))
				r.add(bodies, first)
				if first.err != nil {
					r.answers(bodies, large(7))
				}
				ds, err := r.Receive(t.Context(), "jobs", oneMinute)
				r.must(err)
				if len(ds) != 1 || ds[0].ID != "7" {
					t.Errorf("it receives %d messages", len(ds))
				}
				args := r.ran[slices.IndexFunc(r.ran, func(e exchange) bool { return e.text == jobs.nack })].args
				if args[0] != "{8,9}" || args[3] != "{2,2}" || args[4] != "{0,0}" {
					t.Errorf("it gives back %v", args)
				}
				if n := q.hub.intake.most(100); n != 2 {
					t.Errorf("the next claim is for %d messages, want 2", n)
				}
			})
		})
	}
}

// TestWaryCut: the statement that reads all may leave some out that it has room for:
// it is bounded by the stored size, too, which can be the larger one. They are read
// as well, except for those that are gone.
func TestWaryCut(t *testing.T) {
	blindClaim := statement("claim", layout113.names("jobs").blind())
	onRig(t, func(t *testing.T, r *rig) {
		r.known("jobs")
		r.add(jobs.claim, queued{err: pgxError("22P05", "ERROR", "")})
		r.answers(blindClaim, blindly(7), blindly(8), blindly(9))
		r.answers(bodies, content(7))
		r.answers(bodies, content(9))
		r.answers(bodies)
		ds, err := r.Receive(t.Context(), "jobs", oneMinute)
		r.must(err)
		if len(ds) != 2 || ds[0].ID != "7" || ds[1].ID != "9" || len(ds[1].Body) == 0 {
			t.Errorf("it receives %v", ds)
		}
	})
}

// TestWaryBrowseCut is TestWaryCut for a page.
func TestWaryBrowseCut(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		r.known("jobs")
		r.add(jobs.browse, queued{err: pgxError("22P05", "ERROR", "")})
		r.answers(statement("browse", layout113.names("jobs").blind().pages()), paged(blindly(7)), paged(blindly(8)))
		r.answers(bodies, content(7))
		r.answers(bodies, content(8))
		page, err := r.Browse(t.Context(), "jobs", driver.BrowseRequest{Limit: 10})
		r.must(err)
		if len(page) != 2 || len(page[1].Body) == 0 || page[1].Group != "g" {
			t.Errorf("it shows %v", page)
		}
	})
}

// TestWaryReadAndLost: a message that came before its statement failed is handed out.
func TestWaryReadAndLost(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		q := r.known("jobs")
		s := &leases{found: []found{{id: 7}}}
		n := 0
		p := (&fake{answer: func(_ context.Context, text string, _ values) ([]values, error) {
			if n++; n == 1 {
				return nil, pgxError("22P05", "ERROR", "")
			}
			return []values{content(7)}, context.DeadlineExceeded
		}}).open(t)
		bad, left, err := p.fill(t.Context(), q, q.names, s)
		r.must(err)
		if len(bad)+len(left) > 0 || len(s.found) != 1 || len(s.found[0].Body) == 0 {
			t.Errorf("it has read %v; unreadable: %v, left: %v", s.found, bad, left)
		}
	})
}

// TestPopDoubt: the end of a pop that had to lease first is not hidden: the messages
// may be deleted.
func TestPopDoubt(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		r.known("jobs")
		r.add(jobs.pop, queued{err: pgxError("22P05", "ERROR", "")})
		r.answers(statement("claim", layout113.names("jobs").blind()), blindly(7), blindly(8))
		r.answers(bodies, content(7), content(8))
		r.add(jobs.ack, queued{err: io.ErrUnexpectedEOF})
		ds, err := r.Pop(t.Context(), "jobs", 10)
		if checkIs(t, "Pop", err, driver.ErrUnavailable); len(ds) > 0 {
			t.Errorf("it returns %v", ds)
		}
	})
}

// TestClaimFull: of a claim that prints much more than was expected no more is
// kept than there is room for. Those that follow are measured for a while, and ask
// for about as many messages, and then for more again.
func TestClaimFull(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		r.known("jobs")
		measured := statement("claim", layout113.names("jobs").measured())
		large := func(id int64, size int) values {
			row := leased(id)
			row[4] = bytes.Repeat([]byte("1"), size)
			return row
		}
		r.answers(jobs.claim, large(7, keptBytes), leased(8), leased(9))
		r.answers(measured, leased(1), leased(2))
		r.answers(measured, large(3, claimBytes))
		r.answers(measured, leased(1), leased(2))
		r.answers(measured, leased(1), leased(2), leased(3), leased(4))
		r.answers(jobs.claim, leased(1))
		for i, want := range []struct {
			text  string
			limit int64
			got   int
		}{{jobs.claim, 10, 1}, {measured, 2, 2}, {measured, 4, 1}, {measured, 2, 2}, {measured, 4, 4}, {jobs.claim, 8, 1}} {
			if i == 5 {
				time.Sleep(measureFor)
			}
			r.ran = nil
			ds, err := r.Receive(t.Context(), "jobs", oneMinute)
			r.must(err)
			if e := r.ran[0]; e.text != want.text || e.args[0] != want.limit || len(ds) != want.got {
				t.Errorf("claim %d of %v messages receives %d, want %v and %d: %s", i, e.args[0], len(ds), want.limit, want.got, e.text)
			}
			if i > 0 {
				continue
			}
			if e := r.ran[1]; e.text != jobs.nack || e.args[0] != "{8,9}" || e.args[4] != "{0,0}" {
				t.Errorf("it gives back %v", e.args)
			}
		}
	})
}

// TestPopFull: what a pop returns is deleted, so it is handed out, however much
// comes first.
func TestPopFull(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		r.known("jobs")
		large := leased(9)
		large[4] = bytes.Repeat([]byte("1"), keptBytes)
		r.answers(jobs.pop, large, leased(7), leased(8))
		ds, err := r.Pop(t.Context(), "jobs", 10)
		r.must(err)
		if len(ds) != 3 || ds[0].ID != "7" || len(ds[1].Body) == 0 || ds[2].ID != "9" {
			t.Errorf("it returns %d of 3 messages", len(ds))
		}
		if len(r.ran) != 1 {
			t.Errorf("it runs %v", r.texts()[1:])
		}
	})
}

// TestClaimFullOrder: of a group nothing is handed out that is younger than what
// there was no room for, in whatever order the rows come.
func TestClaimFullOrder(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		q := r.known("jobs")
		g := groupingOf(layout113, driver.GroupBy{})
		n := layout113.names("jobs").measured()
		n.Key = groupKey(driver.GroupBy{})
		large := leased(9, "g")
		large[4] = bytes.Repeat([]byte("1"), keptBytes)
		r.answers(g.drain, large, leased(7, "g"), leased(8, "g"))
		r.answers(statement("claim group", n), leased(7, "g"))
		ds, err := r.ReceiveGroup(t.Context(), "jobs", driver.GroupDrainRequest{ReceiveRequest: oneMinute, Value: "g"})
		r.must(err)
		if len(ds) != 1 || ds[0].ID != "7" {
			t.Errorf("it receives %d messages, the first of which is not 7", len(ds))
		}
		if i := slices.IndexFunc(r.ran, func(e exchange) bool { return e.text == jobs.nack }); i < 0 || r.ran[i].args[0] != "{7,8,9}" {
			t.Error("it does not give all back")
		}
		if n := q.hub.intake.most(100); n != 2 {
			t.Errorf("the next claim is for %d messages, want 2", n)
		}
	})
}

// TestWaryBrowse: so it is with a page, which shows the message without a body.
func TestWaryBrowse(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		r.known("jobs")
		unreadable := pgxError("22P05", "ERROR", "")
		r.add(jobs.browse, queued{err: unreadable})
		r.answers(statement("browse", layout113.names("jobs").blind().pages()), paged(blindly(7)), paged(blindly(8)))
		r.add(bodies, queued{err: unreadable})
		r.add(bodies, queued{err: unreadable})
		r.answers(bodies, content(8))
		page, err := r.Browse(t.Context(), "jobs", driver.BrowseRequest{Limit: 10})
		r.must(err)
		if len(page) != 2 || len(page[0].Body) != 0 || len(page[1].Body) == 0 {
			t.Errorf("it shows %v", page)
		}
		if log := r.log.take(); !strings.Contains(log, "id=7") {
			t.Errorf("it logs %q", log)
		}
	})
}

// TestReceiveErrorGoesOn: what a row holds is never the receiver's invalid
// argument, upon which a Consumer ends.
func TestReceiveErrorGoesOn(t *testing.T) {
	for _, code := range []string{"22P05", "22021", "54000", "54001", "22003", "22P02"} {
		err := receiveError(mapError(pgxError(code, "ERROR", "")))
		checkIs(t, code, err, nil)
	}
}

// TestIntake: a claim that was cut off makes the next one smaller, and they grow
// again.
func TestIntake(t *testing.T) {
	var in intake
	var got []int
	for _, cut := range []bool{false, true, true, true, false, false, false, false} {
		n := in.most(100)
		got = append(got, n)
		if cut {
			in.claimed(n, 0, time.Minute, context.DeadlineExceeded)
		} else {
			in.claimed(n, n, time.Second, nil)
		}
	}
	if want := []int{100, 100, 50, 25, 12, 24, 48, 96}; !slices.Equal(got, want) {
		t.Errorf("it claims %v, want %v", got, want)
	}
	if in.claimed(1, 0, time.Second, context.Canceled); in.most(1000) == 1 {
		t.Error("a claim whose caller gave up makes a difference")
	}
	for range 20 {
		in.claimed(in.most(1), 0, time.Minute, context.DeadlineExceeded)
	}
	if n := in.most(1000); n != 1 {
		t.Errorf("it claims %d, want 1", n)
	}
}

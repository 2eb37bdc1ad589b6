package sqlite_test

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/sqlite"
)

// desk is a file with queue q, as an operator works with it.
type desk struct {
	*testing.T
	*sqlite.Provider
	path string
}

// newDesk returns a desk whose file is checked in the end.
func newDesk(t *testing.T) desk {
	t.Helper()
	q, path := ensured(t)
	t.Cleanup(func() { inOrder(t, path) })
	return desk{t, q.Client().Provider().(*sqlite.Provider), path}
}

// must fails the test for an error.
func (d desk) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

func (d desk) send(msgs ...driver.Message) []string {
	d.Helper()
	ids, err := d.Send(d.Context(), "q", msgs)
	d.must(err)
	return ids
}

// lease leases n messages for d.
func (d desk) lease(n int, visibility time.Duration) []driver.Delivery {
	d.Helper()
	ds, err := d.Receive(d.Context(), "q", driver.ReceiveRequest{Max: n, Visibility: visibility})
	d.must(err)
	if len(ds) != n {
		d.Fatalf("received %d messages, want %d", len(ds), n)
	}
	return ds
}

func (d desk) settle(op driver.Op, reason string, ds ...driver.Delivery) {
	d.Helper()
	s := make([]driver.Settlement, len(ds))
	for i := range ds {
		s[i] = driver.Settlement{Receipt: ds[i].Receipt, Op: op, Reason: reason}
	}
	d.must(d.Settle(d.Context(), "q", s))
}

func (d desk) browse(r driver.BrowseRequest) []driver.Record {
	d.Helper()
	r.Limit = max(r.Limit, 1)
	records, err := d.Browse(d.Context(), "q", r)
	d.must(err)
	return records
}

// stock fills queue and archive with messages of every state: some with large bodies,
// groups and headers.
func (d desk) stock() {
	d.Helper()
	var msgs []driver.Message
	for i := range 40 {
		m := driver.Message{Body: []byte("body " + strconv.Itoa(i)), Headers: driver.Headers{"n": strconv.Itoa(i % 3)}}
		switch i % 4 {
		case 1:
			m.Body, m.Group = append(bytes.Repeat([]byte("x"), 3000), "\x00\xffneedle"...), "a"
		case 2:
			m.Headers = driver.Headers{`odd "name".x`: "<ü>", "n": ""}
		case 3:
			m.Headers, m.Body = nil, nil
		}
		msgs = append(msgs, m)
	}
	for range 2 { // they are sent at different times
		d.send(msgs...)
	}
	d.settle(driver.OpArchive, "too many attempts", d.lease(10, time.Hour)...)
	d.settle(driver.OpArchive, "", d.lease(10, time.Hour)...)
	d.settle(driver.OpNack, "no luck", d.lease(7, time.Hour)...)
	d.lease(8, time.Hour)
	d.lease(5, time.Microsecond)
	d.send(driver.Message{Delay: time.Hour}, driver.Message{Delay: time.Hour, Body: []byte("needle")})
}

// TestPages goes through queue and archive in both orders, and by ids.
func TestPages(t *testing.T) {
	d := newDesk(t)
	d.stock()
	for _, archive := range []bool{false, true} {
		all := d.browse(driver.BrowseRequest{Archive: archive, Limit: 1000})
		if want := map[bool]int{false: 62, true: 20}[archive]; len(all) != want {
			t.Fatalf("%d records, want %d", len(all), want)
		}
		for _, newest := range []bool{false, true} {
			var got []driver.Record
			for page := []driver.Record{{}}; len(page) > 0; got = append(got, page...) {
				page = d.browse(driver.BrowseRequest{Archive: archive, Newest: newest, After: page[len(page)-1].ID, Limit: 7})
			}
			if newest {
				slices.Reverse(got)
			}
			sameRecords(t, got, all)
			ids := []string{all[8].ID, "x", "0", all[3].ID, "99999", all[8].ID, all[5].ID, "-1"}
			want := []driver.Record{all[3], all[5], all[8]}
			if newest {
				slices.Reverse(want)
			}
			sameRecords(t, d.browse(driver.BrowseRequest{Archive: archive, Newest: newest, IDs: ids, Limit: 10}), want)
			sameRecords(t, d.browse(driver.BrowseRequest{Archive: archive, Newest: newest, IDs: ids, Limit: 2}), want[:2])
			sameRecords(t, d.browse(driver.BrowseRequest{Archive: archive, Newest: newest, IDs: ids, After: want[0].ID, Limit: 2}), want[1:])
			if got := d.browse(driver.BrowseRequest{Archive: archive, Newest: newest, IDs: []string{"x"}, Limit: 2}); len(got) != 0 {
				t.Errorf("%d records of no id", len(got))
			}
		}
	}
	for _, newest := range []bool{false, true} {
		if _, err := d.Browse(t.Context(), "missing", driver.BrowseRequest{Newest: newest, Limit: 1}); !errors.Is(err, driver.ErrQueueNotFound) {
			t.Errorf("a missing queue: %v", err)
		}
		if _, err := d.Browse(t.Context(), "q", driver.BrowseRequest{Newest: newest, Limit: 1, After: "x"}); !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("after x: %v", err)
		}
	}
}

// sameRecords compares records by their ids, bodies and sizes.
func sameRecords(t *testing.T, got, want []driver.Record) {
	t.Helper()
	same := func(a, b driver.Record) bool {
		return a.ID == b.ID && bytes.Equal(a.Body, b.Body) && a.BodySize == b.BodySize
	}
	if !slices.EqualFunc(got, want, same) {
		t.Errorf("got %v, want %v", idsOf(got), idsOf(want))
	}
}

func idsOf(records []driver.Record) (ids []string) {
	for _, r := range records {
		ids = append(ids, r.ID)
	}
	return ids
}

// TestStates: records have the states that Stats counts.
func TestStates(t *testing.T) {
	d := newDesk(t)
	d.stock()
	counts := make(map[driver.State]int64)
	for _, archive := range []bool{false, true} {
		for _, r := range d.browse(driver.BrowseRequest{Archive: archive, Limit: 1000}) {
			counts[r.State]++
		}
	}
	s, err := d.Stats(t.Context(), "q")
	d.must(err)
	want := map[driver.State]int64{
		driver.StateVisible: s.Visible + s.Blocked, driver.StateLeased: s.Leased,
		driver.StateDelayed: s.Delayed, driver.StateArchived: s.Archived,
	}
	for _, state := range []driver.State{driver.AnyState, driver.StateVisible, driver.StateLeased, driver.StateDelayed, driver.StateArchived} {
		if counts[state] != want[state] || want[state] == 0 && state != driver.AnyState {
			t.Errorf("%d records are %v, want %d", counts[state], state, want[state])
		}
	}
}

// TestCutBodies: SQLite cuts bodies, those of their own rows as well.
func TestCutBodies(t *testing.T) {
	d := newDesk(t)
	large := bytes.Repeat([]byte("0123456789"), 1000)
	for _, body := range [][]byte{nil, []byte("\x00\xff\xfe"), []byte("abcdefgh"), large} {
		id := d.send(driver.Message{Body: body})[0]
		d.settle(driver.OpArchive, "", d.lease(1, time.Hour)...)
		again := d.send(driver.Message{Body: body})[0]
		for _, cut := range []int{0, 1, 3, 5000, 20000} {
			want := body
			if cut > 0 {
				want = body[:min(cut, len(body))]
			}
			for _, r := range []driver.BrowseRequest{
				{IDs: []string{again}}, {Newest: true}, {Archive: true, Newest: true}, {Archive: true, IDs: []string{id}},
			} {
				r.CutBody = cut
				got := d.browse(r)
				if len(got) != 1 || !bytes.Equal(got[0].Body, want) || got[0].BodySize != len(body) {
					t.Errorf("%+v of %d bytes: %v", r, len(body), got)
				}
			}
		}
		d.settle(driver.OpAck, "", d.lease(1, time.Hour)...)
	}
}
